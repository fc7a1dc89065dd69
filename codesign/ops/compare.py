"""Compare and Select: conditions inside element-wise functions, as float32 masks of 0 and 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, Real
from codesign.ir import Elementwise, constant, register
from codesign.ops.combine import Combine

if TYPE_CHECKING:
    from codesign.ir import Value

#: Each with the direction of the mask as ``x`` rises against a constant.
FUNCTIONS: dict[str, tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], int]] = {
    "greater": (np.greater, 1),
    "greater_equal": (np.greater_equal, 1),
    "less": (np.less, -1),
    "less_equal": (np.less_equal, -1),
    "equal": (np.equal, 0),
}


@register("compare")
@dataclass(frozen=True, eq=False)
class Compare(Elementwise):
    """``x function value`` as 1.0 or 0.0; ``value`` is float32 that broadcasts against the
    value's trailing axes. Exact."""

    function: str
    value: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", constant(np.atleast_1d(self.value), np.float32))
        if self.function not in FUNCTIONS:
            raise ValueError(f"unknown function {self.function!r}; known: {sorted(FUNCTIONS)}")

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        holds, _ = FUNCTIONS[self.function]
        return holds(np.asarray(x, dtype=np.float32), self.value).astype(np.float32)

    def direction(self) -> np.ndarray:
        return np.full(1, FUNCTIONS[self.function][1], dtype=np.int64)


@register("select")
@dataclass(frozen=True, eq=False)
class Select(Combine):
    """``a`` where the mask is not 0, else ``b``: of three values (mask, a, b) of one shape."""

    function: str = "select"

    @property
    def words(self) -> str:
        return "selection by a mask"

    def __post_init__(self) -> None:
        """Its function is no arithmetic."""

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        shapes = {value.shape for value in ins}
        if len(ins) != 3 or len(shapes) > 1:
            raise UnsupportedModel(f"'select' meets shapes {sorted(shapes)}")
        return ins[0].shape, Real()

    def evaluate(self, *arrays: np.ndarray) -> np.ndarray:
        mask, a, b = (np.asarray(x, dtype=np.float32) for x in arrays)
        return np.where(mask != 0, a, b)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        return self.evaluate(*(v.format.decode(x) for v, x in zip(ins, arrays, strict=True)))
