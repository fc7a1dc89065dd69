"""What does not fit is refused before work; the bounds never exceed what a real plan needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign import boards
from codesign.cli import main
from codesign.errors import OverBudget
from codesign.formats import ScaledInt
from codesign.frontend import import_qonnx
from codesign.hdl.adders.graph import lut_estimate
from codesign.hdl.adders.solve import solve
from codesign.ir import Graph, Node, Value
from codesign.ops.area import least_unrolled_luts
from codesign.ops.matvec import MatVec
from codesign.passes import lower
from codesign.plan import Circuit, Goal, partition, plan_design
from codesign.plan import capacity as capacity_module
from codesign.plan.capacity import (
    check_capacity,
    most_weight_bits,
    unrolled_luts,
    weight_memory_bits,
)
from codesign.plan.folding import total_cost
from codesign.schema import Cost
from tests.cnn_models import Net, cnn
from tests.models import Mlp, mlp
from tests.plan.test_offered import grouped

BOARD = boards.get("ulx3s")
RNG = np.random.default_rng(5)


def wide(size: int, layers: int = 2) -> Circuit:
    """Random dense layers of ``size`` x ``size`` 4-bit weights, as they are after lowering."""
    value = Value("x", (size,), ScaledInt(0, 15))
    values, nodes = {"x": value}, []
    for n in range(layers):
        op = MatVec(RNG.integers(-8, 8, (size, size)), np.zeros(size, int), np.ones(1))
        made = Value(f"y{n}", *op.infer(value))
        nodes.append(Node(f"fc{n}", op, (value.name,), (made.name,)))
        values[made.name] = value = made
    return partition(Graph("wide", nodes, values, ("x",), (value.name,)))


@pytest.mark.parametrize("kind", ["fastest", "smallest", "unrolled"])
def test_wide_layers_are_refused_before_they_are_planned(kind: str, monkeypatch) -> None:
    """Two 4096 x 4096 layers ran for minutes, or ended in std::bad_alloc."""
    monkeypatch.setattr("codesign.plan.folding._plan_for", lambda *_: pytest.fail("was planned"))
    with pytest.raises(OverBudget) as caught:
        plan_design(wide(1024), Goal(kind), BOARD)  # type: ignore[arg-type]
    assert caught.value.exit_code == 5 and "ulx3s" in caught.value.where
    assert "'fc" in caught.value.what and "larger board" in caught.value.hint


def test_what_only_fits_folded_says_so() -> None:
    with pytest.raises(OverBudget, match="LUTs") as caught:
        plan_design(wide(512), Goal("unrolled"), BOARD)
    assert "leave --unrolled out" in caught.value.hint


def test_from_the_command_line(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(capacity_module, "BRAM_BITS", 1)
    monkeypatch.setattr(capacity_module, "LUT_BITS", 0.001)
    onnx.save(mlp(Mlp(sizes=(40, 30, 10))), tmp_path / "net.onnx")
    with pytest.raises(SystemExit) as ended:
        main(["generate", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "build")])
    assert ended.value.code == 5 and not (tmp_path / "build").exists()
    assert "'fc0' alone" in capsys.readouterr().err


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 24), st.integers(1, 40), st.integers(1, 6), st.integers(1, 8),
    st.sampled_from(["random", "bipolar", "ternary", "sparse", "repeated", "ramp"]),
    st.integers(0, 99),
)  # fmt: skip
def test_no_solved_graph_is_smaller_than_its_bound(n, k, bits, in_bits, kind, seed) -> None:
    rng = np.random.default_rng(seed)
    w = rng.integers(-(1 << bits - 1), 1 << bits - 1, (n, k))
    if kind == "bipolar":
        w = rng.choice([-1, 1], (n, k))
    elif kind == "ternary":
        w = rng.integers(-1, 2, (n, k))
    elif kind == "sparse":
        w = w * (rng.random((n, k)) < 0.2)
    elif kind == "repeated":
        w = w[rng.integers(0, max(1, n // 4), n)] * rng.choice([-2, -1, 1], (n, 1))
        w = w[:, rng.integers(0, max(1, k // 4), k)]
    elif kind == "ramp":
        w = np.add.outer(np.arange(n), np.arange(k)) % 8
    op = MatVec(w.astype(np.int64), np.zeros(n, np.int64), np.ones(1))
    made = op_circuit(op, k, in_bits)
    graph = solve(op.weights, 0, (1 << in_bits) - 1)
    assert unrolled_luts(made.layers[0], 0) <= lut_estimate(graph)


def op_circuit(op: MatVec, k: int, in_bits: int) -> Circuit:
    x = Value("x", (k,), ScaledInt(0, (1 << in_bits) - 1))
    y = Value("y", *op.infer(x))
    nodes = [Node("fc", op, ("x",), ("y",))]
    return partition(Graph("one", nodes, {"x": x, "y": y}, ("x",), ("y",)))


@pytest.mark.parametrize("shape", [(64, 64, 2), (64, 64, 16), (48, 128, 2)], ids=str)
def test_dense_matrices_stay_well_above_their_bound(shape: tuple[int, int, int]) -> None:
    n, k, span = shape
    w = RNG.integers(0, span, (n, k)) * 2 - span + 1
    for hi in (1, 3, 15):
        bound = least_unrolled_luts(w, hi.bit_length())
        assert 1.5 * bound < lut_estimate(solve(w, 0, hi)) < 12 * bound


MODELS = [mlp(Mlp()), mlp(Mlp(sizes=(64, 32, 10), weight_bits=2)), cnn(), grouped(4, 8, 2, 3),
          grouped(4, 4, 4, 3)]  # fmt: skip
GOALS = [Goal("ii", 1), Goal("ii", 60), Goal("smallest"), Goal("unrolled"), Goal("fastest")]


@pytest.mark.parametrize("goal", GOALS, ids=lambda g: f"{g.kind}{g.ii}")
@pytest.mark.parametrize("model", range(len(MODELS)))
def test_the_smallest_board_that_holds_a_plan_passes(model: int, goal: Goal) -> None:
    """The bound against the plan's own estimate: a board of just that size is not refused."""
    made = partition(lower(import_qonnx(MODELS[model]).graph))
    huge = BOARD.model_copy(update={"capacity": Cost(lut=10**7, ff=10**7, dsp=156, bram=10**5)})
    plans = plan_design(made, goal, huge)
    exact = BOARD.model_copy(update={"capacity": total_cost(made, plans)})
    unrolled = [name for name, plan in plans.items() if plan.style == "unrolled"]
    check_capacity(made, unrolled, exact)
    bits = sum(weight_memory_bits(x) for x in made.layers if x.name not in unrolled
               and isinstance(x.head, MatVec))  # fmt: skip
    assert bits <= most_weight_bits(exact.capacity)


def test_groups_are_matrices_of_their_own() -> None:
    """Rows of two groups that are alike read other inputs: they are not one."""
    net = Net((4, 4, 4), seed=3)
    model = net.model(net.conv(net.quant("x"), 4, 8, (1, 1), group=2))
    (layer,) = partition(lower(import_qonnx(model).graph)).layers
    blocks = layer.head.blocks  # type: ignore[attr-defined]
    assert blocks.shape == (2, 4, 2)
    assert (blocks.reshape(layer.head.weights.shape) == layer.head.weights).all()  # type: ignore[attr-defined]
