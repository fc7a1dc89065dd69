"""Products of two streamed matrices: exact under stalls, cycles as modelled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.dynamic_matmul import DynamicMatMul, Sizes
from tests.hdl.two_inputs import modelled, run_inputs

CASES = settings(max_examples=40, derandomize=True, deadline=None, database=None)
STALLS = st.sampled_from([(0.0, 0.0), (0.0, 0.0), (0.4, 0.0), (0.2, 0.5), (0.0, 0.6)])


@CASES
@given(st.data())
def test_product(data):
    pe, simd = (data.draw(st.integers(1, 3)) for _ in range(2))
    size = Sizes(
        data.draw(st.integers(1, 3)),
        data.draw(st.integers(1, 3)),
        simd * data.draw(st.integers(1, 3)),
        pe * data.draw(st.integers(1, 3)),
    )
    lows = [data.draw(st.integers(-9, 3)) for _ in range(2)]
    ranges = [(lo, lo + data.draw(st.integers(0, 15))) for lo in lows]
    zeros = tuple(data.draw(st.integers(-4, 4)) for _ in range(2))
    transposed = data.draw(st.booleans())
    multiplier = data.draw(st.sampled_from(["lut", "dsp"]))
    stalls = data.draw(STALLS)
    component = DynamicMatMul(size, ranges=ranges, zeros=zeros, transposed=transposed, pe=pe,
                              simd=simd, multiplier=multiplier)  # fmt: skip
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    frames = 4
    a = rng.integers(ranges[0][0], ranges[0][1] + 1, (frames, size.sets, size.m, size.k))
    b = rng.integers(ranges[1][0], ranges[1][1] + 1, (frames, size.sets, size.k, size.n))
    expected = (a - zeros[0]) @ (b - zeros[1])
    assert component.acc_lo <= expected.min() and expected.max() <= component.acc_hi
    stream = b.swapaxes(2, 3) if transposed else b
    got, taken, given_at = run_inputs(
        component,
        [a.reshape(frames, -1), stream.reshape(frames, -1)],
        size.sets * size.m * size.n,
        stall_in=stalls[0],
        stall_out=stalls[1],
        seed=3,
    )
    assert np.array_equal(got, expected.reshape(frames, -1))
    if stalls == (0.0, 0.0):
        sets = frames * size.sets
        beats = [sets * size.m * component.sf, sets * component.right_beats]
        assert modelled(component.timing(), beats) == (taken, given_at)


def test_one_result_beat_a_cycle_between_matrices():
    """Two matrices alternate: the multipliers never wait in steady state."""
    size = Sizes(1, 4, 4, 4)
    component = DynamicMatMul(size, ranges=[(-8, 7)] * 2, transposed=True, pe=2, simd=2)
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-8, 8, (6, 16)) for _ in range(2))
    _, _, given_at = run_inputs(component, [a, b], 16)
    ends = given_at[7::8]
    assert set(np.diff(ends)[1:]) == {4 * 4 * 4 // 4}


def test_sizes_that_do_not_divide():
    with pytest.raises(ValueError, match="pe 3 must divide n 4"):
        DynamicMatMul(Sizes(1, 2, 4, 4), ranges=[(0, 1)] * 2, transposed=False, pe=3, simd=1)
