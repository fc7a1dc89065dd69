"""Quant: QONNX's integer quantizer, the one place where float32 becomes codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel, UsageError
from codesign.formats import Format, ScaledInt
from codesign.formats.rounding import ROUNDING
from codesign.ir import Op, constant, register

if TYPE_CHECKING:
    from codesign.ir import Value

#: float32 holds every integer up to 2^24: a wider activation range has codes it cannot name.
MAX_ACTIVATION_BITS = 24


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
) -> np.ndarray:
    """float32 ``x`` to int64 codes: ``round(clip(x / scale + zero_point))``, op by op in float32.

    ``scale`` and ``zero_point`` are float32 and broadcast against ``x``. This is what
    ``qonnx.custom_op.general.intquant.int_quant`` computes before it scales back.
    """
    x = np.asarray(x, dtype=np.float32)
    with np.errstate(over="ignore", under="ignore"):
        y = x / scale + zero_point
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
class Quant(Op):
    """float32 (or decoded codes) to codes of a :class:`ScaledInt`.

    ``scale``: float32[1] or float32[C] (last axis); ``zero_point``: float32[1], integral.
    Not :class:`Elementwise` because it returns codes, but it tabulates in the same way.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    bits: int
    signed: bool
    narrow: bool = False
    rounding: str = "ROUND"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", constant(np.atleast_1d(self.scale), np.float32))
        object.__setattr__(self, "zero_point", constant(np.atleast_1d(self.zero_point), np.float32))
        if self.rounding not in ROUNDING:
            raise ValueError(f"unknown rounding mode {self.rounding!r}; known: {sorted(ROUNDING)}")

    @property
    def out_format(self) -> ScaledInt:
        """The codes this quantizer can emit, and what they stand for."""
        return ScaledInt.of_bits(
            self.bits,
            signed=self.signed,
            narrow=self.narrow,
            scale=tuple(float(s) for s in self.scale),
            zero_point=int(self.zero_point[0]),
        )

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        """float32 in, int64 codes out, same shape."""
        return quantize(
            x,
            self.scale,
            self.zero_point,
            bits=self.bits,
            signed=self.signed,
            narrow=self.narrow,
            rounding=self.rounding,
        )

    def direction(self) -> np.ndarray:
        """Never decreasing: scales are positive and every rounding mode is monotone."""
        return np.ones(1, dtype=np.int64)

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        self._check()
        channels = x.shape[-1] if x.shape else 1
        if len(self.scale) not in (1, channels):
            raise UnsupportedModel(
                f"{len(self.scale)} scales for {channels} channels",
                hint="give one scale per tensor or one per channel of the last axis",
            )
        return x.shape, self.out_format

    def _check(self) -> None:
        if self.bits == 1 and self.signed:
            raise UnsupportedModel(
                "a signed 1-bit (bipolar) activation quantizer is not supported yet",
                hint="use an unsigned 1-bit or a signed 2-bit activation quantizer",
            )
        if not 1 <= self.bits <= MAX_ACTIVATION_BITS:
            raise UnsupportedModel(
                f"an activation quantizer of {self.bits} bits has codes float32 cannot hold",
                hint=f"use 1 to {MAX_ACTIVATION_BITS} bits",
            )
        if len(self.zero_point) != 1:
            raise UnsupportedModel(
                "a zero point per channel on an activation is not supported",
                hint="use one zero point per tensor",
            )

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        return self.evaluate(ins[0].format.decode(arrays[0]))
