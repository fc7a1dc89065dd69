"""FIFO depths of branches: sufficient, tight, and a deadlock refused by name."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from codesign import boards
from codesign.errors import UsageError
from codesign.frontend import import_qonnx
from codesign.passes import lower
from codesign.plan import Circuit, Goal, partition, plan_design
from codesign.plan.dataflow import dataflow
from codesign.plan.fifos import fifo_depths
from codesign.plan.schedule import exit_lanes, measure, simulate_flow
from tests.cnn_models import Net


def residual(blocks: int = 1, width: int = 8) -> Circuit:
    """Dense residual blocks: ``x = quant(x + relu(dense(x)))``."""
    net = Net((width,), seed=blocks)
    x = net.quant("x", 4, 0.25)
    for _ in range(blocks):
        y = net.quant(net.node("Relu", net.dense(x, width, width)), 4, 0.25)
        x = net.quant(net.node("Add", x, y), 4, 0.25)
    return partition(lower(import_qonnx(net.model(x)).graph))


def planned(circuit: Circuit, target: int) -> tuple[dict, dict[str, int]]:
    plans = plan_design(circuit, Goal("ii", target), boards.get("ulx3s"))
    return plans, fifo_depths(circuit, plans)[0]


def speed(circuit: Circuit, plans: dict, depths: dict[str, int]) -> int | None:
    """Cycles between frames; None for a deadlock."""
    try:
        return measure(circuit, plans, dataflow(circuit, plans, depths)).ii
    except UsageError as error:
        assert "deadlock" in error.what
        return None


@pytest.mark.parametrize("target", [1, 4, 16, 64])
@pytest.mark.parametrize("blocks", [1, 3])
def test_depths_suffice_and_are_tight(blocks: int, target: int) -> None:
    circuit = residual(blocks)
    plans, depths = planned(circuit, target)
    unbounded = dict.fromkeys(depths, -1)
    full = speed(circuit, plans, unbounded)
    assert full is not None and full <= target
    assert speed(circuit, plans, depths) == full
    assert len(depths) == blocks, "one branch of each fork needs a FIFO"
    for name, depth in depths.items():
        less = speed(circuit, plans, {**depths, name: depth - 1})
        assert less is None or less > full, f"{name} is deeper than it need be"


def test_a_deadlock_is_refused_naming_the_circle() -> None:
    circuit = residual()
    plans, depths = planned(circuit, 16)
    (name,) = depths
    given, _ = fifo_depths(circuit, plans, {name: 1})
    assert given == {name: 1}
    with pytest.raises(UsageError) as caught:
        measure(circuit, plans, dataflow(circuit, plans, given))
    for part in ("deadlock", name, "(1 places)", "fork_", "fc0", "add_"):
        assert part in caught.value.what
    assert "plan file" in caught.value.hint


def test_an_unknown_fifo_lists_the_known_ones() -> None:
    circuit = residual()
    plans, depths = planned(circuit, 16)
    with pytest.raises(UsageError, match=next(iter(depths))):
        fifo_depths(circuit, plans, {"fifo_nothing": 3})


def whole_frame_beside_lines() -> Circuit:
    """A fork to a window, to a layer that needs the whole frame at once, and to the join."""
    net = Net((1, 9, 5), seed=3)
    x = net.quant("x", 2, 0.25)
    lines = net.conv(x, 1, 2, (2, 3), pads=[1, 1, 1, 1], dilations=[2, 1])
    whole = net.conv(x, 1, 3, (1, 1))
    parts = [net.quant(lines, 2, 0.25), net.quant(whole, 2, 0.25), x]
    return partition(lower(import_qonnx(net.model(net.node("Concat", *parts, axis=1))).graph))


def test_no_input_however_slow_makes_a_deadlock() -> None:
    """A pipeline stalls as a whole and holds fewer beats when they come one by one: depths that
    suffice at full speed alone let this design hang (found in RTL under random stalls)."""
    circuit = whole_frame_beside_lines()
    (lines, whole), plans = circuit.layers[:2], plan_design(
        circuit, Goal("ii", 64), boards.get("ulx3s")
    )  # fmt: skip
    plans = {
        **plans,
        lines.name: replace(plans[lines.name], pe=2, simd=6, pixels=5),
        whole.name: replace(plans[whole.name], pe=3, simd=1, pixels=45),
    }
    depths, _ = fifo_depths(circuit, plans)
    flow = dataflow(circuit, plans, depths)
    beats = -(-circuit.target.elements // exit_lanes(circuit, plans))
    for pace in (0, 1, 9, 18, 27, 45, 90, 180, 270, 400, 900, 9000):
        run = simulate_flow(circuit, plans, flow, 3, Fraction(pace))
        assert len(run.left) == 3 * beats, f"a deadlock with a frame in {pace} cycles"
    short = {name: depth for name, depth in depths.items() if "conv" not in name}
    assert short != depths
    with pytest.raises(UsageError, match="deadlock"):
        measure(circuit, plans, dataflow(circuit, plans, short))
