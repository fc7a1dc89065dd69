"""Combine: two values met element by element in float32, as the model computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, Real
from codesign.ir import Op, register

if TYPE_CHECKING:
    from codesign.ir import Value

#: What two float32 arrays of one shape can become, each with one rounding.
FUNCTIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "min": np.minimum,
    "max": np.maximum,
}


@register("combine")
@dataclass(frozen=True, eq=False)
class Combine(Op):
    """``function(a, b)`` of two decoded values of the same shape: float32, one rounding.

    ``function``: a key of :data:`FUNCTIONS`. A smaller operand is expanded first (a
    :class:`~codesign.ops.rearrange.Rearrange`). The pass ``lower_combine`` makes it a circuit.
    """

    function: str

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise ValueError(f"unknown function {self.function!r}; known: {sorted(FUNCTIONS)}")

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        left, right = ins
        if left.shape != right.shape:
            raise UnsupportedModel(
                f"'{self.function}' meets shapes {left.shape} and {right.shape}",
                hint="expand one of them first",
            )
        return left.shape, Real()

    def evaluate(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """float32 of broadcastable float32 ``a`` and ``b``; NaN where the model has NaN."""
        a, b = np.asarray(a, dtype=np.float32), np.asarray(b, dtype=np.float32)
        with np.errstate(all="ignore"):
            return np.asarray(FUNCTIONS[self.function](a, b), dtype=np.float32)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        a, b = (v.format.decode(x) for v, x in zip(ins, arrays, strict=True))
        return self.evaluate(a, b)
