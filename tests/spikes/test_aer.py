"""Event lists: one for each spike tensor, and every wrong one is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.spikes import Events, decode, encode, from_beats, to_beats


@settings(derandomize=True, deadline=None, database=None, max_examples=50)
@given(
    st.integers(1, 6), st.integers(1, 9), st.sampled_from([1, 3]), st.sampled_from([0, 0.3, 1.0])
)
def test_there_and_back(steps, elements, levels, rate):
    rng = np.random.default_rng(steps * 10 + elements)
    x = rng.integers(1, levels + 1, (steps, elements)) * (rng.random((steps, elements)) < rate)
    events = encode(x, levels)
    assert (decode(events) == x).all()
    assert (events.per_step() == np.count_nonzero(x, axis=1)).all()
    beats = to_beats(events)
    assert len(beats) == np.count_nonzero(x) + steps
    assert (decode(from_beats(beats, steps, elements, levels)) == x).all()


def test_the_beats_of_a_small_frame():
    beats = to_beats(encode(np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]])))
    assert beats.tolist() == [
        [1, 1, 0, 0],
        [2, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 1, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 1],
    ]


@pytest.mark.parametrize(
    ("time", "address", "count", "message"),
    [
        ([0, 3], [1, 1], [1, 1], r"event 1: time step 3 lies outside 0..2"),
        ([0], [5], [1], r"event 0: address 5 lies outside 0..4"),
        ([0], [-1], [1], r"event 0: address -1 lies outside"),
        ([0], [1], [3], r"event 0: count 3 lies outside 1..2"),
        ([0], [1], [0], r"count 0 lies outside"),
        ([1, 0], [1, 1], [1, 1], r"event 1 \(time 0, address 1\) stands after event 0 .*sort"),
        ([1, 1], [2, 1], [1, 1], r"event 1 \(time 1, address 1\) stands after"),
        ([1, 1], [2, 2], [1, 1], r"event 1 .*same as the one before; add their counts"),
        ([1], [2, 2], [1, 1], r"of \[1, 2, 2\] events"),
        ([0.5], [2], [1], r"time is a vector of integers"),
    ],
)
def test_wrong_events_are_named(time, address, count, message):
    with pytest.raises(ValueError, match=message):
        Events(3, 5, 2, time, address, count)


def test_signed_spikes():
    x = np.array([[0, -2, 1], [2, 0, 0]])
    events = encode(x, 2, signed=True)
    assert events.count.tolist() == [-2, 1, 2]
    assert (decode(from_beats(to_beats(events), 2, 3, 2, signed=True)) == x).all()
    with pytest.raises(ValueError, match=r"spike -2 of element 1 in step 0 is not in 0..2"):
        encode(x, 2)
    with pytest.raises(ValueError, match=r"event 0: count's size 0 lies outside 1..2"):
        Events(1, 3, 2, [0], [1], [0], signed=True)
    with pytest.raises(ValueError, match=r"event 0: count -3 lies outside -2..2"):
        Events(1, 3, 2, [0], [1], [-3], signed=True)


def test_wrong_frames_are_named():
    with pytest.raises(ValueError, match="at least one time step, got T = 0"):
        encode(np.zeros((0, 4), int))
    with pytest.raises(ValueError, match="an element and a level"):
        encode(np.zeros((2, 0), int))
    with pytest.raises(ValueError, match=r"spike 2 of element 1 in step 0 is not in 0..1"):
        encode(np.array([[0, 2]]))
    with pytest.raises(ValueError, match="spikes are integers"):
        encode(np.zeros((2, 2)))
    beats = to_beats(encode(np.array([[0, 1], [1, 0]])))
    with pytest.raises(ValueError, match="a frame of 3 steps has 2 beats that end one"):
        from_beats(beats, 3, 2)
    beats[1, 3] = 1
    with pytest.raises(ValueError, match=r"'last' stands on beats \[1, 3\]"):
        from_beats(beats, 2, 2)
