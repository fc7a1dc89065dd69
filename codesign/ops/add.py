"""Add and Sub of a constant, one float32 rounding each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.ir import Elementwise, constant, register


@register("add")
@dataclass(frozen=True, eq=False)
class Add(Elementwise):
    """``x + value``; ``value`` is float32 that broadcasts against the value's trailing axes.

    A layer's bias is one of these: the exact sum of products is rounded to float32 once when it
    is decoded, then the bias is added in float32 (contract 4).
    """

    value: np.ndarray

    @property
    def words(self) -> str:
        return "bias"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", constant(np.atleast_1d(self.value), np.float32))

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray(x, dtype=np.float32) + self.value

    def direction(self) -> np.ndarray:
        return np.ones(1, dtype=np.int64)


@register("sub")
@dataclass(frozen=True, eq=False)
class Sub(Elementwise):
    """``x - value``, or ``value - x`` when ``reverse``; ``value`` broadcasts as in :class:`Add`."""

    value: np.ndarray
    reverse: bool = False

    @property
    def words(self) -> str:
        return "subtraction"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", constant(np.atleast_1d(self.value), np.float32))

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, dtype=np.float32)
        return self.value - x if self.reverse else x - self.value

    def direction(self) -> np.ndarray:
        return np.full(1, -1 if self.reverse else 1, dtype=np.int64)
