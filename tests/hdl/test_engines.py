"""Engines over many vectors a frame: weight sets, channels side by side, lockstep, pools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.depthwise import Depthwise
from codesign.hdl.lockstep import Lockstep
from codesign.hdl.matvec import MatVec
from codesign.hdl.pool import Pool
from codesign.hdl.timing import drive, run_chain
from codesign.hdl.unrolled import UnrolledMatVec
from tests.hdl import harness

CASES = settings(max_examples=15, derandomize=True, deadline=None, database=None)
STALLS = st.sampled_from([(0.0, 0.0), (0.4, 0.0), (0.0, 0.5), (0.3, 0.3)])


def divisor(data, n):
    return data.draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0]))


def check(dut, x, want, stalls, beats_in):
    want = want.reshape(len(x), -1)
    trace = harness.run(
        dut, x.reshape(len(x), -1), want.shape[1], stall_in=stalls[0], stall_out=stalls[1]
    )
    assert np.array_equal(trace.frames, want)
    if stalls == (0.0, 0.0):
        assert drive(lambda: [dut.timing()], beats_in, len(x)) == (trace.taken, trace.given)


@CASES
@given(st.data(), STALLS)
def test_weight_sets_in_turn(data, stalls):
    pick = lambda lo, hi: data.draw(st.integers(lo, hi))  # noqa: E731
    sets, rows, k, vectors = pick(1, 3), pick(1, 4), pick(1, 6), pick(2, 3)
    pe, simd = divisor(data, rows), divisor(data, k)
    rng = np.random.default_rng(pick(0, 999))
    weights, bias = rng.integers(-7, 8, (sets * rows, k)), rng.integers(-99, 99, sets * rows)
    dut = MatVec(
        weights, in_lo=-4, in_hi=3, bias=bias, pe=pe, simd=simd, vectors=vectors, sets=sets
    )
    x = rng.integers(-4, 4, (3, vectors, sets, k))
    want = np.einsum("bvsk,srk->bvsr", x, weights.reshape(sets, rows, k))
    want = want + bias.reshape(sets, rows)
    beats = vectors * sets * k // simd
    check(dut, x, want, stalls, beats)
    assert run_chain(lambda: [dut.timing()], beats)[1] == vectors * sets * dut.nf * dut.sf


@CASES
@given(st.data(), STALLS)
def test_depthwise(data, stalls):
    pick = lambda lo, hi: data.draw(st.integers(lo, hi))  # noqa: E731
    folds, lanes, taps, many, vectors = pick(1, 3), pick(1, 3), pick(1, 6), pick(1, 2), pick(1, 3)
    simd, channels = divisor(data, taps), folds * lanes
    rng = np.random.default_rng(pick(0, 999))
    weights = rng.integers(-7, 8, (channels * many, taps))
    bias = rng.integers(-99, 99, channels * many)
    dut = Depthwise(weights, channels=channels, lanes=lanes, simd=simd, in_lo=-4, in_hi=3,
                    bias=bias, vectors=vectors)  # fmt: skip
    x = rng.integers(-4, 4, (3, vectors, folds, taps, lanes))
    want = np.einsum("bvftl,flmt->bvflm", x, weights.reshape(folds, lanes, many, taps))
    check(dut, x, want + bias.reshape(folds, lanes, many), stalls, vectors * folds * taps // simd)


@CASES
@given(st.data(), STALLS, st.sampled_from(["max", "sum"]))
def test_pool(data, stalls, function):
    pick = lambda lo, hi: data.draw(st.integers(lo, hi))  # noqa: E731
    lanes, beats, side, folds = pick(1, 3), pick(1, 4), pick(1, 5), pick(1, 7)
    windows, zero = folds * pick(1, 2), pick(-2, 2)
    taps = beats * side
    top = (-5, 6) if function == "max" else (taps * (-5 - zero), taps * (6 - zero))
    dut = Pool(function, in_lo=-5, in_hi=6, out_lo=top[0], out_hi=top[1], lanes=lanes, beats=beats,
               side=side, windows=windows, folds=folds, offset=-zero * taps)  # fmt: skip
    rng = np.random.default_rng(pick(0, 999))
    x = rng.integers(-5, 7, (3, windows // folds, beats, folds, side, lanes))
    want = x.max(axis=(2, 4)) if function == "max" else (x - zero).sum(axis=(2, 4))
    check(dut, x, want, stalls, windows * beats)
    assert run_chain(lambda: [dut.timing()], windows * beats)[1] == windows * beats


def test_lockstep_and_many_vectors_unrolled():
    weights = np.random.default_rng(0).integers(-3, 4, (3, 4))
    parts = [UnrolledMatVec(weights, in_lo=0, in_hi=3, depth=2, vectors=3) for _ in range(2)]
    dut = Lockstep(parts)
    x = np.random.default_rng(1).integers(0, 4, (5, 6, 4))
    for stalls in ((0.0, 0.0), (0.3, 0.4)):
        check(dut, x, x @ weights.T, stalls, 3)
    with pytest.raises(ValueError, match="equal ports"):
        Lockstep([parts[0], UnrolledMatVec(weights[:2], in_lo=0, in_hi=3)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vectors": 2, "pe": 3}, "must divide the 4 x 6 weights"),
        ({"sets": 2, "simd": 4}, "must divide the 2 x 6 weights"),
        ({"sets": 3}, "sets must divide rows"),
        ({"side": 2, "pe": 2}, "side by side need pe = 4"),
    ],
)
def test_says_what_is_wrong(changes, message):
    options = {"in_lo": 0, "in_hi": 1, "pe": 1, "simd": 1} | changes
    with pytest.raises(ValueError, match=message):
        MatVec(np.ones((4, 6), np.int64), **options)
