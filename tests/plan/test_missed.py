"""A plan reaches the cycles that were asked for, or says that it does not: in every style."""

from __future__ import annotations

import math

import pytest

from codesign import boards
from codesign.build import Planned, describe
from codesign.formats import parse_format
from codesign.frontend import import_qonnx
from codesign.passes import lower
from codesign.plan import Circuit, Goal, partition
from codesign.plan.folding import missed_target
from tests.cnn_models import Net


def quantized_input(*shape: int) -> Circuit:
    """A requantized input of any shape, flattened, then two dense layers."""
    net = Net(shape)
    x = net.quant(net.node("Neg", "x"), 4, 0.25)
    size = math.prod(shape)
    x = net.node("Flatten", x) if len(shape) > 1 else x
    x = net.quant(net.dense(x, size, 6), 4, 0.5)
    return circuit(net, net.dense(x, 6, 3))


def residual(*shape: int) -> Circuit:
    """An addition, a pool and a convolution: pixels set the pace."""
    net = Net(shape)
    x = net.quant(net.node("Neg", "x"), 4, 0.25)
    y = net.quant(net.conv(x, shape[0], shape[0], (3, 3), pads=[1] * 4), 4, 0.25)
    x = net.quant(net.node("Add", x, y), 4, 0.25)
    return circuit(net, net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))


def circuit(net: Net, output: str) -> Circuit:
    """The input comes as codes, which the circuit quantizes."""
    given = parse_format("uint8:2^-8")
    return partition(lower(import_qonnx(net.model(output), input_format=given).graph))


def planned(made: Circuit, goal: Goal) -> tuple[int, object]:
    """(cycles between frames, what is said of a miss)."""
    board = boards.get("ulx3s")
    found = Planned.of(made, goal, board, None)
    rows: list = [type("Row", (), {"name": x.name, "ii": 1}) for x in made.layers]
    return found.cycles.ii, missed_target(made, goal, rows, found.cycles.ii)


@pytest.mark.parametrize("shape", [(12,), (3, 4), (2, 3, 4), (1, 5, 7), (4, 4, 1)])
def test_a_frame_a_cycle_unrolled_whatever_the_shape_of_the_input(shape: tuple[int, ...]) -> None:
    assert planned(quantized_input(*shape), Goal("unrolled")) == (1, None)


@pytest.mark.parametrize("goal", [Goal("unrolled"), *(Goal("ii", n) for n in (1, 3, 16, 40, 200))])
@pytest.mark.parametrize("build", [quantized_input, residual])
def test_reached_or_said(build, goal: Goal) -> None:
    made = build(2, 4, 4)
    ii, missed = planned(made, goal)
    asked = {"unrolled": 1 if build is quantized_input else 16}.get(goal.kind, goal.ii)
    assert (missed is not None) == (ii > asked)


@pytest.mark.parametrize("function", ["Add", "Mul", "Max"])
@pytest.mark.parametrize("shape", [(12,), (1, 3, 4), (3, 2, 2), (2, 6)], ids=str)
def test_two_values_of_any_shape_meet_in_a_cycle(shape: tuple[int, ...], function: str) -> None:
    net = Net(shape)
    x = net.quant(net.node("Neg", "x"), 4, 0.25)
    x = net.quant(net.node(function, x, net.quant(net.node("Relu", x), 3, 0.5)), 4, 0.5)
    x = net.node("Flatten", x) if len(shape) > 1 else x
    made = circuit(net, net.dense(x, math.prod(shape), 3))
    assert planned(made, Goal("unrolled")) == (1, None)


def test_what_takes_longer_than_a_pixel_a_cycle_is_named() -> None:
    """A concatenation of 4 and 3 channels takes them one by one."""
    net = Net((4, 4, 4))
    x = net.quant(net.node("Neg", "x"), 4, 0.25)
    x = net.quant(net.conv(x, 4, 4, (3, 3), pads=[1] * 4), 4, 0.25)
    side = net.quant(net.conv(x, 4, 3, (1, 1)), 4, 0.25)
    made = circuit(net, net.node("Concat", x, side, axis=1))
    found = Planned.of(made, Goal("unrolled"), boards.get("ulx3s"), None)
    missed = describe(found, "", None, None).missed
    assert missed is not None and (missed.target_ii, missed.ii) == (16, found.cycles.ii)
    assert "concat" in missed.layer and missed.layer_ii > 16


@pytest.mark.parametrize("kind", ["fastest", "smallest"])
def test_a_goal_without_a_number_misses_none(kind: str) -> None:
    assert planned(quantized_input(2, 4, 4), Goal(kind))[1] is None  # type: ignore[arg-type]
