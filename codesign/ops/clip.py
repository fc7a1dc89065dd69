"""Clip: limit a value to an interval; Min and Max with constants are this too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.ir import Elementwise, constant, register


@register("clip")
@dataclass(frozen=True, eq=False)
class Clip(Elementwise):
    """``min(max(x, low), high)``; exact. The bounds are float32 that broadcast against the
    value's trailing axes, infinite where there is none."""

    low: np.ndarray
    high: np.ndarray

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = constant(np.atleast_1d(getattr(self, name)), np.float32)
            object.__setattr__(self, name, value)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.minimum(np.maximum(np.asarray(x, dtype=np.float32), self.low), self.high)

    def direction(self) -> np.ndarray:
        return np.ones(1, dtype=np.int64)


@register("prelu")
@dataclass(frozen=True, eq=False)
class PRelu(Elementwise):
    """``x`` where it is positive, else ``slope * x``, one rounding; ``slope`` is float32 that
    broadcasts against the value's trailing axes."""

    slope: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "slope", constant(np.atleast_1d(self.slope), np.float32))

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, dtype=np.float32)
        with np.errstate(over="ignore", under="ignore"):
            return np.where(x < 0, x * self.slope, x)

    def direction(self) -> np.ndarray:
        return np.where(self.slope >= 0, 1, 0).astype(np.int64)
