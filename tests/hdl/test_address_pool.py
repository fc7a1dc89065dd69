"""AddressPool: every event that goes on, in its order, at its cycle."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codesign.hdl.spikes.address_pool import AddressPool
from codesign.spikes import layers
from codesign.spikes.arrivals import Arrivals
from tests.hdl import spike_harness as bench
from tests.hdl.test_spikes_streams import spikes

FEW = settings(derandomize=True, deadline=None, database=None, max_examples=20)
STALLS = st.sampled_from([(0.0, 0.0), (0.0, 0.0), (0.5, 0.0), (0.0, 0.7), (0.3, 0.3)])
PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


def sums_of(words, layout, steps, outputs, counted):
    """What the events of each step add up to, int64 [steps of all frames, outputs], and the
    arrivals; step ends and last are checked."""
    fields = layout["data"].shape
    found, address, per_step = np.zeros((0, outputs), np.int64), [], []
    now, events = np.zeros(outputs, np.int64), 0
    for word in words:
        row = {name: word >> field.offset & ((1 << field.width) - 1) for name, field in fields}
        last = word >> layout["last"].offset
        if row["step_end"]:
            found, now = np.vstack([found, now]), np.zeros(outputs, np.int64)
            per_step.append(events)
            events = 0
            assert last == (len(found) % steps == 0)
            continue
        assert not last
        now[row["address"]] += row["count"] if counted else 1
        address.append(row["address"])
        events += 1
    return found, Arrivals(np.array(address, np.int64), np.array(per_step, np.int64))


def check(part, x, expected, stalls=(0.0, 0.0), levels=1, reset_at=None):
    """Frames ``x`` [frames, steps, inputs]: what goes on adds up to ``expected``, in the order
    and (without stalls) in the cycles that are modelled."""
    frames, steps = x.shape[:2]
    sent = bench.event_words(x, part.i.payload.shape(), levels)
    came = Arrivals.of(x)
    after = part.passes(came)
    beats = len(after.address) + frames * steps
    trace = bench.run(part, sent, beats, stalls=stalls, reset_at=reset_at)
    layout = part.o.payload.shape()
    found, seen = sums_of(trace.words, layout, steps, part.outputs, levels > 1)
    assert (found == expected.reshape(found.shape)).all()
    assert seen.address.tolist() == after.address.tolist()
    assert seen.per_step.tolist() == after.per_step.tolist()
    if stalls == (0.0, 0.0) and reset_at is None:
        assert bench.modelled(part.timing(came), len(sent)) == (trace.taken, trace.given)


@FEW
@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    window=PAIR,
    stride=PAIR,
    padding=st.tuples(*[st.integers(0, 1)] * 4),
    dilation=st.sampled_from([(1, 1), (1, 1), (2, 1)]),
    channels=st.integers(1, 3),
    function=st.sampled_from(["sum", "or"]),
    counted=st.booleans(),
    rate=st.sampled_from([0.0, 0.1, 0.4, 1.0]),
    stalls=STALLS,
)
def test_events_and_cycles(
    size, window, stride, padding, dilation, channels, function, counted, rate, stalls
):
    try:
        layers.output_size(size, window, stride, padding, dilation)
    except ValueError:
        assume(False)
    levels = 3 if counted and function == "sum" else 1
    x = spikes(3, 2, 4, size[0] * size[1] * channels, levels, rate)
    weights = np.ones((*window, channels, 1), np.int64)
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    expected = layers.conv(x.reshape(2, 4, *size, channels), weights, depthwise=True, **how)
    if function == "or":
        expected = (expected > 0).astype(np.int64)
    part = AddressPool(
        function, channels=channels, size=size, window=window, steps=4, levels=levels, **how
    )
    check(part, x, expected, stalls, levels)


@pytest.mark.parametrize("steps", [9, 13])
def test_old_marks_never_hide_an_event(steps):
    """Numbers of steps come again after as many as there are windows: here, many times; silent
    steps take none."""
    rng = np.random.default_rng(steps)
    part = AddressPool("or", channels=1, size=(2, 6), window=(2, 2), stride=(2, 2), steps=steps)
    x = (rng.random((6, steps, 12)) < rng.choice([0, 0.1, 0.4], (6, steps, 1))).astype(np.int64)
    expected = x.reshape(6, steps, 2, 3, 2).any(axis=(2, 4)).astype(np.int64)
    check(part, x, expected)


@pytest.mark.parametrize("reset_at", [5, 11, 30])
def test_a_reset_in_mid_frame_forgets_the_marks(reset_at):
    x = spikes(6, 2, 3, 32, 1, 0.6)
    part = AddressPool("or", channels=2, size=(4, 4), window=(2, 2), stride=(2, 2), steps=3)
    expected = x.reshape(2, 3, 2, 2, 2, 2, 2).any(axis=(3, 5)).astype(np.int64)
    check(part, x, expected, reset_at=reset_at)


def test_sizes_are_checked():
    common = {"channels": 1, "size": (2, 2), "window": (2, 2), "stride": (2, 2)}
    with pytest.raises(ValueError, match="'or' pools spikes of one level"):
        AddressPool("or", steps=1, levels=2, **common)
    with pytest.raises(ValueError, match="got 'max'"):
        AddressPool("max", steps=1, **common)
    with pytest.raises(ValueError, match="at least one step"):
        AddressPool("sum", steps=0, **common)
