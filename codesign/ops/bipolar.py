"""Bipolar: QONNX's BipolarQuant, the sign of a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UsageError
from codesign.formats import Format, ScaledInt
from codesign.ir import constant, register
from codesign.ops.quantizer import Quantizer, check_scales

if TYPE_CHECKING:
    from codesign.ir import Value


@register("bipolar")
@dataclass(frozen=True, eq=False)
class Bipolar(Quantizer):
    """``+1`` where ``x >= 0`` (also -0), else ``-1``; ``scale`` float32 [1] or [C] is what a code
    of one stands for."""

    scale: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", constant(np.atleast_1d(self.scale), np.float32))

    @property
    def out_format(self) -> ScaledInt:
        return ScaledInt(-1, 1, tuple(float(s) for s in self.scale.ravel()))

    def constants(self) -> list[np.ndarray]:
        """None: the scale says what the codes mean, not which they are."""
        return []

    def pick(self, tail: tuple[int, ...], index: np.ndarray) -> Bipolar:
        """Itself: every element has the same function."""
        return self

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, dtype=np.float32)
        if np.isnan(x).any():
            raise UsageError("a quantizer was given NaN", hint="clean the data")
        return np.where(x >= 0, np.int64(1), np.int64(-1))

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        check_scales(self.scale, x)
        return x.shape, self.out_format
