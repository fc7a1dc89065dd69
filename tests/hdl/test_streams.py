"""Width adapters, ArgMax and the register slice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.argmax import ArgMax, argmax_timing
from codesign.hdl.register_slice import RegisterSlice
from codesign.hdl.stream import beat, range_shape
from codesign.hdl.timing import drive
from codesign.hdl.width_adapter import Downsizer, Upsizer, adapter_timing, width_adapter
from tests.hdl import harness

CASES = settings(max_examples=20, derandomize=True, deadline=None, database=None)
STALLS = st.sampled_from([0.0, 0.4])


def test_shapes():
    assert range_shape(0, 0).width == 1 and not range_shape(0, 7).signed
    assert (range_shape(-8, 7).width, range_shape(-1, 0).width, range_shape(3, 8).width) == (
        4,
        1,
        4,
    )
    with pytest.raises(ValueError, match="got 0"):
        beat(range_shape(0, 1), 0)


@CASES
@given(st.integers(1, 13), st.integers(1, 6), st.integers(1, 6), STALLS, STALLS)
def test_width_adapter(elements, a, b, stall_in, stall_out):
    if a == b:
        assert adapter_timing(elements, a, b) == []
        return
    x = np.random.default_rng(elements).integers(-5, 9, (5, elements))
    dut = width_adapter(-5, 8, elements, a, b)
    trace = harness.run(dut, x, elements, stall_in=stall_in, stall_out=stall_out, reset_at=6)
    assert (trace.frames == x).all()
    dut = width_adapter(-5, 8, elements, a, b)
    trace = harness.run(dut, x, elements)
    model = drive(lambda: adapter_timing(elements, a, b), -(-elements // a), 5)
    assert model == (trace.taken, trace.given)


def test_adapters_run_at_full_throughput():
    x = np.arange(40).reshape(5, 8)
    up = harness.run(Upsizer(0, 39, 8, 2, 4), x, 8)
    assert up.taken == list(range(20))
    down = harness.run(Downsizer(0, 39, 8, 4, 2), x, 8)
    assert down.given == list(range(1, 21))


@pytest.mark.parametrize(
    "build", [lambda: Upsizer(0, 1, 4, 2, 3), lambda: Downsizer(0, 1, 4, 3, 2)]
)
def test_adapters_say_what_is_wrong(build):
    with pytest.raises(ValueError, match="do not divide"):
        build()
    with pytest.raises(ValueError, match="need no adapter"):
        width_adapter(0, 1, 4, 2, 2)


@CASES
@given(st.integers(1, 11), st.data(), STALLS, STALLS)
def test_argmax(elements, data, stall_in, stall_out):
    lanes = data.draw(st.integers(1, elements))
    lo, hi = data.draw(st.sampled_from([(-3, 2), (0, 2), (-50, 90), (5, 5)]))
    x = np.random.default_rng(elements).integers(lo, hi + 1, (6, elements))
    dut = ArgMax(lo, hi, elements, lanes)
    trace = harness.run(dut, x, 1, stall_in=stall_in, stall_out=stall_out, reset_at=5)
    assert (trace.frames[:, 0] == x.argmax(axis=1)).all()
    trace = harness.run(ArgMax(lo, hi, elements, lanes), x, 1)
    model = drive(lambda: [argmax_timing(elements, lanes)], -(-elements // lanes), 6)
    assert model == (trace.taken, trace.given)


@CASES
@given(STALLS, STALLS)
def test_register_slice(stall_in, stall_out):
    x = np.random.default_rng(0).integers(-8, 8, (6, 9))
    dut = RegisterSlice(beat(range_shape(-8, 7), 3))
    trace = harness.run(dut, x, 9, stall_in=stall_in, stall_out=stall_out, reset_at=5)
    assert (trace.frames == x).all()
    trace = harness.run(RegisterSlice(beat(range_shape(-8, 7), 3)), x, 9)
    assert (trace.taken, trace.given) == (list(range(18)), list(range(1, 19)))
