"""A bench that cannot fail is a defect: inject faults into the circuit, not into the model, and
see that ``verify`` fails on each. The expected codes come from the untouched BuildDir."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codesign.api import Design, describe_failure, generate
from codesign.builddir import BuildDir
from codesign.emit.rtl import build_network
from codesign.hdl.top import AxisTop, to_verilog
from codesign.ir import Graph, Node, Value
from codesign.ir.serialize import load_graph
from codesign.ops.matvec import MatVec
from codesign.ops.requant import Requant
from codesign.plan import Goal, partition, plan_design
from codesign.plan.dataflow import dataflow
from codesign.plan.planfile import PlanFile
from codesign.verify import verify
from tests.models import Mlp, mlp

Fault = Callable[[Graph], Graph]


def with_op(graph: Graph, index: int, kind: type, change: Callable) -> Graph:
    """``graph`` with ``change`` applied to the ``index``-th operation of ``kind``; formats of the
    values that follow are inferred anew."""
    wanted = [n for n in graph.nodes if isinstance(n.op, kind)][index]
    nodes, values = [], dict(graph.values)
    for node in graph.nodes:
        op = change(node.op) if node is wanted else node.op
        source = values[node.inputs[0]]
        if isinstance(op, Requant):
            op = replace(op, lo=source.format.lo, hi=source.format.hi)
        shape, format = op.infer(source)
        values[node.output] = Value(node.output, shape, format)
        nodes.append(Node(node.name, op, node.inputs, node.outputs))
    return graph.with_nodes(nodes, values.values())


def flip_weight(layer: int, row: int, column: int, bit: int) -> Fault:
    def change(op: MatVec) -> MatVec:
        weights = op.weights.copy()
        weights[row, column] ^= 1 << bit
        return replace(op, weights=weights)

    return lambda graph: with_op(graph, layer, MatVec, change)


def shift_threshold(channel: int, index: int, by: int) -> Fault:
    def change(op: Requant) -> Requant:
        thresholds = op.thresholds.copy()
        thresholds[channel, index] += by
        return replace(op, thresholds=np.sort(thresholds, axis=1))

    return lambda graph: with_op(graph, 0, Requant, change)


def swap_lanes(a: int, b: int) -> Fault:
    def change(op: MatVec) -> MatVec:
        weights = op.weights.copy()
        weights[:, [a, b]] = weights[:, [b, a]]
        return replace(op, weights=weights)

    return lambda graph: with_op(graph, 1, MatVec, change)


def change_rounding(graph: Graph) -> Graph:
    """Ties up instead of to even: every threshold of an odd code moves down to the tie."""

    def change(op: Requant) -> Requant:
        codes = op.base[:, None] + 1 + np.arange(op.thresholds.shape[1])
        real = op.thresholds <= op.hi
        return replace(op, thresholds=op.thresholds - ((codes & 1 == 1) & real))

    return with_op(graph, 0, Requant, change)


FAULTS: dict[str, Fault] = {
    **{f"weight {r},{c} bit {b}": flip_weight(0, r, c, b)
       for r, c, b in ((0, 0, 0), (3, 7, 1), (7, 11, 0))},
    "weight of the last layer": flip_weight(1, 2, 3, 0),
    **{f"threshold {c},{i} by {d:+d}": shift_threshold(c, i, d)
       for c, i, d in ((0, 0, 1), (3, 0, -1), (5, 1, 1))},
    "two lanes swapped": swap_lanes(0, 5),
    "rounding mode": change_rounding,
}  # fmt: skip

STYLES = {"folded": Goal("ii", 12), "unrolled": Goal("unrolled")}


#: A fault of each kind in one style or the other; the long suite has every one in both.
QUICK = {
    ("folded", "weight 3,7 bit 1"), ("folded", "threshold 0,0 by +1"),
    ("folded", "two lanes swapped"), ("folded", "rounding mode"),
    ("unrolled", "weight of the last layer"), ("unrolled", "threshold 3,0 by -1"),
}  # fmt: skip


def cases() -> list[object]:
    pairs = [(style, name) for style in STYLES for name in FAULTS]
    assert set(pairs) >= QUICK
    return [pytest.param(*p, marks=[] if p in QUICK else pytest.mark.slow) for p in pairs]


@pytest.fixture(scope="module")
def design(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A proven design, and the goal it was planned for."""
    goal = STYLES[request.param]
    folder = tmp_path_factory.mktemp("faults") / "build"
    options = {"unrolled": True} if goal.kind == "unrolled" else {"target_ii": goal.ii}
    made = generate(mlp(Mlp(), 4), folder, **options)
    assert made.verify(random_frames=500, cocotb=False).ok
    return made, goal


@pytest.mark.parametrize("design, name", cases(), indirect=["design"])
def test_verify_catches(name: str, design: tuple[Design, Goal], tmp_path: Path) -> None:
    made, goal = design
    bad = tmp_path / "bad"
    shutil.copytree(made.path, bad)
    circuit = partition(FAULTS[name](load_graph(made.path / "model")))
    plans = plan_design(circuit, goal, made.manifest.board, PlanFile())
    top = AxisTop(build_network(circuit, plans, dataflow(circuit, plans)))
    (bad / "rtl" / "codesign_top.v").write_text(to_verilog(top, "codesign_top"))
    report = verify(BuildDir.open(bad), random_frames=2000, cocotb=False)
    assert not report.ok
    assert "expected" in describe_failure(report)
    assert "reference = RTL" in describe_failure(report)
