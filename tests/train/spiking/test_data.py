"""Streams of events: generated, read from files, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codesign.errors import UsageError
from codesign.train.spiking.data import STREAMS, Events
from codesign.train.spiking.task import load_task


def arrays(**change: Any) -> dict[str, Any]:
    base = {
        "t": [0, 4, 9, 2, 2, 8],
        "x": [1, 0, 2, 3, 1, 0],
        "p": [0, 1, 1, 0, 0, 1],
        "start": [0, 3, 6],
        "label": [0, 1],
        "test": [0, 1],
        "size": 4,
        "duration": 10,
    }
    return {k: v for k, v in {**base, **change}.items() if v is not None}


def load(tmp_path: Path, **change: Any) -> Events:
    path = tmp_path / "events.npz"
    np.savez(path, **arrays(**change))
    return STREAMS["events"](path, 0)


def test_a_users_events_become_frames(tmp_path: Path) -> None:
    frames = load(tmp_path).frames(5)
    assert frames.shape == (2, 5, 8)
    found = {tuple(int(i) for i in place) for place in np.argwhere(frames)}
    assert found == {(0, 0, 1), (0, 2, 4), (0, 4, 6), (1, 1, 3), (1, 1, 1), (1, 4, 4)}


def test_sizes_come_from_the_events_where_none_are_given(tmp_path: Path) -> None:
    events = load(tmp_path, size=None, duration=None, p=None)
    assert (events.size, events.duration, events.features) == (4, 10, 4)


def test_pictures_of_a_camera_have_two_addresses(tmp_path: Path) -> None:
    events = load(tmp_path, y=[0, 1, 2, 0, 1, 2], width=4, size=12)
    assert events.x.tolist() == [1, 4, 10, 3, 5, 8]
    with pytest.raises(UsageError, match=r"event 3 has x 3, outside 0..2"):
        load(tmp_path, y=[0, 1, 2, 0, 1, 2], width=3, size=12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": [0, 4, 3, 2, 2, 8]}, "not sorted by time: event 2 is at 3, the one before at 4"),
        ({"t": [0, 4, 10, 2, 2, 8]}, r"event 2 has time 10, outside 0..9"),
        ({"t": [-1, 4, 9, 2, 2, 8]}, r"event 0 has time -1, outside 0..9"),
        ({"x": [1, 0, 2, 4, 1, 0]}, r"event 3 has address 4, outside 0..3"),
        ({"x": [1, 0, -2, 3, 1, 0]}, r"event 2 has address -2, outside 0..3"),
        ({"p": [0, 1, 2, 0, 0, 1]}, r"event 2 has polarity 2, outside 0..1"),
        ({"x": [1, 0]}, "6 times but 2 of 'x'"),
        ({"t": None}, "array 't' is missing"),
        ({"t": [0, 4, 9, 2, 2.5, 8]}, "'t' must hold whole numbers, entry 4 is 2.5"),
        ({"t": [[0, 4, 9, 2, 2, 8]]}, "'t' must be a vector of numbers"),
        ({"start": [0, 3]}, "'start' must rise from 0 to the number of events, 6"),
        ({"start": [0, 4, 3, 6], "label": [0, 1, 1], "test": [0, 1, 1]}, "'start' must rise"),
        ({"label": [0]}, "2 samples but 1 labels"),
        ({"label": [0, -1]}, "labels are whole numbers from 0, got -1"),
        ({"label": [0, 10**9]}, "label 1000000000: there are at most 4096 classes"),
        ({"y": [0, 1, 2, 0, 1, 2], "width": []}, "'width' must be one whole number, got 0"),
        ({"y": [0, 1], "width": 4}, "6 of 'x' but 2 of 'y'"),
        ({"size": [4, 4]}, "'size' must be one whole number, got 2"),
        ({"duration": 0}, "size and duration of at least 1"),
        ({"t": [], "x": [], "p": []}, "there is no event in it"),
    ],
)
def test_bad_events_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load(tmp_path, **change)
    assert caught.value.where.endswith("events.npz")
    assert caught.value.hint


def test_frames_that_no_machine_holds(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 samples of 5 steps and 2000000000 inputs are more"):
        load(tmp_path, size=10**9).frames(5)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "events.npz"
    path.write_bytes(b"no zip")
    with pytest.raises(UsageError, match="not readable"):
        STREAMS["events"](path, 0)
    with pytest.raises(UsageError, match="events need their file"):
        STREAMS["events"](None, 0)


def test_no_steps(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 1 time step, got T = 0"):
        load(tmp_path).frames(0)


@pytest.mark.parametrize("name", ["edges", "poisson"])
def test_generated_streams_repeat_and_are_balanced(name: str) -> None:
    one, two, other = (STREAMS[name](None, seed) for seed in (3, 3, 4))
    assert np.array_equal(one.t, two.t) and np.array_equal(one.x, two.x)
    assert len(one.t) != len(other.t) or not np.array_equal(one.t, other.t)
    assert len(set(np.bincount(one.label).tolist())) == 1
    assert one.test.mean() == pytest.approx(0.2)


def test_an_edge_moves_as_its_label_says() -> None:
    events = STREAMS["edges"](None, 1)
    for label, sign in ((0, 1), (1, -1)):  # right, left
        pairs = []
        for i in np.flatnonzero(events.label == label):
            part = slice(events.start[i], events.start[i + 1])
            pairs.append(np.corrcoef(events.t[part], events.x[part] % 12)[0, 1])
        assert np.mean(pairs) * sign > 0.5


def test_encodings_fit_their_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'edges' holds events: they need no encoding"):
        load_task("edges", "rate", 4, None, 0)
    with pytest.raises(UsageError, match="'digits' holds pictures"):
        load_task("digits", "delta", 4, None, 0)
    with pytest.raises(UsageError, match="unknown data set 'shapes'"):
        load_task("shapes", "auto", 4, None, 0)
    task = load_task("edges", "auto", 4, None, 0)
    assert task.features == 288 and task.classes == 4 and task.train_x.shape == (800, 4, 288)
