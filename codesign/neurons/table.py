"""Functions as tables of integers: the table is the function, exactly, on any machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from codesign.neurons.rounding import shift_right

#: What can be tabulated, in float32.
FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": lambda x: np.float32(1) / (np.float32(1) + np.exp(-x)),
    "tanh": np.tanh,
}
MAX_ENTRIES = 1 << 16


@dataclass(frozen=True, eq=False)
class Table:
    """``codes[x - lo]`` for an integer ``x`` worth ``2**-in_frac``, which is first limited to the
    table's ends. ``codes``: int64 [n], worth ``2**-frac`` each."""

    in_frac: int
    lo: int
    frac: int
    codes: np.ndarray

    def __post_init__(self) -> None:
        codes = np.array(self.codes, dtype=np.int64)
        codes.setflags(write=False)
        object.__setattr__(self, "codes", codes)
        if codes.ndim != 1 or not 1 <= codes.size <= MAX_ENTRIES:
            raise ValueError(f"a table has 1 to {MAX_ENTRIES} entries, got shape {codes.shape}")
        if np.abs(codes).max() >= 1 << 24:
            raise ValueError("the entries of a table have at most 24 bits")

    @property
    def hi(self) -> int:
        """The last integer with an entry."""
        return self.lo + len(self.codes) - 1

    def read(self, x: np.ndarray, frac: int, rounding: str) -> np.ndarray:
        """Entries (int64) for integers ``x`` worth ``2**-frac``."""
        at = shift_right(x, frac - self.in_frac, rounding)
        entries: np.ndarray = self.codes[np.clip(at, self.lo, self.hi) - self.lo]
        return entries


def tabulate(function: str, *, bits: int, in_frac: int, frac: int) -> Table:
    """``sigmoid`` or ``tanh`` of all signed codes of ``bits`` bits worth ``2**-in_frac``: computed
    in float32, rounded half to even to multiples of ``2**-frac``."""
    if function not in FUNCTIONS:
        raise ValueError(f"function must be one of {', '.join(FUNCTIONS)}, got '{function}'")
    if not 1 <= bits <= 16 or not 0 <= frac <= 23:
        raise ValueError(f"a table of {bits} bits to {frac} fraction bits; 1..16 and 0..23 can be")
    lo = -(1 << (bits - 1))
    x = np.ldexp(np.arange(lo, -lo, dtype=np.float32), -in_frac)
    codes = np.rint(np.ldexp(FUNCTIONS[function](x), frac)).astype(np.int64)
    return Table(in_frac, lo, frac, codes)
