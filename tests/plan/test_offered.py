"""Whatever the planner may choose can be built: operations say what they can do, it only asks."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import codesign
from codesign import boards
from codesign.errors import UsageError
from codesign.formats import ScaledInt
from codesign.frontend import import_qonnx
from codesign.ir import Value
from codesign.ir.plan import Plan
from codesign.ops.circuit import divisors
from codesign.ops.convolve import Convolve
from codesign.ops.matvec import MatVec
from codesign.ops.weighted import Weighted
from codesign.passes import lower
from codesign.passes.lower_conv import split_pads
from codesign.plan import Goal, partition, plan_design
from codesign.plan.engines import Demand, _foldings
from codesign.plan.planfile import LayerChoice, PlanFile
from tests.cnn_models import Net
from tests.models import Mlp, mlp

BOARD = boards.get("ulx3s")
TARGETS = [Goal("fastest"), Goal("ii", 1), Goal("ii", 7), Goal("ii", 100), Goal("smallest"),
           Goal("unrolled")]  # fmt: skip


@st.composite
def layers(draw: st.DrawFn) -> tuple[Weighted, Value]:
    """A convolution of any groups, in one or two dimensions, or a matrix, and its input."""
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    if draw(st.integers(0, 3)) == 0:
        n, k = draw(st.integers(1, 6)), draw(st.integers(1, 6))
        shape = draw(st.sampled_from([(k,), (1, k), (4, k), (2, 3, k)]))
        op = MatVec(rng.integers(-4, 4, (n, k)), np.zeros(n, int), np.ones(1))
        return op, Value("x", shape, ScaledInt(0, 3))
    groups, inner, rows = (draw(st.sampled_from(o)) for o in ((1, 2, 3, 4), (1, 2, 3), (1, 2, 4)))
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (2, 2), (3, 1), (1, 3)]))
    size = draw(st.sampled_from([(4, 4), (5, 6), (3, 8)]))
    strides, dilations = (draw(st.sampled_from([(1, 1), (2, 2), (1, 2)])) for _ in range(2))
    if kernel[0] == 1 and draw(st.booleans()):
        size, shape = (1, size[1]), (size[1], groups * inner)  # one dimension
    else:
        shape = (*size, groups * inner)
    pad = draw(st.integers(0, 1))
    pads = tuple(pad if kernel[i % 2] > 1 and size[i % 2] > 1 else 0 for i in range(4))
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    room = [s + pads[i] + pads[i + 2] for i, s in enumerate(size)]
    if any(r > s for r, s in zip(reach, room, strict=True)):
        dilations = (1, 1)
    weights = rng.integers(-2, 3, (groups * rows, *kernel, inner))
    bias = np.zeros(groups * rows, int)
    op = Convolve(weights, bias, np.ones(1), strides, dilations, pads, groups)
    x = Value("x", shape, ScaledInt(0, 3))
    kept, _ = split_pads(op.geometry(x))  # as lowering does
    return replace(op, pads=kept), x


def built(op: Weighted, x: Value, plan: Plan) -> None:
    """The component, with the lanes the plan promises; and the planner can weigh it."""
    out = Value("y", *op.infer(x))
    part = op.rtl([x], out, plan)
    data = {port: getattr(part, port).payload.shape()["data"].shape for port in "io"}
    assert data["i"].length == op.lanes_in(plan) and data["o"].length == op.lanes_out(plan)
    assert op.cycles([x], plan) > 0 and op.cost([x], out, plan).lut >= 0
    assert op.window_bits(x, plan) >= 0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(layers(), st.data())
def test_every_folding_offered_is_built(made: tuple[Weighted, Value], data: st.DataObject) -> None:
    op, x = made
    demand = Demand(data.draw(st.integers(1, 60)), None, 0)
    offered = list(_foldings(op, x, demand, LayerChoice()))
    assert offered
    for f in data.draw(st.lists(st.sampled_from(offered), min_size=1, max_size=6)):
        built(op, x, Plan("folded", f.pe, f.simd, pixels=f.pixels))
    for pixels in op.pixel_options(x)[:3]:
        built(op, x, Plan("unrolled", *op.matrix, pixels=pixels))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(layers())
def test_every_folding_that_can_be_built_is_offered(made: tuple[Weighted, Value]) -> None:
    """No more is left out than what the operation refuses."""
    op, x = made
    n, k = op.matrix
    offered = {(f.pe, f.simd, f.pixels) for f in op.foldings(x)}
    for pe, simd, pixels in product(divisors(n), divisors(k), op.pixel_options(x)):
        if (pe, simd, pixels) in offered:
            continue
        with pytest.raises(ValueError):
            op.cycles([x], Plan("folded", pe, simd, pixels=pixels))


def grouped(channels: int, out: int, groups: int, kernel: int, size: int = 4) -> onnx.ModelProto:
    net = Net((channels, size, size), seed=3)
    pads = [kernel // 2] * 4
    x = net.conv(net.quant("x"), channels, out, (kernel, kernel), group=groups, pads=pads)
    return net.model(net.quant(net.node("Relu", x), 4, 0.5, signed=False))


SHAPES = [(4, 8, 2, 3), (4, 4, 2, 1), (6, 6, 3, 3), (4, 4, 4, 3), (2, 6, 2, 3), (8, 4, 4, 1)]


@pytest.mark.parametrize("goal", TARGETS, ids=lambda g: f"{g.kind}{g.ii}")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_grouped_convolutions_have_a_plan_for_every_target(shape, goal: Goal) -> None:
    circuit = partition(lower(import_qonnx(grouped(*shape)).graph))
    for layer, plan in zip(circuit.layers, plan_design(circuit, goal, BOARD).values(), strict=True):
        node = layer.nodes[0]
        layer.head.build(tuple(circuit.graph.ins(node)), circuit.graph.out(node), plan)


@pytest.mark.parametrize(
    "options",
    [
        {},
        *(pytest.param({o: True}, marks=pytest.mark.slow) for o in ("unrolled", "runtime_weights")),
    ],
    ids=str,
)
def test_a_grouped_convolution_is_exact(options: dict, tmp_path) -> None:
    design = codesign.generate(grouped(4, 8, 2, 3), tmp_path / "b", **options)
    assert design.verify(random_frames=50, cocotb=False).ok


@pytest.mark.parametrize(
    "choice, message",
    [
        ({"pixels": 3}, "pixels 3 cannot be built"),
        ({"pixels": 2}, "pixels 2 cannot be built"),  # two groups
        ({"style": "unrolled", "pixels": 3}, "pixels 3 cannot be computed side by side"),
        ({"style": "unrolled", "pe": 2}, "pe: not of a layer that is unrolled"),
        ({"depth": 2}, "depth: not of a layer that is folded"),
    ],
    ids=str,
)
def test_a_plan_file_that_cannot_be_built_is_refused(choice: dict, message: str) -> None:
    circuit = partition(lower(import_qonnx(grouped(4, 8, 2, 3)).graph))
    plan = PlanFile(layers={circuit.layers[0].name: LayerChoice(**choice)})
    with pytest.raises(UsageError, match=message):
        plan_design(circuit, Goal("smallest"), BOARD, plan)


def test_pixels_of_a_single_vector_are_refused() -> None:
    """They were left out without a word."""
    circuit = partition(lower(import_qonnx(mlp(Mlp())).graph))
    plan = PlanFile(layers={"fc0": LayerChoice(pixels=4)})
    with pytest.raises(UsageError, match="pixels 4 cannot be built"):
        plan_design(circuit, Goal("smallest"), BOARD, plan)
