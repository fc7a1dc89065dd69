"""Requantizers that are no shift, from model to RTL: searches and levels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codesign.api import generate
from codesign.frontend import import_qonnx
from codesign.hdl.requant import Levels, Search
from codesign.ops.requant import Requant
from codesign.ops.requant_forms import cheapest
from codesign.passes import lower
from tests.quantizer_models import layer, wide_sigmoid


@pytest.mark.parametrize(
    "goal", [{"target_ii": 16}, pytest.param({"unrolled": True}, marks=pytest.mark.slow)]
)
def test_sigmoid_over_a_wide_accumulator(goal: dict, tmp_path: Path) -> None:
    model = layer(wide_sigmoid)
    last = [n.op for n in lower(import_qonnx(model).graph).nodes if isinstance(n.op, Requant)][-1]
    assert isinstance(cheapest(last, 4), Search)
    design = generate(model, tmp_path / "build", **goal)
    assert design.verify(random_frames=300, cocotb=False).ok


def test_search_equals_comparators() -> None:
    rng = np.random.default_rng(0)
    thresholds = np.sort(rng.integers(-90_000, 90_000, (3, 200)), axis=1)
    none = np.zeros((0, 0), dtype=np.int64)
    from codesign.formats import ScaledInt

    op = Requant(-90_000, 90_000, np.zeros(3, np.int64), np.ones(3, np.int64), thresholds, none,
                 ScaledInt(-500, 500), rng.integers(-500, 500, (3, 201)))  # fmt: skip
    form = cheapest(op, 3)
    assert isinstance(form, Levels) and isinstance(form.index, Search)
    x = rng.integers(-90_000, 90_001, (500, 3))
    from codesign.ir import Value

    value = Value("a", (3,), ScaledInt(-90_000, 90_000))
    assert np.array_equal(form.evaluate(x), op.execute([value], x))
