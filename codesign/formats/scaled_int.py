"""Integers with a scale and a zero point: ``value = scale * (code - zero_point)``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from codesign.formats.base import Format
from codesign.formats.rounding import product_to_float32


@dataclass(frozen=True)
class ScaledInt(Format):
    """Codes ``low..high`` that stand for ``scale * (code - zero_point)``.

    ``scale`` holds one positive float64 per channel (last axis), or a single one for the whole
    tensor. A product of two float32 scales is exact in float64, so the scale of an accumulator
    is exact as well.
    """

    low: int
    high: int
    scale: tuple[float, ...] = (1.0,)
    zero_point: int = 0

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"empty code range {self.low}..{self.high}")
        if not self.scale or not all(math.isfinite(s) and s > 0 for s in self.scale):
            raise ValueError(f"scales must be positive and finite, got {self.scale[:4]}")

    @staticmethod
    def of_bits(
        bits: int,
        *,
        signed: bool,
        narrow: bool = False,
        scale: tuple[float, ...] = (1.0,),
        zero_point: int = 0,
    ) -> ScaledInt:
        """The QONNX ``Quant`` range of ``bits`` bits (narrow drops one code of it)."""
        if signed:
            low, high = -(1 << (bits - 1)) + int(narrow), (1 << (bits - 1)) - 1
        else:
            low, high = 0, (1 << bits) - 1 - int(narrow)
        return ScaledInt(low, high, scale, zero_point)

    @property
    def uniform(self) -> bool:
        return len(set(self.scale)) == 1

    @property
    def lo(self) -> int:
        return self.low

    @property
    def hi(self) -> int:
        return self.high

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Real value of each code, rounded to float32 once (contract 4)."""
        scale = np.asarray(self.scale if len(self.scale) > 1 else self.scale[0], dtype=np.float64)
        return product_to_float32(np.asarray(codes, dtype=np.int64) - self.zero_point, scale)

    def label(self) -> str:
        base = f"{'int' if self.signed else 'uint'}{self.bits}"
        zero = f" zp {self.zero_point}" if self.zero_point else ""
        if len(set(self.scale)) > 1:
            return f"{base} x per-channel{zero}"
        exponent = math.log2(self.scale[0])
        scale = f"2^{int(exponent)}" if exponent == int(exponent) else f"{self.scale[0]:.4g}"
        return f"{base}{zero}" if scale == "2^0" else f"{base} x {scale}{zero}"

    def to_json(self) -> dict[str, object]:
        return {
            "kind": "scaled_int",
            "low": self.low,
            "high": self.high,
            "scale": [s.hex() for s in self.scale],
            "zero_point": self.zero_point,
        }

    @staticmethod
    def from_json(data: dict[str, object]) -> ScaledInt:
        scale = tuple(float.fromhex(str(s)) for s in data["scale"])  # type: ignore[attr-defined]
        return ScaledInt(int(data["low"]), int(data["high"]), scale, int(data["zero_point"]))  # type: ignore[call-overload]
