"""The event model against the Amaranth simulator: every transfer in the same cycle."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.argmax import ArgMax
from codesign.hdl.chain import Chain
from codesign.hdl.matvec import MatVec
from codesign.hdl.register_slice import RegisterSlice
from codesign.hdl.requant import Requant, Rom, ShiftRound, Thresholds
from codesign.hdl.stream import beat, range_shape
from codesign.hdl.timing import drive, run_chain
from codesign.hdl.width_adapter import adapter_timing, width_adapter
from tests.hdl import harness

CASES = settings(max_examples=12, derandomize=True, deadline=None, database=None)


def build_layer(draw_int, parts, models, reference, sizes, lanes):
    """Adapter, MatVec and Requant with random folding; returns (N, pe)."""
    rng = np.random.default_rng(draw_int(0, 999))
    k = sizes
    n = draw_int(1, 7)
    pe, simd = draw_int(1, n), draw_int(1, k)
    if lanes is not None and lanes != simd:
        parts.append(width_adapter(0, 7, k, lanes, simd))
        models.append(lambda: adapter_timing(k, lanes, simd))
    weights = rng.integers(-4, 4, (n, k))
    stages = draw_int(2, 6)
    matvec = MatVec(weights, in_lo=0, in_hi=7, pe=pe, simd=simd, max_stages=stages)
    shift = ShiftRound(rng.integers(-9, 9, n), 3, "half_even")
    requant = Requant(
        shift, in_lo=matvec.acc_lo, in_hi=matvec.acc_hi, out_lo=0, out_hi=7, channels=n, lanes=pe
    )
    parts += [matvec, requant]
    models += [lambda: [matvec.timing()], lambda: [requant.timing()]]
    reference.append(lambda x: np.clip(shift.evaluate(x @ weights.T), 0, 7))
    return n, pe, simd


@CASES
@given(st.data())
def test_chain_matches_simulation(data):
    def draw_int(lo, hi):
        return data.draw(st.integers(lo, hi))

    k = draw_int(1, 8)
    parts, models, reference = [], [], []
    size, lanes, first_lanes = k, None, None
    for _ in range(draw_int(1, 3)):
        size, lanes, simd = build_layer(draw_int, parts, models, reference, size, lanes)
        first_lanes = first_lanes or simd
        if draw_int(0, 2) == 0:
            parts.append(RegisterSlice(beat(range_shape(0, 7), lanes)))
            models.append(lambda part=parts[-1]: [part.timing()])
    out = size
    if draw_int(0, 1):
        parts.append(ArgMax(0, 7, size, lanes))
        models.append(lambda part=parts[-1]: [part.timing()])
        reference.append(lambda x: x.argmax(axis=1)[:, None])
        out = 1
    frames = 7
    x = np.random.default_rng(draw_int(0, 999)).integers(0, 8, (frames, k))
    chain = Chain({f"part{j}": part for j, part in enumerate(parts)})
    trace = harness.run(chain, x, out)
    want = x
    for function in reference:
        want = function(want)
    assert (trace.frames == want).all()

    def build():
        return [model for make in models for model in make()]

    beats = -(-k // first_lanes)
    assert drive(build, beats, frames) == (trace.taken, trace.given)


@pytest.mark.parametrize(("nf", "sf", "latency"), [(3, 4, 5), (1, 6, 4), (5, 1, 3)])
def test_folded_unit_has_no_bubbles(nf, sf, latency):
    from codesign.hdl.timing import MatVecTiming

    got = run_chain(lambda: [MatVecTiming(nf, sf, latency)], sf)
    assert got == (nf * sf - 1 + latency, nf * sf)


def test_slow_downsizer_stalls_its_source():
    """Four lanes leave one at a time: the II is the downsizer's, and the model knows."""
    weights = np.eye(4, dtype=np.int64)
    matvec = MatVec(weights, in_lo=0, in_hi=7, pe=4, simd=4)
    chain = Chain({"matvec": matvec, "width": width_adapter(0, 7, 4, 4, 1)})
    x = np.arange(20).reshape(5, 4) % 8
    trace = harness.run(chain, x, 4)
    taken, given = drive(lambda: [matvec.timing(), *adapter_timing(4, 4, 1)], 1, 5)
    assert (taken, given) == (trace.taken, trace.given)
    assert run_chain(lambda: [matvec.timing(), *adapter_timing(4, 4, 1)], 1)[1] == 4


def test_random_stalls_do_not_change_codes():
    rng = np.random.default_rng(3)
    first = rng.integers(-4, 4, (6, 5))
    matvec = MatVec(first, in_lo=-4, in_hi=3, pe=4, simd=2)
    table = rng.integers(0, 8, (1, matvec.acc_hi - matvec.acc_lo + 1))
    real = Rom(table, matvec.acc_lo)
    requant = Requant(real, in_lo=matvec.acc_lo, in_hi=matvec.acc_hi, out_lo=0, out_hi=7,
                      channels=6, lanes=4)  # fmt: skip
    up = width_adapter(0, 7, 6, 4, 3)
    steps = Thresholds(np.zeros(1, np.int64), np.ones(1, np.int64), np.array([[2, 4, 6]]))
    final = Requant(steps, in_lo=0, in_hi=7, out_lo=0, out_hi=3, channels=6, lanes=3)
    parts = {"matvec": matvec, "requant": requant, "width": up, "final": final}
    x = rng.integers(-4, 4, (9, 5))
    want = steps.evaluate(real.evaluate(x @ first.T))
    probability = random.Random(1).choice([0.2, 0.5])
    trace = harness.run(Chain(parts), x, 6, stall_in=probability, stall_out=0.4)
    assert (trace.frames == want).all()
