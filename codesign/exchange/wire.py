"""Codes and what stands for them on a wire: float32 real values, ``code * 2**-frac``."""

from __future__ import annotations

import numpy as np

from codesign.exchange.domain import LIMIT


def to_wire(codes: np.ndarray, frac: int) -> np.ndarray:
    """float32 values of int64 ``codes``, same shape; exact, or ``ValueError``."""
    codes = np.asarray(codes, dtype=np.int64)
    if codes.size and np.abs(codes).max() > LIMIT:
        raise ValueError(f"code {codes.flat[np.abs(codes).argmax()]} is larger than {LIMIT}")
    return np.ldexp(codes.astype(np.float32), -frac)


def to_codes(values: np.ndarray, frac: int) -> np.ndarray:
    """int64 codes of ``values`` (real numbers of any float type), same shape.

    Raises ``ValueError`` where a value is no multiple of ``2**-frac``, stating the nearest one
    that is, and where it is not finite or larger than float32 can hold exactly.
    """
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite")
    scaled = np.ldexp(values, frac)
    codes = np.rint(scaled)
    wrong = np.flatnonzero(codes != scaled)
    if wrong.size:
        first = wrong[0]
        nearest = float(np.ldexp(codes.flat[first], -frac))
        raise ValueError(
            f"{values.flat[first]:.9g} is no multiple of 2^{-frac}: the nearest is {nearest:.9g}"
        )
    if codes.size and np.abs(codes).max() > LIMIT:
        raise ValueError(
            f"{values.flat[np.abs(codes).argmax()]:.9g} is more than 2^24 steps of 2^{-frac}"
        )
    return codes.astype(np.int64)
