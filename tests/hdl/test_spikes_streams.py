"""Scan and pack: the events of the spikes, cycles as modelled, whatever the stalls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.spikes.pack import SpikePack
from codesign.hdl.spikes.scan import SpikeScan
from tests.hdl import spike_harness as bench

FEW = settings(derandomize=True, deadline=None, database=None, max_examples=12)


def spikes(seed, frames, steps, elements, levels, rate, signed=False):
    rng = np.random.default_rng(seed)
    codes = rng.integers(1, levels + 1, (frames, steps, elements))
    if signed:
        codes *= rng.choice([-1, 1], codes.shape)
    return codes * (rng.random(codes.shape) < rate)


CASES = {
    "words": st.integers(1, 5),
    "lanes": st.integers(1, 9),
    "steps": st.integers(1, 4),
    "levels": st.sampled_from([1, 1, 2, 5]),
    "signed": st.booleans(),
    "rate": st.sampled_from([0.0, 0.1, 0.4, 1.0]),
    "stalls": st.sampled_from([(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4)]),
}


@FEW
@given(**CASES)
def test_scan(words, lanes, steps, levels, signed, rate, stalls):
    x = spikes(1, 2, steps, words * lanes, levels, rate, signed)
    part = SpikeScan(words * lanes, steps, lanes, levels, signed)
    sent = bench.dense_words(x.reshape(2, -1), part.i)
    beats = np.count_nonzero(x) + 2 * steps
    trace = bench.run(part, sent, beats, stalls=stalls)
    layout = part.o.payload.shape()
    assert (
        bench.spikes_of(trace.words, layout, 2, steps, words * lanes, levels, signed) == x
    ).all()
    if stalls == (0.0, 0.0):
        assert (trace.taken, trace.given) == bench.modelled(part.timing(x), len(sent))


@FEW
@given(**CASES)
def test_pack(words, lanes, steps, levels, signed, rate, stalls):
    x = spikes(2, 2, steps, words * lanes, levels, rate, signed)
    part = SpikePack(words * lanes, steps, lanes, levels, signed)
    sent = bench.event_words(x, part.i.payload.shape(), levels, signed)
    trace = bench.run(part, sent, 2 * steps * words, stalls=stalls)
    assert (bench.dense_of(trace.words, part.o, 2) == x.reshape(2, -1)).all()
    if stalls == (0.0, 0.0):
        assert (trace.taken, trace.given) == bench.modelled(part.timing(x), len(sent))


def test_scan_costs_what_spikes_cost():
    x = np.zeros((1, 1, 64), int)
    x[0, 0, [3, 5, 40]] = 1
    part = SpikeScan(64, 1, 8)
    trace = bench.run(part, bench.dense_words(x.reshape(1, -1), part.i), 4)
    # 8 beats: one cycle each, one more for the second spike in the first, one to pass through
    assert trace.given[-1] == 8 + 1 + 1


def test_reset_in_mid_frame():
    x = spikes(5, 2, 3, 12, 1, 0.5)
    for part, dense in ((SpikeScan(12, 3, 4), True), (SpikePack(12, 3, 4), False)):
        sent = (
            bench.dense_words(x.reshape(2, -1), part.i)
            if dense
            else bench.event_words(x, part.i.payload.shape())
        )
        count = np.count_nonzero(x) + 6 if dense else 18
        clean = bench.run(part, sent, count).words
        part = type(part)(12, 3, 4)
        assert bench.run(part, sent, count, reset_at=9).words == clean


@pytest.mark.parametrize("kind", [SpikeScan, SpikePack])
def test_sizes_are_checked(kind):
    with pytest.raises(ValueError, match="3 lanes do not divide a vector of 8"):
        kind(8, 2, 3)
    with pytest.raises(ValueError, match="at least one step"):
        kind(8, 0, 2)
