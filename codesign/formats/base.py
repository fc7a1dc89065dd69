"""What a wire carries: integer codes and their meaning."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np


class Format(ABC):
    """The set of integer codes a wire can carry, and the value each code stands for.

    A format is immutable and hashable. Codes are integers; ``bits`` and ``signed`` say how a
    code travels on a wire (two's complement when ``signed``).
    """

    @property
    @abstractmethod
    def lo(self) -> int:
        """Smallest legal code."""

    @property
    @abstractmethod
    def hi(self) -> int:
        """Largest legal code."""

    @abstractmethod
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Values (float32, same shape) that ``codes`` stand for; channels are the last axis."""

    @abstractmethod
    def label(self) -> str:
        """Short human-readable name, e.g. ``uint4 x 2^-3``."""

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """Plain data from which :func:`codesign.formats.from_json` rebuilds the format."""

    @property
    def signed(self) -> bool:
        """Whether the code travels as two's complement."""
        return self.lo < 0

    @property
    def bits(self) -> int:
        """Wire width in bits: the least that holds ``lo`` and ``hi`` (at least one)."""
        return bits_for(self.lo, self.hi)

    @property
    def uniform(self) -> bool:
        """Whether a code means the same number in every channel."""
        return True

    def corner_codes(self) -> np.ndarray:
        """int64 codes where hardware goes wrong first: the ends, the middle, and neighbours."""
        middle = (self.lo + self.hi) // 2
        picks = {self.lo, self.lo + 1, -1, 0, 1, middle, middle + 1, self.hi - 1, self.hi}
        return np.array(sorted(c for c in picks if self.lo <= c <= self.hi), dtype=np.int64)


def bits_for(lo: int, hi: int) -> int:
    """Bits of the narrowest wire for ``lo..hi``: two's complement if ``lo < 0``, else unsigned."""
    if lo > hi:
        raise ValueError(f"empty range {lo}..{hi}")
    if lo >= 0:
        return max(1, int(hi).bit_length())
    return max(int(hi).bit_length(), int(-lo - 1).bit_length()) + 1
