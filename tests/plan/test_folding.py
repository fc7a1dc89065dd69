"""The planner: targets met, budgets kept, choices explained."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign import boards
from codesign.errors import OverBudget, UsageError
from codesign.frontend import import_qonnx
from codesign.passes import lower
from codesign.plan import Circuit, Goal, partition, plan_design
from codesign.plan.dataflow import dataflow
from codesign.plan.planfile import LayerChoice, PlanFile
from codesign.plan.schedule import measure
from codesign.schema import Cost
from tests.models import Mlp, mlp

BOARD = boards.get("ulx3s")


def circuit(*sizes: int) -> Circuit:
    return partition(lower(import_qonnx(mlp(Mlp(sizes=sizes))).graph))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(2, 40), min_size=2, max_size=4), st.integers(1, 2000))
def test_no_layer_is_slower_than_the_target(sizes: list[int], target: int) -> None:
    made = circuit(*sizes)
    plans = plan_design(made, Goal("ii", target), BOARD)
    assert measure(made, plans, dataflow(made, plans)).ii <= target
    for layer in made.layers:
        plan = plans[layer.name]
        n, k = layer.head.weights.shape
        assert 1 <= plan.pe <= n and 1 <= plan.simd <= k
        fewer = [(p, s) for p in range(1, n + 1) for s in range(1, k + 1)
                 if p * s < plan.pe * plan.simd and -(-n // p) * -(-k // s) <= target]  # fmt: skip
        adapter_free = not fewer or plan is not plans[made.layers[0].name]
        assert adapter_free, "fewer multipliers would do"
        assert plan.reason


def test_smallest_has_one_multiplier_a_layer() -> None:
    plans = plan_design(circuit(12, 8, 5), Goal("smallest"), BOARD)
    assert [(p.pe, p.simd) for p in plans.values()] == [(1, 1), (1, 1)]


def test_over_budget_names_the_excess_and_a_folding_that_fits() -> None:
    small = BOARD.model_copy(update={"name": "tiny", "capacity": Cost(lut=900, ff=900, bram=4)})
    made = circuit(40, 30, 10)
    with pytest.raises(OverBudget) as caught:
        plan_design(made, Goal("ii", 8), small)
    assert "LUT" in caught.value.what and "of 900" in caught.value.what
    assert "--target-ii" in caught.value.hint
    target = int(caught.value.hint.split()[1])
    plan_design(made, Goal("ii", target), small)


def test_plan_file_is_checked() -> None:
    made = circuit(12, 8, 5)
    with pytest.raises(UsageError, match="no layer 'fc9'"):
        plan_design(made, Goal("smallest"), BOARD, PlanFile(layers={"fc9": LayerChoice(pe=1)}))
    with pytest.raises(UsageError, match="exceed the 8 x 12"):
        plan_design(made, Goal("smallest"), BOARD, PlanFile(layers={"fc0": LayerChoice(pe=9)}))
