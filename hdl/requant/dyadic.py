"""Multiply, add, shift, clip."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Value

from codesign.hdl import multiplier as products
from codesign.hdl.adders.tree import Term, levels
from codesign.hdl.pipeline import LUT_NS, REGISTER_NS, Step, adder_ns, cuts
from codesign.hdl.requant.base import (
    Lane,
    Ranges,
    Realisation,
    clip,
    column,
    rom_luts,
    same_channels,
)


@dataclass(frozen=True, eq=False)
class Dyadic(Realisation):
    """``code = clip((x * multiplier[c] + addend[c]) >> shift)``, the shift a floor.

    multiplier, addend: int64 [C] or [1]; shift >= 0. Multipliers are recoded in radix-4 digits
    (see :mod:`codesign.hdl.multiplier`): no hardware multiplier is used.
    """

    multiplier: np.ndarray
    addend: np.ndarray
    shift: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "multiplier", column(self.multiplier, "multiplier"))
        object.__setattr__(self, "addend", column(self.addend, "addend"))
        if self.shift < 0:
            raise ValueError(f"shift is 0 or more, got {self.shift}")
        same_channels(multiplier=self.multiplier, addend=self.addend)

    @property
    def channels(self) -> int:
        return same_channels(multiplier=self.multiplier, addend=self.addend)

    def evaluate(self, x: np.ndarray, ranges: Ranges | None = None) -> np.ndarray:
        code = (np.asarray(x) * self.multiplier + self.addend) >> self.shift
        return code if ranges is None else np.clip(code, ranges.out_lo, ranges.out_hi)

    def _recoding(self) -> products.Recoding:
        return products.recode(self.multiplier)

    def _live(self) -> list[tuple[products.Plane, np.ndarray]]:
        """Planes that are not zero for every channel, with their digits."""
        recoding = self._recoding()
        pairs = zip(recoding.planes, recoding.digits(self.multiplier), strict=True)
        return [(plane, digit) for plane, digit in pairs if digit.any()]

    def _offset(self) -> np.ndarray:
        return self.addend + self._recoding().correction(self.multiplier)

    def fields(self, ranges: Ranges) -> Mapping[str, np.ndarray]:
        codes = self._recoding().codes(self.multiplier)
        found = {"offset": self._offset()}
        for plane, _ in self._live():
            bits = [((codes >> b) & 1) << i for i, b in enumerate(plane.bits)]
            found[f"digit{plane.shift}"] = np.asarray(sum(bits))
        return found

    def _cuts(self, ranges: Ranges) -> list[str]:
        count = len(self._live()) + 1
        width = ranges.in_bits + 2 * count
        steps = [Step("row", LUT_NS, count * width)]
        for level in range(levels(count)):
            steps.append(Step(f"add{level}", adder_ns(width), (count >> level) * width))
        steps.append(Step("clip", 2 * LUT_NS, 0))
        return cuts(steps, 1, REGISTER_NS, stage_ns=8.5)

    def stages(self, ranges: Ranges) -> int:
        return 1 + len(self._cuts(ranges))

    def lane(self, at: Lane, x: Value, parameters: Mapping[str, Value]) -> Value:
        cut = self._cuts(at.ranges)
        terms = [*self._rows(at, x, parameters), self._addend_term(parameters["offset"])]
        terms = [self._kept(at, t, "row", cut) for t in terms]
        for level in range(levels(len(terms))):
            sums = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)]
            terms = [
                self._kept(at, t.named(at.m, f"sum{level}_{j}"), f"add{level}", cut)
                for j, t in enumerate(sums + terms[2 * len(sums) :])
            ]
        lo, hi = self._range(at.ranges)
        return clip(at, terms[0].value >> self.shift, lo >> self.shift, hi >> self.shift)

    def _rows(self, at: Lane, x: Value, parameters: Mapping[str, Value]) -> list[Term]:
        terms, operand = [], products.multiples(x)
        for plane, digit in self._live():
            code = parameters[f"digit{plane.shift}"]
            if len(code) < len(plane.bits):
                code = Cat(code, Const(0, len(plane.bits) - len(code)))
            ends = products.row_range(plane, digit, at.ranges.in_lo, at.ranges.in_hi, False)
            term = Term(products.row(plane, *operand, code), *ends).named(at.m, f"row{plane.shift}")
            terms.append(term.shifted(plane.shift))
        return terms

    def _addend_term(self, offset: Value) -> Term:
        values = self._offset()
        return Term(offset, values, values)

    @staticmethod
    def _kept(at: Lane, term: Term, step: str, cut: list[str]) -> Term:
        return Term(at.register(term.value), term.lo, term.hi) if step in cut else term

    def _range(self, ranges: Ranges) -> tuple[int, int]:
        ends = self.multiplier * ranges.in_lo, self.multiplier * ranges.in_hi
        low, high = np.minimum(*ends) + self.addend, np.maximum(*ends) + self.addend
        return int(low.min()), int(high.max())

    def lut_estimate(self, ranges: Ranges, folds: int = 1) -> int:
        count, width = len(self._live()), ranges.in_bits + 2
        constant = len(np.unique(self.multiplier)) == 1
        rows = 0 if constant else count * width
        bits = 2 * count + width
        return rows + count * (width + 1) + ranges.out_bits + rom_luts(bits, folds)
