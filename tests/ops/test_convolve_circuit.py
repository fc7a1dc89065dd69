"""Convolutions in every folding, as circuits: codes under stalls, cycles as predicted."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codesign.formats import ScaledInt
from codesign.hdl.timing import drive, run_chain
from codesign.hdl.windows.geometry import Geometry
from codesign.ir import Value
from codesign.ir.plan import Plan
from codesign.ops.convolve import Convolve
from codesign.ops.convolve_parts import ConvolveParts
from codesign.ops.matvec import MatVec
from codesign.ops.max_pool import MaxPool
from codesign.ops.sum_pool import SumPool
from tests.hdl import harness
from tests.hdl.test_windows import maps

CASES = settings(max_examples=20, derandomize=True, deadline=None, database=None)
STALLS = st.sampled_from([(0.0, 0.0), (0.0, 0.0), (0.4, 0.3)])


def check(op, x, format, plan, stalls):
    value = Value("x", x.shape[1:], format)
    out = Value("y", *op.infer(value))
    want = op.execute([value], x).reshape(len(x), -1)
    dut = op.rtl([value], out, plan)
    lanes = harness.layout_of(dut.i)[0], harness.layout_of(dut.o)[0]
    assert lanes == (op.lanes_in(plan), op.lanes_out(plan))
    trace = harness.run(
        dut, x.reshape(len(x), -1), want.shape[1], stall_in=stalls[0], stall_out=stalls[1]
    )
    assert np.array_equal(trace.frames, want)
    assert op.cost([value], out, plan).lut >= 0 and op.realisation(plan) is not None
    beats = value.elements // lanes[0]
    if stalls == (0.0, 0.0):
        taken, given = drive(lambda: [dut.timing()], beats, len(x))
        assert given == trace.given
        assert taken[: len(trace.taken)] == trace.taken  # rows left out may come after the end
    return run_chain(lambda: [dut.timing()], beats, 8)[1], op.cycles([value], plan)


@CASES
@given(st.data(), maps(most=5), STALLS)
def test_folded(data, g, stalls):
    groups, inner, rows = data.draw(
        st.sampled_from(
            [(1, 1, 3), (1, 4, 4), (1, 3, 2), (2, 2, 2), (2, 1, 1), (3, 1, 2), (4, 1, 1)]
        )
    )
    assume((g.indices() >= 0).any())
    rng = np.random.default_rng(1)
    n = groups * rows
    op = Convolve(rng.integers(-4, 4, (n, *g.kernel, inner)), rng.integers(-9, 9, n), np.ones(1),
                  g.strides, g.dilations, g.pads, groups, pad_code=1)  # fmt: skip
    x = rng.integers(-2, 3, (3, *g.size, groups * inner))
    value = Value("x", x.shape[1:], ScaledInt(-2, 2))
    f = data.draw(st.sampled_from(list(op.foldings(value))))
    plan = Plan("folded", f.pe, f.simd, pixels=f.pixels)
    got, predicted = check(op, x, value.format, plan, stalls)
    assert got == predicted


@pytest.mark.parametrize(("stride", "pad"), [(2, 1), (1, 0)])
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.4, 0.3)])
def test_bursts_of_windows_keep_multipliers_busy(stride, pad, stalls):
    rng = np.random.default_rng(1)
    op = Convolve(rng.integers(-4, 4, (4, 3, 3, 2)), rng.integers(-9, 9, 4), np.ones(1),
                  (stride, stride), pads=(pad,) * 4)  # fmt: skip
    x = rng.integers(-2, 3, (3, 8, 8, 2))
    plan = Plan("folded", 1 if stride == 2 else 2, 18)
    value = Value("x", x.shape[1:], ScaledInt(-2, 2))
    parts = ConvolveParts(op, value, Value("y", *op.infer(value)), plan)
    assert parts.queue() > 0 and "queue" in parts.build().parts
    got, predicted = check(op, x, value.format, plan, stalls)
    assert got == predicted == (64 if stride == 2 else 72)  # multipliers alone take as much
    assert parts.cost(None).ff > parts.engine().cost(plan).ff


@CASES
@given(st.data(), maps(most=5), STALLS)
def test_unrolled(data, g, stalls):
    groups, inner = data.draw(st.sampled_from([(1, 1), (1, 2), (2, 1)]))
    assume((g.indices() >= 0).any())
    rng = np.random.default_rng(1)
    op = Convolve(rng.integers(-2, 3, (2, *g.kernel, inner)), rng.integers(-9, 9, 2), np.ones(1),
                  g.strides, g.dilations, g.pads, groups)  # fmt: skip
    x = rng.integers(0, 3, (3, *g.size, groups * inner))
    k = g.taps * groups * inner
    got, predicted = check(op, x, ScaledInt(0, 2), Plan("unrolled", 2, k), stalls)
    assert got == predicted


@CASES
@given(st.data(), maps(most=5), STALLS, st.sampled_from([MaxPool, SumPool]))
def test_pools(data, g, stalls, kind):
    if data.draw(st.integers(0, 3)) == 0:
        g = Geometry(g.size, g.size)
    assume(not (g.indices() < 0).all(axis=(2, 3)).any())
    channels = data.draw(st.sampled_from([1, 2, 4, 6]))
    lanes = data.draw(st.sampled_from([d for d in (1, 2, 3, 6) if channels % d == 0]))
    op = kind(g.kernel, g.strides, g.dilations, g.pads)
    x = np.random.default_rng(1).integers(-4, 4, (3, *g.size, channels))
    format = ScaledInt(-4, 3, zero_point=data.draw(st.integers(-2, 2)))
    got, predicted = check(op, x, format, op.stream_plan(lanes), stalls)
    assert got == predicted == op.cycles([Value("x", x.shape[1:], format)], op.stream_plan(lanes))


@pytest.mark.parametrize("style", ["unrolled", "folded"])
@pytest.mark.parametrize(("groups", "kernel"), [(1, 3), (2, 3), (1, 1)])
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.4, 0.3)])
def test_pixels_side_by_side(style, groups, kernel, stalls):
    rng = np.random.default_rng(1)
    op = Convolve(rng.integers(-2, 3, (4, kernel, kernel, 2 // groups)), rng.integers(-9, 9, 4),
                  np.ones(1), pads=(kernel // 2,) * 4, groups=groups)  # fmt: skip
    x = rng.integers(0, 3, (3, 5, 6, 2))
    value = Value("x", x.shape[1:], ScaledInt(0, 2))
    for pixels in op.pixel_options(value)[1:3]:
        k = kernel * kernel * 2
        plan = Plan("unrolled", 4, k, pixels=pixels)
        if style == "folded":
            plan = Plan("folded", 4 if groups > 1 else 2, kernel, pixels=pixels)
        got, predicted = check(op, x, value.format, plan, stalls)
        assert got == predicted
        if style == "unrolled":
            assert got == 30 // pixels


DENSE = [Plan("folded", 2, 2), Plan("unrolled", 4, 6), Plan("folded", 2, 3, pixels=3),
         Plan("unrolled", 4, 6, pixels=2)]  # fmt: skip


@pytest.mark.parametrize("plan", DENSE)
def test_dense_over_vectors(plan):
    rng = np.random.default_rng(0)
    op = MatVec(rng.integers(-4, 4, (4, 6)), rng.integers(-9, 9, 4), np.ones(1))
    x = rng.integers(0, 8, (4, 2, 3, 6))
    got, predicted = check(op, x, ScaledInt(0, 7), plan, (0.0, 0.0))
    assert got == predicted


def test_one_dimensional_and_single_pixel():
    rng = np.random.default_rng(0)
    line = Convolve(rng.integers(-4, 4, (4, 1, 3, 2)), np.zeros(4, np.int64), np.ones(1), (1, 2),
                    pads=(0, 1, 0, 1))  # fmt: skip
    check(line, rng.integers(0, 4, (3, 9, 2)), ScaledInt(0, 3), Plan("folded", 2, 2), (0.3, 0.3))
    whole = Convolve(rng.integers(-4, 4, (4, 3, 3, 2)), np.zeros(4, np.int64), np.ones(1))
    check(whole, rng.integers(0, 4, (3, 3, 3, 2)), ScaledInt(0, 3), Plan("folded", 2, 6), (0, 0.3))


@pytest.mark.parametrize(
    ("groups", "plan", "message"),
    [
        (1, Plan("folded", 3, 1), "must divide the 4 x 36"),
        (4, Plan("folded", 3, 1), "divisor of the 4 channels"),
        (2, Plan("folded", 1, 1, pixels=2), "need one group, not 2"),
        (4, Plan("folded", 2, 1, pixels=2), "need pe 4, got 2"),
    ],
)
def test_says_what_is_wrong(groups, plan, message):
    op = Convolve(np.ones((4, 3, 3, 4 // groups), int), np.zeros(4, int), np.ones(1), groups=groups)
    with pytest.raises(ValueError, match=message):
        op.lanes_in(plan)
