"""Division of integers by powers of two, each way of rounding."""

from __future__ import annotations

import numpy as np

#: ``exact``: nothing may be lost; ``floor``: toward minus infinity; ``trunc0``: toward zero;
#: ``half_even``: to the nearest, ties to the even one.
ROUNDINGS = ("exact", "floor", "trunc0", "half_even")


def shift_right(x: np.ndarray, bits: int, rounding: str) -> np.ndarray:
    """``x / 2**bits`` (int64, same shape) rounded; negative ``bits`` multiply, exactly.

    Raises ``ValueError`` where ``exact`` would lose bits.
    """
    if bits <= 0:
        return x << -bits
    if rounding == "exact":
        if (x & ((1 << bits) - 1)).any():
            raise ValueError(f"{bits} fraction bits would be lost")
        return x >> bits
    if rounding == "floor":
        return x >> bits
    if rounding == "trunc0":
        return np.sign(x) * (np.abs(x) >> bits)
    if rounding == "half_even":
        down = x >> bits
        rest, half = x - (down << bits), 1 << (bits - 1)
        return down + ((rest > half) | ((rest == half) & (down & 1 == 1)))
    raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, got '{rounding}'")
