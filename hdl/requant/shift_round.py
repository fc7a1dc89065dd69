"""Add, shift, round, clip."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Const, Mux, Value

from codesign.hdl.requant.base import Lane, Ranges, Realisation, clip, column, rom_luts

ROUNDINGS = ("floor", "ceil", "half_up", "half_down", "half_even")


@dataclass(frozen=True, eq=False)
class ShiftRound(Realisation):
    """``code = clip(round((x * 2**fraction + bias[c]) / 2**shift))``.

    bias: int64 [C] or [1]; shift: 0 or more, negative shifts left; fraction: 0 or more bits
    below the accumulator's unit, for biases between two of its steps. rounding: 'floor', 'ceil',
    or to the nearest with ties up ('half_up'), down ('half_down') or to even ('half_even');
    up and down mean towards plus and minus infinity.
    """

    bias: np.ndarray
    shift: int
    rounding: str
    fraction: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", column(self.bias, "bias"))
        if self.rounding not in ROUNDINGS:
            raise ValueError(f"rounding is one of {', '.join(ROUNDINGS)}, got {self.rounding!r}")
        if self.fraction < 0:
            raise ValueError(f"fraction is 0 or more, got {self.fraction}")

    @property
    def channels(self) -> int:
        return len(self.bias)

    def _addend(self) -> int:
        if self.shift <= 0:
            return 0
        half = 1 << (self.shift - 1)
        return {"floor": 0, "ceil": 2 * half - 1, "half_down": half - 1}.get(self.rounding, half)

    def evaluate(self, x: np.ndarray, ranges: Ranges | None = None) -> np.ndarray:
        total = (np.asarray(x) << self.fraction) + self.bias + self._addend()
        if self.shift <= 0:
            code = total << -self.shift
        else:
            code = total >> self.shift
            if self.rounding == "half_even":
                code = code & ~((total & ((1 << self.shift) - 1)) == 0).astype(np.int64)
        return code if ranges is None else np.clip(code, ranges.out_lo, ranges.out_hi)

    def fields(self, ranges: Ranges) -> Mapping[str, np.ndarray]:
        return {"addend": self.bias + self._addend()}

    def stages(self, ranges: Ranges) -> int:
        return 1

    def lane(self, at: Lane, x: Value, parameters: Mapping[str, Value]) -> Value:
        addend = self.bias + self._addend()
        x = x << self.fraction
        lo = (at.ranges.in_lo << self.fraction) + int(addend.min())
        hi = (at.ranges.in_hi << self.fraction) + int(addend.max())
        constant = parameters["addend"]
        still = isinstance(constant, Const) and constant.value == 0
        total = at.wire(x if still else x + constant, lo, hi, "shifted")
        if self.shift <= 0:
            left = -self.shift
            return clip(at, total << left, lo << left, hi << left)
        code: Value = total >> self.shift
        lo, hi = lo >> self.shift, hi >> self.shift
        if self.rounding == "half_even":
            low = total.as_unsigned()[: self.shift]
            code = Mux(low.any(), code, code & ~1)
            lo &= ~1
        return clip(at, code, lo, hi)

    def lut_estimate(self, ranges: Ranges, folds: int = 1) -> int:
        varied = 1 if folds == 1 else folds
        width = ranges.in_bits + self.fraction + 1
        add = width if (self.bias + self._addend()).any() else 0
        limit = ranges.out_bits + max(0, width - self.shift - ranges.out_bits) // 3 + 1
        tie = self.shift // 3 + 1 if self.rounding == "half_even" and self.shift > 0 else 0
        constant = len(np.unique(self.bias)) == 1
        return add + limit + tie + (0 if constant else rom_luts(width, varied))
