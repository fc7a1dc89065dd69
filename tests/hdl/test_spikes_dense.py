"""EventDense: every current of every step, cycles as modelled, no gap between events."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.spikes.conv import EventConv
from codesign.hdl.spikes.dense import EventDense
from codesign.spikes import layers
from tests.hdl import spike_harness as bench
from tests.hdl.test_load import access, writes
from tests.hdl.test_spikes_streams import spikes

FEW = settings(derandomize=True, deadline=None, database=None, max_examples=25)


@FEW
@given(
    inputs=st.integers(1, 20),
    slices=st.sampled_from([1, 2, 3, 4, 10, 13]),
    slice=st.integers(1, 3),
    lanes=st.integers(1, 4),
    steps=st.integers(1, 4),
    levels=st.sampled_from([1, 1, 3]),
    weights=st.sampled_from([(-1, 1), (0, 3), (-8, 7), (-5, -2)]),
    rate=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    stalls=st.sampled_from([(0.0, 0.0), (0.0, 0.0), (0.5, 0.0), (0.0, 0.7), (0.3, 0.3)]),
    biased=st.booleans(),
    signed=st.booleans(),
)
def test_currents_and_cycles(
    inputs, slices, slice, lanes, steps, levels, weights, rate, stalls, biased, signed
):
    outputs, lanes = slices * slice, min(lanes, slices) * slice
    rng = np.random.default_rng(inputs)
    w = rng.integers(weights[0], weights[1] + 1, (inputs, outputs))
    bias = rng.integers(-4, 5, outputs) if biased else None
    x = spikes(3, 2, steps, inputs, levels, rate, signed)
    part = EventDense(
        w, steps=steps, lanes=lanes, slice=slice, levels=levels, signed=signed, bias=bias
    )
    sent = bench.event_words(x, part.i.payload.shape(), levels, signed)
    trace = bench.run(part, sent, 2 * steps * slices, stalls=stalls)
    expected = layers.dense(x, w, bias)
    assert (bench.dense_of(trace.words, part.o, 2) == expected.reshape(2, -1)).all()
    if stalls == (0.0, 0.0):
        assert (trace.taken, trace.given) == bench.modelled(part.timing(x), len(sent))


@pytest.mark.parametrize("lanes", [20, 10, 2])
def test_events_that_wait_keep_the_lanes_busy(lanes):
    x = spikes(4, 1, 6, 50, 1, 0.6)
    w = np.random.default_rng(1).integers(-8, 8, (50, 20))
    part = EventDense(w, steps=6, lanes=lanes, slice=2)
    sent = bench.event_words(x, part.i.payload.shape())
    taken = bench.run(part, sent, 60).taken
    work = np.count_nonzero(x) * 20 // lanes
    assert work / (taken[-1] - taken[0] + 1) >= 0.95


@pytest.mark.parametrize("pixels", [(2, 2), (3, 4)])
@pytest.mark.parametrize("channels", [1, 2, 7])
@pytest.mark.parametrize("lanes", [1, 2])
def test_events_that_add_to_the_same_word(pixels, channels, lanes):
    """Each event adds to the word that the one before has just written (a word a pixel), or the
    one before that (two), in registers and in memories."""
    x = np.ones((1, 3, *pixels, channels), int)
    w = np.arange(channels * 2).reshape(1, 1, channels, 2) - 7
    part = EventConv(w, size=pixels, steps=3, lanes=lanes, slice=lanes)
    sent = bench.event_words(x.reshape(1, 3, -1), part.i.payload.shape())
    words = bench.run(part, sent, 3 * part.store.beats).words
    assert (bench.dense_of(words, part.o, 1) == layers.conv(x, w).reshape(1, -1)).all()


@pytest.mark.parametrize("lanes", [18, 6, 2])
@pytest.mark.parametrize("reset_at", [7, 65])
def test_reset_in_mid_frame_forgets(lanes, reset_at):
    x = spikes(6, 2, 4, 10, 1, 0.7)
    w = np.random.default_rng(2).integers(-8, 8, (10, 18))
    part = EventDense(w, steps=4, lanes=lanes, slice=2)
    sent = bench.event_words(x, part.i.payload.shape())
    words = bench.run(part, sent, 72, reset_at=reset_at).words
    assert (bench.dense_of(words, part.o, 2) == layers.dense(x, w).reshape(2, -1)).all()


def test_sizes_are_checked():
    w = np.ones((3, 6), int)
    with pytest.raises(ValueError, match="lanes must lie in 1..6"):
        EventDense(w, steps=1, lanes=7, slice=1)
    with pytest.raises(ValueError, match="slice must divide the 6 outputs and the 3 lanes"):
        EventDense(w, steps=1, lanes=3, slice=2)
    with pytest.raises(ValueError, match="weights are integers of 2 axes"):
        EventDense(w * 0.5, steps=1, lanes=3, slice=3)
    with pytest.raises(ValueError, match="6 outputs need as many biases"):
        EventDense(w, steps=1, lanes=3, slice=3, bias=np.ones(2, int))


@pytest.mark.parametrize("kind", ["dense", "padded", "conv", "depthwise"])
def test_weights_are_replaced_over_the_bus(kind):
    """Then the layer is the one that was built with the new weights; and they are read back."""
    rng = np.random.default_rng(7)
    x = spikes(8, 1, 3, 12, 1, 0.6)
    shape = {"dense": (12, 6), "padded": (12, 5), "conv": (2, 2, 3, 4), "depthwise": (2, 2, 3, 2)}
    first, other = (rng.integers(-7, 8, shape[kind]) for _ in range(2))
    options = {"steps": 3, "loadable": (-7, 7)}
    if kind in ("dense", "padded"):
        part = EventDense(first, lanes=3, slice=3 if kind == "dense" else 1, **options)
        fresh = EventDense(other, steps=3, lanes=3, slice=1)
    else:
        deep = {"size": (2, 2), "lanes": 2, "slice": 2, "depthwise": kind == "depthwise"}
        part = EventConv(first, **deep, **options)
        fresh = EventConv(other, steps=3, **deep)

    async def replace(ctx):
        words = part.row_words(part.rows_of(other))
        for address, data in writes(words, part.row_bits):
            assert address < 1 << part.region_bits
            assert (await access(ctx, part.load, address, data))[1] == 0
            assert await access(ctx, part.load, address) == (data, 0)

    sent = bench.event_words(x, part.i.payload.shape())
    beats = 3 * part.store.beats
    before = bench.run(part, sent, beats).words
    after = bench.run(part, sent, beats, before=replace).words
    assert (bench.dense_of(before, part.o, 1) == part.reference(x).reshape(1, -1)).all()
    assert (bench.dense_of(after, part.o, 1) == fresh.reference(x).reshape(1, -1)).all()


def test_weights_outside_the_loadable_range():
    with pytest.raises(ValueError, match="outside the loadable -1..1"):
        EventDense(np.full((2, 2), 3), steps=1, lanes=2, slice=1, loadable=(-1, 1))
