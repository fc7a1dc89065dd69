"""Encoders: every spike from its equation."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.errors import UsageError
from codesign.spikes.encoders import mix
from codesign.train.spiking.encode import Encoding

X = np.linspace(0, 1, 41).reshape(1, -1)


def test_direct_repeats_the_code() -> None:
    e = Encoding("direct", 3, bits=4)
    found = e.encode(X)
    assert found.shape == (1, 3, 41)
    assert found.max() == 15
    assert np.array_equal(found[0, 0], np.minimum(np.rint(X[0] * 16), 15))
    assert np.array_equal(e(X) * 16, found)


@pytest.mark.parametrize("steps", [1, 3, 4, 7])
def test_latency_is_one_spike_the_earlier_the_larger(steps: int) -> None:
    e = Encoding("latency", steps, bits=4, low=3)
    spikes, q = e.encode(X), e.codes(X)
    assert np.array_equal(spikes.sum(1), (q >= 3).astype(int))
    when = spikes.argmax(1)[0][q[0] >= 3]
    assert (np.diff(when) <= 0).all()
    assert when[-1] == 0
    assert when[0] == (15 - 3) * steps // 16


def test_rate_counts_follow_the_code() -> None:
    e = Encoding("rate", 200, bits=6, seed=4)
    share = e.encode(X).mean(1)[0]
    assert np.abs(share - e.codes(X)[0] / 64).max() < 0.12
    assert share[0] == 0
    assert np.array_equal(e.encode(X), e.encode(X))
    assert not np.array_equal(e.encode(X), Encoding("rate", 200, bits=6, seed=5).encode(X))


def test_rate_draws_alike_for_every_frame() -> None:
    e = Encoding("rate", 5, bits=6)
    pair = e.encode(np.repeat(X, 2, axis=0))
    assert np.array_equal(pair[0], pair[1])


def test_the_generator_is_specified_in_integers() -> None:
    def final(v: int) -> int:
        v ^= v >> 16
        v = v * 0x7FEB352D & 0xFFFFFFFF
        v ^= v >> 15
        v = v * 0x846CA68B & 0xFFFFFFFF
        return v ^ v >> 16

    counters = np.array([0, 1, 2, 77, 2**31, 2**32 - 1])
    wanted = [final(int(c) ^ final(9 + 1)) for c in counters]
    assert mix(counters, 9).tolist() == wanted


def test_delta_marks_changes() -> None:
    e = Encoding("delta", 4, bits=4, low=2)
    x = np.array([0, 2, 3, 1]).reshape(1, 4, 1) / 16
    assert e.encode(x)[0].tolist() == [[0, 0], [1, 0], [0, 0], [0, 1]]
    with pytest.raises(UsageError, match=r"takes an array \[batch, 4 steps"):
        e.encode(x[:, :3])


def test_events_pass_as_they_are() -> None:
    e = Encoding("events", 2)
    x = np.array([[[0, 1], [1, 0]]], dtype=np.uint8)
    assert np.array_equal(e.encode(x), x)
    with pytest.raises(UsageError, match="whole numbers from 0"):
        e.encode(x - 0.5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "morse", "steps": 3}, "unknown encoding 'morse'"),
        ({"kind": "rate", "steps": 0}, "at least 1 time step, got T = 0"),
        ({"kind": "rate", "steps": 3, "bits": 17}, "1 to 16 bits, got 17"),
        ({"kind": "latency", "steps": 3, "low": 256}, r"low must lie in 0..255, got 256"),
    ],
)
def test_bad_settings_are_named(fields: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Encoding(**fields)
