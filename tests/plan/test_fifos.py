"""FIFO depths of branches: sufficient, tight, and a deadlock refused by name."""

from __future__ import annotations

import pytest

from codesign import boards
from codesign.errors import UsageError
from codesign.frontend import import_qonnx
from codesign.passes import lower
from codesign.plan import Circuit, Goal, partition, plan_design
from codesign.plan.dataflow import dataflow
from codesign.plan.fifos import fifo_depths
from codesign.plan.schedule import measure
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
    return plans, fifo_depths(circuit, plans)


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
    given = fifo_depths(circuit, plans, {name: 1})
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
