"""Compare with sorted thresholds and count."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from codesign.hdl.adders.tree import levels
from codesign.hdl.pipeline import LUT_NS, REGISTER_NS, adder_ns
from codesign.hdl.requant.base import (
    AtLeast,
    Lane,
    Ranges,
    Realisation,
    column,
    rom_luts,
    same_channels,
)
from codesign.hdl.stream import range_shape

#: Longest path of a lane without a register inside, nanoseconds.
LANE_NS = 8.5


@dataclass(frozen=True, eq=False)
class Thresholds(Realisation):
    """``code = base[c] + step[c] * #(x >= thresholds[c, i])``.

    base, step: int64 [C] or [1], step +1 or -1. thresholds: int64 [C, n] or [1, n] in any order
    (kept sorted); above the input range means never.
    """

    base: np.ndarray
    step: np.ndarray
    thresholds: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", column(self.base, "base"))
        object.__setattr__(self, "step", column(self.step, "step"))
        table = np.asarray(self.thresholds)
        if table.ndim != 2 or not np.issubdtype(table.dtype, np.integer):
            raise ValueError(f"thresholds hold integers [C, n], got {table.dtype} {table.shape}")
        if not np.isin(self.step, (-1, 1)).all():
            raise ValueError(f"step is +1 or -1, got {np.unique(self.step)}")
        object.__setattr__(self, "thresholds", np.sort(table.astype(np.int64), axis=1))
        same_channels(base=self.base, step=self.step, thresholds=self.thresholds)

    @property
    def channels(self) -> int:
        return same_channels(base=self.base, step=self.step, thresholds=self.thresholds)

    def evaluate(self, x: np.ndarray, ranges: Ranges | None = None) -> np.ndarray:
        x = np.asarray(x)
        count = np.zeros(x.shape, np.int64)
        for i in range(self.thresholds.shape[1]):
            count += x >= self.thresholds[:, i]
        return self.base + self.step * count

    def _clamped(self, ranges: Ranges) -> np.ndarray:
        return np.clip(self.thresholds, ranges.in_lo, ranges.in_hi + 1)

    def fields(self, ranges: Ranges) -> Mapping[str, np.ndarray]:
        down = (self.step < 0).astype(np.int64)
        table = self._clamped(ranges)
        named = {f"t{i}": table[:, i] for i in range(table.shape[1])}
        return {"start": self.base + down, "down": down, **named}

    def _delay(self, ranges: Ranges) -> float:
        count = self.thresholds.shape[1]
        compare = adder_ns(ranges.in_bits) + 0.1 * levels(count + 1)
        return REGISTER_NS + compare + LUT_NS * levels(count + 1) + 1.0

    def stages(self, ranges: Ranges) -> int:
        return 1 if self._delay(ranges) <= LANE_NS else 2

    def lane(self, at: Lane, x: Value, parameters: Mapping[str, Value]) -> Value:
        count = self.thresholds.shape[1]
        known, bounds = AtLeast(at.m, x), [parameters[f"t{i}"] for i in range(count)]
        marks = [known(b.value) if isinstance(b, Const) else x >= b for b in bounds]
        thermometer = Signal(max(count, 1), name="reached")
        at.m.d.comb += thermometer.eq(Cat(*marks))
        held = at.register(thermometer)
        start, down = at.register(parameters["start"]), at.register(parameters["down"])
        number = Signal(range(count + 1), name="count")
        at.m.d.comb += number.eq(_ones(at.m, held, count))
        code = Signal(range_shape(at.ranges.out_lo, at.ranges.out_hi), name="code")
        at.m.d.comb += code.eq(signed_count(number, down) + start)
        return code

    def lut_estimate(self, ranges: Ranges, folds: int = 1) -> int:
        count, width = self.thresholds.shape[1], ranges.in_bits
        start = self.base + (self.step < 0)
        place = ranges.out_bits if start.any() or (self.step < 0).any() else 0
        if folds == 1 or self.channels == 1:
            return int(count * (1 + width * 0.4) + count) + place
        return count * (width + 1) + place + rom_luts(count * width, folds)


def signed_count(number: Value, down: Value) -> Value:
    """``number``, or its one's complement when ``down``."""
    if isinstance(down, Const):
        return ~Cat(number, Const(0, 1)).as_signed() if down.value else number
    return (Cat(number, Const(0, 1)) ^ down.replicate(len(number) + 1)).as_signed()


def _ones(m: Module, marks: Value, count: int) -> Value:
    """How many of a thermometer code's ``count`` marks are set, by binary search."""
    depth, found = count.bit_length(), []
    marks = Cat(marks, Const(0, (1 << depth) - 1 - count))
    for bit in reversed(range(depth)):
        middle = (1 << bit) - 1
        top = marks[middle]
        found.append(top)
        rest = Signal(middle, name=f"rest{bit}")
        m.d.comb += rest.eq(Mux(top, marks[middle + 1 :], marks[:middle]))
        marks = rest
    return Cat(*reversed(found)) if found else Const(0, 1)
