"""Relu: the larger of x and zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.ir import Elementwise, register


@register("relu")
@dataclass(frozen=True, eq=False)
class Relu(Elementwise):
    """``max(x, 0)``; exact."""

    @property
    def words(self) -> str:
        return "ReLU"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(np.asarray(x, dtype=np.float32), np.float32(0))

    def direction(self) -> np.ndarray:
        return np.ones(1, dtype=np.int64)
