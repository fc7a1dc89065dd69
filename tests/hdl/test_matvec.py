"""The folded matrix-vector unit against numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl import multiplier as products
from codesign.hdl.matvec import MatVec
from codesign.hdl.timing import run_chain
from tests.hdl import harness

CASES = settings(max_examples=20, derandomize=True, deadline=None, database=None)


@CASES
@given(st.data())
def test_equals_numpy(data):
    def pick(lo, hi):
        return data.draw(st.integers(lo, hi))

    n, k = pick(1, 7), pick(1, 9)
    pe, simd = pick(1, n), pick(1, k)
    w_lo, w_hi = data.draw(st.sampled_from([(-1, 1), (0, 1), (-2, 1), (-7, 7), (0, 255),
                                            (-128, 127), (-300, 17), (5, 5), (0, 0)]))  # fmt: skip
    in_lo = pick(-9, 5)
    in_hi = in_lo + pick(0, 20)
    rng = np.random.default_rng(pick(0, 9999))
    weights = rng.integers(w_lo, w_hi + 1, (n, k))
    bias = rng.integers(-999, 999, n) if pick(0, 1) else None
    multiplier = data.draw(st.sampled_from(["lut", "dsp"]))
    memory = data.draw(st.sampled_from(["auto", "block", "lut"]))
    dut = MatVec(weights, in_lo=in_lo, in_hi=in_hi, bias=bias, pe=pe, simd=simd,
                 multiplier=multiplier, weight_memory=memory, max_stages=pick(2, 6))  # fmt: skip
    corners = np.array([[in_lo] * k, [in_hi] * k])
    x = np.concatenate([corners, rng.integers(in_lo, in_hi + 1, (4, k))])
    stall = data.draw(st.sampled_from([0.0, 0.4]))
    reset = data.draw(st.sampled_from([None, 7, 13]))
    trace = harness.run(dut, x, n, stall_in=stall, stall_out=stall, reset_at=reset)
    want = x @ weights.T + (0 if bias is None else bias)
    assert (trace.frames == want).all()
    assert dut.acc_lo <= want.min() and want.max() <= dut.acc_hi


def test_accumulator_range_is_exact():
    weights = np.array([[3, -2], [1, 1]])
    dut = MatVec(weights, in_lo=-4, in_hi=3, bias=np.array([10, 0]), pe=1, simd=1)
    assert (dut.acc_lo, dut.acc_hi) == (10 - 12 - 6, 10 + 9 + 8)
    harness.run(dut, np.array([[0, 0]]), 2)


@pytest.mark.parametrize("simd", [1, 8, 64])
@pytest.mark.parametrize("bits", [4, 8])
def test_latency_stays_in_budget(simd, bits):
    top = 1 << (bits - 1)
    weights = np.random.default_rng(0).integers(1 - top, top, (16, 128))
    dut = MatVec(weights, in_lo=0, in_hi=2 * top - 1, pe=2, simd=simd)
    latency, ii = run_chain(lambda: [dut.timing()], dut.sf)
    assert ii == dut.nf * dut.sf
    assert latency <= ii + 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pe": 3}, "pe must lie in 1..2"),
        ({"simd": 0}, "simd must lie in 1..3"),
        ({"in_lo": 4}, "empty input range 4..3"),
        ({"multiplier": "booth"}, "got 'booth'"),
        ({"weight_memory": "flash"}, "got 'flash'"),
        ({"bias": np.zeros(3, np.int64)}, r"bias of shape \(2,\), got \(3,\)"),
        ({"max_stages": 1}, "got 1"),
    ],
)
def test_says_what_is_wrong(changes, message):
    arguments = {"in_lo": 0, "in_hi": 3, "pe": 1, "simd": 1} | changes
    with pytest.raises(ValueError, match=message):
        MatVec(np.ones((2, 3), np.int64), **arguments)


@given(st.sets(st.integers(-40000, 40000), min_size=1, max_size=40))
@settings(max_examples=200, derandomize=True, deadline=None, database=None)
def test_recoding_is_exact(values):
    weights = np.array(sorted(values))
    recoding = products.recode(weights)
    digits = recoding.digits(weights)
    codes = recoding.codes(weights)
    total = sum(d << p.shift for d, p in zip(digits, recoding.planes, strict=True))
    assert (total == weights).all()
    for plane, digit in zip(recoding.planes, digits, strict=True):
        code = sum(((codes >> b) & 1) << i for i, b in enumerate(plane.bits))
        assert [plane.alphabet[c] for c in code] == digit.tolist()
    assert codes.max() < 1 << recoding.width
