"""Long division of int64 arrays."""

from __future__ import annotations

import numpy as np


def fraction(number: np.ndarray, total: np.ndarray, bits: int) -> np.ndarray:
    """``floor(number * 2**bits / total)`` in int64, ``0 <= number <= total < 2**62``, total > 0;
    the product may be larger than 64 bits."""
    quotient, rest = number // total, number % total
    step = max(1, 62 - int(total.max(initial=1)).bit_length())
    left = bits
    while left:
        now = min(step, left)
        rest = rest << now
        quotient = (quotient << now) | (rest // total)
        rest, left = rest % total, left - now
    return np.asarray(quotient)
