"""The pipelined shift-add component computes W x + bias, cycle-exactly, whatever stalls."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from codesign.hdl.timing import run_chain
from codesign.hdl.unrolled import UnrolledMatVec

from .harness import run

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def cases(draw):
    """weights [N, K], lo, hi, bias, depth."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, k = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    weights = rng.integers(-7, 8, (n, k)) * (rng.random((n, k)) < 0.8)
    lo, hi = draw(st.sampled_from([(0, 15), (0, 1), (-8, 7), (-1, 1), (-5, 20), (3, 9)]))
    bias = draw(st.sampled_from([None, rng.integers(-99, 99, n)]))
    return weights, lo, hi, bias, draw(st.integers(1, 4))


def frames_for(case, count):
    weights, lo, hi, bias, _ = case
    x = np.random.default_rng(1).integers(lo, hi + 1, (count, weights.shape[1]))
    return x, x @ weights.T + (0 if bias is None else bias)


def make(case):
    weights, lo, hi, bias, depth = case
    return UnrolledMatVec(weights, in_lo=lo, in_hi=hi, bias=bias, depth=depth)


@seed(1)
@few
@given(cases(), st.sampled_from([(0.0, 0.0), (0.4, 0.0), (0.0, 0.6), (0.3, 0.3)]))
def test_random_stalls(case, stalls):
    x, expected = frames_for(case, 12)
    dut = make(case)
    trace = run(dut, x, len(expected[0]), stall_in=stalls[0], stall_out=stalls[1], seed=3)
    assert np.array_equal(trace.frames, expected)
    assert dut.acc_lo <= expected.min() and expected.max() <= dut.acc_hi
    if stalls == (0.0, 0.0):  # back to back: latency is the depth, one result a cycle
        assert [g - t for g, t in zip(trace.given, trace.taken, strict=True)] == [dut.depth] * 12
        assert np.all(np.diff(trace.given) == 1)


@seed(2)
@few
@given(cases(), st.integers(1, 12))
def test_reset_mid_stream(case, cycle):
    x, expected = frames_for(case, 12)
    trace = run(make(case), x, len(expected[0]), stall_out=0.3, reset_at=cycle)
    assert np.array_equal(trace.frames, expected)


def test_timing_model():
    dut = UnrolledMatVec([[1, -3], [5, 7]], in_lo=0, in_hi=15, depth=3)
    assert run_chain(lambda: [dut.timing()], 1) == (3, 1)


def test_extreme_inputs_reach_the_bounds():
    weights = np.array([[3, -5, 7], [-1, -1, 2]])
    dut = UnrolledMatVec(weights, in_lo=-8, in_hi=7, bias=[1, 1], depth=2)
    x = np.array([[7, -8, 7], [-8, 7, -8], [-8, -8, 7]])
    expected = x @ weights.T + 1
    assert np.array_equal(run(dut, x, 2).frames, expected)
    assert (dut.acc_lo, dut.acc_hi) == (expected.min(), expected.max())


def test_messages():
    with pytest.raises(ValueError, match="at least one row and one column, got 0 x 3"):
        UnrolledMatVec(np.zeros((0, 3), int), in_lo=0, in_hi=1)
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        UnrolledMatVec([[1]], in_lo=0, in_hi=1, depth=0)
