"""Quant: QONNX's integer quantizer, the one place where float32 becomes codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel, UsageError
from codesign.formats import Format, ScaledInt
from codesign.formats.parse import MAX_ACTIVATION_BITS
from codesign.formats.rounding import ROUNDING
from codesign.ir import constant, register
from codesign.ops.quantizer import Quantizer, check_scales

if TYPE_CHECKING:
    from codesign.ir import Value


def code_range(bits: int, *, signed: bool, narrow: bool) -> tuple[int, int]:
    """Smallest and largest code of a QONNX ``Quant`` (1 bit signed is bipolar: -1 or +1)."""
    if bits == 1 and signed:
        return -1, 1
    span = ScaledInt.of_bits(bits, signed=signed, narrow=narrow)
    return span.lo, span.hi


def quantize(
    x: np.ndarray,
    scale: np.ndarray,
    zero_point: np.ndarray,
    *,
    bits: int,
    signed: bool,
    narrow: bool,
    rounding: str,
    integer_zero: bool = False,
) -> np.ndarray:
    """float32 ``x`` to int64 codes: ``round(clip(x / scale + zero_point))``, op by op in float32.

    ``scale`` and ``zero_point`` are float32 and broadcast against ``x``. This is what
    ``qonnx.custom_op.general.intquant.int_quant`` computes before it scales back. With
    ``integer_zero`` the zero point is added after rounding, as ONNX QuantizeLinear does:
    ``clip(round(x / scale) + zero_point)``.
    """
    x = np.asarray(x, dtype=np.float32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        y = x / scale
        y = ROUNDING[rounding](y) + zero_point if integer_zero else y + zero_point
    if np.isnan(y).any():
        raise UsageError(
            "a quantizer was given NaN", hint="NaN has no integer code: clean the data"
        )
    if bits == 1 and signed:
        return np.where(y >= 0, np.int64(1), np.int64(-1))
    lo, hi = code_range(bits, signed=signed, narrow=narrow)
    y = np.where(y > hi, np.float32(hi), y)
    y = np.where(y < lo, np.float32(lo), y)
    return np.asarray(ROUNDING[rounding](y)).astype(np.int64)


@register("quant")
@dataclass(frozen=True, eq=False)
class Quant(Quantizer):
    """float32 (or decoded codes) to codes of a :class:`ScaledInt`.

    ``scale`` and ``zero_point``: float32, of any shape that broadcasts against the value's
    trailing axes; the zero points are integral. A scale per element of more than the last axis
    has no format and is refused. Where zero points differ, the code emitted is
    ``code - zero_point``, so that the format needs none; the values are the same.
    Signed 1-bit codes are bipolar: -1 and +1. ``integer_zero``: see :func:`quantize`.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    bits: int
    signed: bool
    narrow: bool = False
    rounding: str = "ROUND"
    integer_zero: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", constant(np.atleast_1d(self.scale), np.float32))
        object.__setattr__(self, "zero_point", constant(np.atleast_1d(self.zero_point), np.float32))
        if self.rounding not in ROUNDING:
            raise ValueError(f"unknown rounding mode {self.rounding!r}; known: {sorted(ROUNDING)}")

    @property
    def bipolar(self) -> bool:
        """Whether the codes are -1 and +1."""
        return self.bits == 1 and self.signed

    @property
    def out_format(self) -> ScaledInt:
        lo, hi = code_range(self.bits, signed=self.signed, narrow=self.narrow)
        if not self.bipolar:  # float32 rounds the last of 24 bits' codes up in mode HALF_UP
            lo, hi = (int(ROUNDING[self.rounding](np.asarray(end, np.float32))) for end in (lo, hi))
        offsets, scale = self.zero_point.ravel(), tuple(float(s) for s in self.scale.ravel())
        if self._one_zero_point:
            return ScaledInt(lo, hi, scale, int(offsets[0]))
        return ScaledInt(lo - int(offsets.max()), hi - int(offsets.min()), scale)

    @property
    def _one_zero_point(self) -> bool:
        return bool((self.zero_point == self.zero_point.ravel()[0]).all())

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        codes = quantize(
            x,
            self.scale,
            self.zero_point,
            bits=self.bits,
            signed=self.signed,
            narrow=self.narrow,
            rounding=self.rounding,
            integer_zero=self.integer_zero,
        )
        return codes if self._one_zero_point else codes - self.zero_point.astype(np.int64)

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        self._check()
        check_scales(self.scale, x)
        try:
            fits = np.broadcast_shapes(self.zero_point.shape, x.shape) == x.shape
        except ValueError:
            fits = False
        if not fits and self.zero_point.size > 1:
            raise UnsupportedModel(
                f"zero points of shape {self.zero_point.shape} for a value of {x.shape}",
                hint="give one zero point per tensor or one per channel",
            )
        return x.shape, self.out_format

    def _check(self) -> None:
        if not 1 <= self.bits <= MAX_ACTIVATION_BITS:
            raise UnsupportedModel(
                f"an activation quantizer of {self.bits} bits has codes float32 cannot hold",
                hint=f"use 1 to {MAX_ACTIVATION_BITS} bits",
            )
        lo, hi = code_range(self.bits, signed=self.signed, narrow=self.narrow)
        reach = max(hi - float(self.zero_point.min()), float(self.zero_point.max()) - lo)
        if reach > 1 << MAX_ACTIVATION_BITS:
            raise UnsupportedModel(
                f"codes less their zero point reach {reach:.0f}, which float32 cannot hold",
                hint=f"use fewer than {MAX_ACTIVATION_BITS} bits or a smaller zero point",
            )
