"""Leaks: what a state loses from one step to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.neurons.rounding import shift_right
from codesign.neurons.word import Word

#: Kind -> rounding of its product, for those that multiply.
PRODUCTS = {"mul_floor": "floor", "mul_trunc0": "trunc0", "mul_round": "half_even"}
LEAKS = ("none", "shift_floor", "shift_min1", *PRODUCTS, "linear")


@dataclass(frozen=True, eq=False)
class Leak:
    """``kind`` and its ``amount``, int64 [1] or [channels].

    none: ``v``. shift_floor: ``v - (v >> amount)``. shift_min1 (Xylo): ``v - dv`` with
    ``dv = v >> amount``, or 1 where that is 0 and v is not. mul_floor, mul_trunc0, mul_round:
    ``v * amount / 2**frac`` rounded down, toward zero, or to nearest even; ``amount`` in
    ``0..2**frac``. linear: toward 0 by ``amount``.
    """

    kind: str
    amount: np.ndarray
    frac: int = 0

    def __post_init__(self) -> None:
        amount = np.atleast_1d(np.array(self.amount, dtype=np.int64))
        amount.setflags(write=False)
        object.__setattr__(self, "amount", amount)
        if self.kind not in LEAKS:
            raise ValueError(f"leak must be one of {', '.join(LEAKS)}, got '{self.kind}'")
        if amount.ndim != 1 or not amount.size or amount.min() < 0:
            raise ValueError(f"a leak is a vector of integers >= 0, got {amount.tolist()}")
        if self.kind in PRODUCTS and not 1 <= self.frac <= 30:
            raise ValueError(f"a decay has 1 to 30 fraction bits, got {self.frac}")
        if self.kind in PRODUCTS and amount.max() > 1 << self.frac:
            raise ValueError(f"a decay is at most 1 ({1 << self.frac}), got {amount.max()}")
        if self.kind.startswith("shift") and not 1 <= amount.min() <= amount.max() <= 30:
            raise ValueError(f"a leak shifts by 1 to 30, got {amount.tolist()}")

    def check(self, word: Word) -> None:
        """Raises ``ValueError`` where the products of ``word`` do not fit 63 bits (int64)."""
        if self.kind in PRODUCTS and word.bits + self.frac > 62:
            raise ValueError(
                f"a word of {word.bits} bits times a decay of {self.frac} does not fit 63 bits"
            )

    def apply(self, v: np.ndarray) -> np.ndarray:
        """int64 of v's shape; channels are the last axis. The result lies between 0 and v."""
        if self.kind == "none":
            return v
        if self.kind in PRODUCTS:
            return shift_right(v * self.amount, self.frac, PRODUCTS[self.kind])
        if self.kind == "linear":
            return np.sign(v) * np.maximum(np.abs(v) - self.amount, 0)
        lost = v >> self.amount
        if self.kind == "shift_min1":
            lost = np.where((lost == 0) & (v != 0), 1, lost)
        return v - lost
