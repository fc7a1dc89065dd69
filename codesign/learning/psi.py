"""What stands for the derivative of a spike: a table over the distance from the threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.neurons import Word


@dataclass(frozen=True, eq=False)
class Psi:
    """``Psi = table[min(|v - theta| >> shift, len(table) - 1)]``; ``word``: that of its codes.

    table: int64 [entries], 1 to 256 of them, codes of ``word`` (unsigned).
    """

    table: np.ndarray
    shift: int
    word: Word

    def __post_init__(self) -> None:
        table = np.array(self.table, dtype=np.int64)
        table.setflags(write=False)
        object.__setattr__(self, "table", table)
        if table.ndim != 1 or not 1 <= len(table) <= 256:
            raise ValueError(f"the table of Psi is a vector of 1 to 256 codes, got {table.shape}")
        if self.word.signed or table.min() < 0 or table.max() > self.word.hi:
            raise ValueError(f"Psi's codes must lie in an unsigned word, 0..{self.word.hi}")
        if not 0 <= self.shift <= 40:
            raise ValueError(f"Psi's distance is shifted by 0 to 40, got {self.shift}")

    def of(self, distance: np.ndarray) -> np.ndarray:
        """int64 codes of distances ``v - theta``, int64 of any shape."""
        return self.table[np.minimum(np.abs(distance) >> self.shift, len(self.table) - 1)]


def fast_sigmoid(word: Word, *, theta: int, slope: float, entries: int, shift: int) -> Psi:
    """``1 / (slope |u| + 1)**2`` with ``u = (v - theta) / theta`` (Apolinario and Roy 2025, eq. of
    TESS, with slope 100; Zenke and Ganguli 2018) as a table: each entry is that of the middle of
    its ``2**shift`` distances, the last one 0, so that far neurons cost nothing."""
    if theta < 1 or entries < 2:
        raise ValueError(f"needs a positive threshold and 2 entries, got {theta} and {entries}")
    middle = (np.arange(entries) * 2.0**shift + ((1 << shift) - 1) / 2) / theta
    codes = np.rint((slope * middle + 1) ** -2.0 * 2.0**word.frac).astype(np.int64)
    codes = np.minimum(codes, word.hi)
    codes[-1] = 0
    return Psi(codes, shift, word)
