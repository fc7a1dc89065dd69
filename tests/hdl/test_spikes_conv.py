"""EventConv and EventPool: every current of every step, cycles as modelled."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codesign.hdl.spikes.conv import EventConv
from codesign.hdl.spikes.geometry import Axis, reciprocal
from codesign.hdl.spikes.pool import EventPool
from codesign.spikes import layers
from tests.hdl import spike_harness as bench
from tests.hdl.test_spikes_streams import spikes

FEW = settings(derandomize=True, deadline=None, database=None, max_examples=14)
STALLS = st.sampled_from([(0.0, 0.0), (0.0, 0.0), (0.5, 0.0), (0.0, 0.7), (0.3, 0.3)])
PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


def check(part, x, steps, levels, expected, stalls, signed=False):
    """Two frames through ``part``: currents and, without stalls, cycles."""
    flat = x.reshape(2, steps, -1)
    sent = bench.event_words(flat, part.i.payload.shape(), levels, signed)
    trace = bench.run(part, sent, 2 * steps * part.store.beats, stalls=stalls)
    assert (bench.dense_of(trace.words, part.o, 2) == expected.reshape(2, -1)).all()
    if stalls == (0.0, 0.0):
        taken, given = bench.modelled(part.timing(flat), len(sent))
        assert (trace.taken, trace.given) == (taken, given)


@FEW
@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=PAIR,
    stride=PAIR,
    dilation=st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 3)]),
    padding=st.tuples(*[st.integers(0, 2)] * 4),
    channels=st.integers(1, 4),
    folds=st.integers(1, 2),
    slices=st.integers(1, 2),
    slice=st.integers(1, 2),
    depthwise=st.booleans(),
    levels=st.sampled_from([1, 1, 3]),
    rate=st.sampled_from([0.0, 0.1, 0.4, 1.0]),
    stalls=STALLS,
    biased=st.booleans(),
    signed=st.booleans(),
)
def test_currents_and_cycles(
    size, kernel, stride, dilation, padding, channels, folds, slices, slice,
    depthwise, levels, rate, stalls, biased, signed,
):  # fmt: skip
    try:
        layers.output_size(size, kernel, stride, padding, dilation)
    except ValueError:
        assume(False)
    rng = np.random.default_rng(channels)
    lanes = slices * slice
    each = lanes * folds
    if depthwise:
        each = slice
        lanes, slices = each * (channels if slices == 2 else 1), 0
    w = rng.integers(-4, 4, (*kernel, channels, each))
    outputs = channels * each if depthwise else each
    bias = rng.integers(-4, 5, outputs) if biased else None
    x = spikes(3, 2, 2, size[0] * size[1] * channels, levels, rate, signed)
    x = x.reshape(2, 2, *size, channels)
    how = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "depthwise": depthwise,
        "bias": bias,
    }
    part = EventConv(
        w, size=size, steps=2, lanes=lanes, slice=slice, levels=levels, signed=signed, **how
    )
    expected = layers.conv(x, w, **how)
    assert part.out_shape == expected.shape[2:]
    check(part, x, 2, levels, expected, stalls, signed)


@FEW
@given(
    size=st.tuples(st.integers(2, 6), st.integers(2, 6)),
    window=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    stride=PAIR,
    channels=st.sampled_from([1, 3, 4]),
    function=st.sampled_from(["sum", "or"]),
    rate=st.sampled_from([0.0, 0.2, 1.0]),
    wide=st.booleans(),
    stalls=STALLS,
)
def test_pooling(size, window, stride, channels, function, rate, wide, stalls):
    levels = 2 if function == "sum" and channels == 3 else 1
    x = spikes(5, 2, 3, size[0] * size[1] * channels, levels, rate)
    x = x.reshape(2, 3, *size, channels)
    part = EventPool(
        function, channels=channels, size=size, window=window, stride=stride, steps=3,
        lanes=channels if wide else 1, slice=channels if wide else 1, levels=levels,
    )  # fmt: skip
    check(part, x, 3, levels, layers.pool(x, window, stride, function), stalls)


def test_reference_is_a_convolution():
    """The reference against a sum over windows written out."""
    rng = np.random.default_rng(0)
    x, w = rng.integers(0, 2, (4, 5, 3)), rng.integers(-3, 4, (3, 2, 3, 2))
    found = layers.conv(x, w, stride=(2, 1), padding=(1, 0, 0, 1))
    padded = np.pad(x, ((1, 0), (0, 1), (0, 0)))
    for y in range(found.shape[0]):
        for u in range(found.shape[1]):
            window = padded[2 * y : 2 * y + 3, u : u + 2]
            assert (found[y, u] == np.einsum("abc,abcm->m", window, w)).all()


@pytest.mark.parametrize("reset_at", [5, 60])
def test_reset_in_mid_frame_forgets(reset_at):
    rng = np.random.default_rng(2)
    w = rng.integers(-8, 8, (3, 3, 2, 4))
    x = spikes(6, 2, 3, 32, 1, 0.5).reshape(2, 3, 4, 4, 2)
    part = EventConv(w, size=(4, 4), steps=3, lanes=2, slice=2, padding=(1, 1, 1, 1))
    sent = bench.event_words(x.reshape(2, 3, -1), part.i.payload.shape())
    words = bench.run(part, sent, 6 * part.store.beats, reset_at=reset_at).words
    expected = layers.conv(x, w, padding=(1, 1, 1, 1))
    assert (bench.dense_of(words, part.o, 2) == expected.reshape(2, -1)).all()


def test_events_that_wait_keep_the_lanes_busy():
    w = np.random.default_rng(1).integers(-8, 8, (3, 3, 4, 4))
    x = spikes(4, 1, 4, 100, 1, 0.5)
    part = EventConv(w, size=(5, 5), steps=4, lanes=4, slice=4, padding=(1, 1, 1, 1))
    sent = bench.event_words(x, part.i.payload.shape())
    taken = bench.run(part, sent, 100).taken
    work = sum(part.slots(int(a)) for a in np.nonzero(x)[2])
    assert work / (taken[-1] - taken[0] + 1) >= 0.95


@pytest.mark.parametrize("divisor", [3, 5, 7, 10, 28, 100])
def test_division_is_exact(divisor):
    for limit in (1, divisor, 4 * divisor + 1, 3000):
        factor, shift = reciprocal(limit, divisor)
        values = np.arange(limit)
        assert ((values * factor >> shift) == values // divisor).all()


def test_sizes_are_checked():
    w = np.ones((3, 3, 2, 4), int)
    with pytest.raises(ValueError, match="lanes must divide the 4 output channels"):
        EventConv(w, size=(5, 5), steps=1, lanes=3, slice=1)
    with pytest.raises(ValueError, match="does not fit"):
        EventConv(w, size=(2, 5), steps=1, lanes=2, slice=1)
    with pytest.raises(ValueError, match="whole number of channels"):
        EventConv(w, size=(5, 5), steps=1, lanes=2, slice=1, depthwise=True)
    with pytest.raises(ValueError, match="start at 1"):
        Axis(4, 2, 0, 1, 0, 0)
    with pytest.raises(ValueError, match="'or' pools spikes of one level"):
        EventPool("or", channels=1, size=(2, 2), window=(2, 2), stride=(2, 2), steps=1,
                  lanes=1, slice=1, levels=2)  # fmt: skip
    with pytest.raises(ValueError, match="got 'max'"):
        EventPool("max", channels=1, size=(2, 2), window=(2, 2), stride=(2, 2), steps=1,
                  lanes=1, slice=1)  # fmt: skip
