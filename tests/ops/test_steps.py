"""Windows over values with time steps: each step is a map of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from codesign.errors import UnsupportedModel
from codesign.formats import ScaledInt
from codesign.frontend.lift import lift
from codesign.ir import Op, Value
from codesign.ops.conv import Conv
from codesign.ops.convolve import Convolve
from codesign.ops.max_pool import MaxPool
from codesign.ops.rearrange import Rearrange
from codesign.ops.sum_pool import SumPool

STEPS = 3
RNG = np.random.default_rng(4)
GRID = RNG.integers(-3, 4, (6, 3, 2, 2))
LINE = RNG.integers(-3, 4, (4, 1, 3, 1))
OPS: dict[str, tuple[Op, tuple[int, ...]]] = {
    "conv": (Conv(GRID, np.ones(1), pads=(1, 1, 1, 0), groups=2), (5, 4, 4)),
    "conv_line": (Conv(LINE, np.ones(1), (1, 2)), (9, 1)),
    "convolve": (Convolve(GRID, np.arange(6), np.ones(1), groups=2, pad_code=1), (5, 4, 4)),
    "max": (MaxPool((2, 2), (2, 2)), (4, 6, 3)),
    "max_line": (MaxPool((1, 3), (1, 1), (1, 1), (0, 1, 0, 1)), (7, 2)),
    "sum": (SumPool((3, 2), (1, 2), (1, 1), (1, 0, 1, 0)), (4, 6, 3)),
    "moved": (Rearrange(np.array([[3, -1, 0], [2, 1, 3]])), (4,)),
}


def lifted(op: Op, x: Value) -> Op:
    """``op`` in all steps; circuits' operations are made from lifted ones only."""
    return replace(op, steps=STEPS) if isinstance(op, Convolve) else lift(op, [x], STEPS)


@pytest.mark.parametrize("name", OPS)
def test_each_step_is_a_map_of_its_own(name: str) -> None:
    op, shape = OPS[name]
    x = Value("x", shape, ScaledInt(-4, 7, (0.5,), 1))
    all_steps = replace(x, shape=(STEPS, *shape))
    whole = lifted(op, x)
    codes = np.random.default_rng(0).integers(-4, 8, (5, STEPS, *shape))
    found = whole.execute([all_steps], codes)
    wanted = np.stack([op.execute([x], codes[:, t]) for t in range(STEPS)], axis=1)
    assert (found == wanted).all()
    one, format = op.infer(x)
    assert whole.infer(all_steps) == ((STEPS, *one), format)
    assert found.shape == (5, STEPS, *one)


@pytest.mark.parametrize("name", ["conv", "max", "sum"])
def test_another_number_of_steps_is_refused(name: str) -> None:
    op, shape = OPS[name]
    changes: dict[str, Any] = {"steps": STEPS}
    x = Value("x", (STEPS + 1, *shape), ScaledInt(-4, 7, (0.5,)))
    with pytest.raises(UnsupportedModel, match="3 time steps reads a value of shape"):
        replace(op, **changes).infer(x)  # type: ignore[type-var]
