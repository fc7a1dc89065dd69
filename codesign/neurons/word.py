"""A word of state: how many bits, what one of them is worth, what happens past the ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: ``sat_step``: clamp once, before the comparison; ``sat_narrow``: the same between ``-hi`` and
#: ``hi`` (Loihi); ``sat_add``: clamp after each addition; ``sat_change``: clamp the change of a
#: step after each addition to it, then the sum (Xylo); ``wrap``: two's complement.
OVERFLOWS = ("sat_step", "sat_narrow", "sat_add", "sat_change", "wrap")


@dataclass(frozen=True)
class Word:
    """A code of ``bits`` bits worth ``2**-frac`` each, two's complement if ``signed``."""

    bits: int
    frac: int
    signed: bool
    overflow: str

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 48:
            raise ValueError(f"a state word has 1 to 48 bits, got {self.bits}")
        if not -64 <= self.frac <= 64:
            raise ValueError(f"fraction bits must lie in -64..64, got {self.frac}")
        if self.overflow not in OVERFLOWS:
            raise ValueError(
                f"overflow must be one of {', '.join(OVERFLOWS)}, got '{self.overflow}'"
            )

    @property
    def lo(self) -> int:
        """Smallest code."""
        if not self.signed:
            return 0
        return -self.hi if self.overflow == "sat_narrow" else -(1 << (self.bits - 1))

    @property
    def hi(self) -> int:
        """Largest code."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    def after_add(self, x: np.ndarray) -> np.ndarray:
        """int64 codes after one of several additions: clamped if ``sat_add``, else as they are."""
        return np.clip(x, self.lo, self.hi) if self.overflow == "sat_add" else x

    def fit(self, x: np.ndarray) -> np.ndarray:
        """int64 codes as the word holds them: wrapped or clamped."""
        if self.overflow == "wrap":
            return ((x - self.lo) & ((1 << self.bits) - 1)) + self.lo
        return np.clip(x, self.lo, self.hi)
