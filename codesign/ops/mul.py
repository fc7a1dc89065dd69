"""Mul and Div by a constant, one float32 rounding each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.ir import Elementwise, constant, register


@register("mul")
@dataclass(frozen=True, eq=False)
class Mul(Elementwise):
    """``x * value``; ``value`` is float32 that broadcasts against the trailing axes."""

    value: np.ndarray

    @property
    def words(self) -> str:
        return "scale"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", constant(np.atleast_1d(self.value), np.float32))

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(x, dtype=np.float32) * self.value

    def direction(self) -> np.ndarray:
        return np.where(self.value >= 0, 1, -1).astype(np.int64)


@register("div")
@dataclass(frozen=True, eq=False)
class Div(Elementwise):
    """``x / value``, or ``value / x`` when ``reverse``; ``value`` is float32 of any shape that
    broadcasts against the value's trailing axes, nowhere zero as a divisor."""

    value: np.ndarray
    reverse: bool = False

    @property
    def words(self) -> str:
        return "division"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", constant(np.atleast_1d(self.value), np.float32))

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, dtype=np.float32)
        with np.errstate(all="ignore"):
            return self.value / x if self.reverse else x / self.value

    def direction(self) -> np.ndarray:
        if self.reverse:  # falls on either side of zero only
            return np.zeros(1, dtype=np.int64)
        return np.where(self.value >= 0, 1, -1).astype(np.int64)
