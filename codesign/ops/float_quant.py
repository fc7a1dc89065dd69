"""FloatQuant: QONNX's minifloat quantizer. Its values are integers times the smallest step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel, UsageError
from codesign.formats import Format, ScaledInt
from codesign.formats.rounding import ROUNDING
from codesign.ir import constant, record, register
from codesign.ops.quantizer import Quantizer, check_scales

if TYPE_CHECKING:
    from codesign.ir import Value

#: Codes of more bits have no exact sums in float64.
MAX_CODE_BITS = 40


@record("minifloat")
@dataclass(frozen=True)
class Minifloat:
    """``exponent`` and ``mantissa`` bits, exponent ``bias``, and the largest magnitude."""

    exponent: int
    mantissa: int
    bias: int
    max_value: float

    @property
    def least_exponent(self) -> int:
        """The smallest step is two to this power."""
        return 1 - self.bias - self.mantissa

    @property
    def limit(self) -> float:
        """The largest magnitude a value is clipped to, float32."""
        top = 2.0 ** (2**self.exponent - 1 - self.bias)
        return float(np.float32(min((2 - 2.0**-self.mantissa) * top, self.max_value)))

    @property
    def max_code(self) -> int:
        """:attr:`limit` in smallest steps; ``UnsupportedModel`` if that is no integer."""
        steps = self.limit / 2.0**self.least_exponent
        if steps != int(steps) or steps < 1 or steps >= 1 << MAX_CODE_BITS:
            raise UnsupportedModel(
                f"a minifloat of {self.exponent} exponent and {self.mantissa} mantissa bits with "
                f"maximum {self.limit:g} has no integer codes of up to {MAX_CODE_BITS} bits",
                hint="use 2 to 5 exponent bits and a maximum that the format can represent",
            )
        return int(steps)

    def codes(self) -> np.ndarray:
        """Every value in smallest steps, int64 ascending."""
        top = self.max_code
        found = {top, *range(min(1 << self.mantissa, top) + 1)}
        for shift in range(top.bit_length()):
            block = [n << shift for n in range(1 << self.mantissa, 2 << self.mantissa)]
            found.update(code for code in block if code <= top)
        positive = np.array(sorted(found), dtype=np.int64)
        return np.concatenate([-positive[:0:-1], positive])


@register("float_quant")
@dataclass(frozen=True, eq=False)
class FloatQuant(Quantizer):
    """float32 to the nearest minifloat, its code the value in smallest steps.

    ``scale``: float32[1] or float32[C]. Evaluated as qonnx and Brevitas do, in float32: there
    the exponent is ``floor(log2(|x|))`` of a rounded logarithm, one too high just below a power
    of two, and that is the golden result.
    """

    scale: np.ndarray
    format: Minifloat
    rounding: str = "ROUND"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", constant(np.atleast_1d(self.scale), np.float32))
        if self.rounding not in ROUNDING:
            raise ValueError(f"unknown rounding mode {self.rounding!r}; known: {sorted(ROUNDING)}")

    @property
    def out_format(self) -> ScaledInt:
        top, step = self.format.max_code, 2.0**self.format.least_exponent
        return ScaledInt(-top, top, tuple(float(s) * step for s in self.scale.ravel()))

    @property
    def levels(self) -> np.ndarray:
        return self.format.codes()

    def direction(self) -> np.ndarray:
        """Rising where rounding is to the nearest: a wrong exponent then changes nothing."""
        nearest = self.rounding in ("ROUND", "HALF_EVEN", "HALF_UP", "HALF_DOWN")
        return np.full(1, int(nearest), dtype=np.int64)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        mantissa, least = np.float32(self.format.mantissa), self.format.least_exponent
        limit = np.float32(self.format.limit)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            y = np.asarray(x, dtype=np.float32) / self.scale
            exponent = np.floor(np.log2(np.abs(y) + np.finfo(np.float32).tiny)) - mantissa
            step = np.exp2(np.maximum(exponent, np.float32(least)))
            rounded = step * ROUNDING[self.rounding](y / step)
            clipped = np.clip(rounded, -limit, limit)
        if np.isnan(clipped).any():
            raise UsageError(
                "a minifloat quantizer was given NaN or infinity", hint="clean the data"
            )
        return (clipped.astype(np.float64) / 2.0**least).astype(np.int64)

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        check_scales(self.scale, x)
        return x.shape, self.out_format
