"""Trunc: QONNX drops the low bits of an integer (after average pooling, for one)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel, UsageError
from codesign.formats import Format, ScaledInt
from codesign.formats.rounding import ROUNDING
from codesign.ir import constant, register
from codesign.ops.quantizer import Quantizer

if TYPE_CHECKING:
    from codesign.ir import Value


@register("trunc")
@dataclass(frozen=True, eq=False)
class Trunc(Quantizer):
    """``code = rounding(clip(round(x / scale + zero_point) / divisor))``, all in float32.

    ``lo..hi``: the codes; version 2 of the operator clips to them, version 1 (``clips`` False)
    never leaves them. The value of a code is ``out_scale * (code - out_zero_point)``. Arrays are
    float32 [1] or [C].
    """

    scale: np.ndarray
    zero_point: np.ndarray
    divisor: np.ndarray
    out_scale: np.ndarray
    out_zero_point: int
    lo: int
    hi: int
    clips: bool
    rounding: str = "FLOOR"

    def __post_init__(self) -> None:
        for name in ("scale", "zero_point", "divisor", "out_scale"):
            value = constant(np.atleast_1d(getattr(self, name)), np.float32)
            object.__setattr__(self, name, value)
        if self.rounding not in ROUNDING:
            raise ValueError(f"unknown rounding mode {self.rounding!r}; known: {sorted(ROUNDING)}")

    @property
    def out_format(self) -> ScaledInt:
        scale = tuple(float(s) for s in self.out_scale.ravel())
        return ScaledInt(self.lo, self.hi, scale, self.out_zero_point)

    def unclipped(self, x: np.ndarray) -> np.ndarray:
        """float32: codes before clipping and the final rounding."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            y = np.round(np.asarray(x, dtype=np.float32) / self.scale + self.zero_point)
            y = y / self.divisor
        if not np.isfinite(y).all():
            raise UsageError("a Trunc was given NaN or infinity", hint="clean the data")
        return y

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        y = self.unclipped(x)
        if self.clips:
            y = np.clip(y, np.float32(self.lo), np.float32(self.hi))
        return np.asarray(ROUNDING[self.rounding](y)).astype(np.int64)

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if self.out_scale.shape not in ((1,), x.shape[-1:]):
            raise UnsupportedModel(
                f"a Trunc has scales of shape {self.out_scale.shape} for a value of {x.shape}",
                hint="give one scale per tensor or one per channel",
            )
        return x.shape, self.out_format
