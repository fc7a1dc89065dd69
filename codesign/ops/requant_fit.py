"""Find arithmetic that equals a step function on its whole range, or show there is none.

A rising function is its thresholds: ``T_y`` is the least input whose code is at least ``y``. So a
candidate is *equal*, not close, when it has the same thresholds; both fits below solve for
exactly that. Codes already reached at ``lo`` have ``T_y <= lo``, codes never reached ``T_y > hi``;
such thresholds only bound the unknowns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.ops.requant import Requant

#: Largest multiplier and shift a dyadic form may use, in bits.
MAX_MULTIPLIER_BITS, MAX_SHIFT = 18, 30


@dataclass(frozen=True)
class ThresholdView:
    """``T[c, i]`` for codes ``first + i``, clipped to ``lo`` (always) and ``hi + 1`` (never)."""

    thresholds: np.ndarray  # int64 [C, n]
    codes: np.ndarray  # int64 [n]: the code each column opens
    lo: int
    hi: int

    @property
    def always(self) -> np.ndarray:
        return self.thresholds <= self.lo

    @property
    def never(self) -> np.ndarray:
        return self.thresholds > self.hi


def view(op: Requant) -> ThresholdView:
    """The thresholds of rising ``op`` aligned by code, from the format's lowest code up."""
    first, last = op.out_format.lo, op.out_format.hi
    channels = len(op.thresholds)
    aligned = np.full((channels, last - first), op.hi + 1, dtype=np.int64)
    for c in range(channels):
        skip = int(op.base[c]) - first
        aligned[c, :skip] = op.lo
        row = op.thresholds[c][: last - first - skip]
        aligned[c, skip : skip + len(row)] = row
    codes = np.arange(first + 1, last + 1, dtype=np.int64)
    return ThresholdView(aligned, codes, op.lo, op.hi)


def fit_shift(op: Requant) -> tuple[int, str, np.ndarray] | None:
    """``(shift, rounding, bias[C])`` with ``code = clip(round((x + bias) / 2^shift))``, or None.

    ``rounding`` is ``floor`` or ``half_even``; every other QONNX mode that moves by whole
    accumulator steps is one of these with another bias.
    """
    t = view(op)
    for shift in range(max(1, int(op.hi - op.lo).bit_length()) + 1):
        for rounding in ("floor", "half_even") if shift else ("floor",):
            bias = _shift_bias(t, shift, rounding)
            if bias is not None:
                return shift, rounding, bias
    return None


def _shift_bias(t: ThresholdView, shift: int, rounding: str) -> np.ndarray | None:
    opens = t.codes << shift  # x + bias at which a code begins
    if rounding == "half_even":
        opens = opens - (1 << (shift - 1)) + (t.codes & 1)  # a tie goes to the even code
    # T = opens - bias where reached inside the range; bounds elsewhere.
    exact = ~(t.always | t.never)
    least = np.where(exact | t.always, opens - t.thresholds, _NO_LEAST).max(1, initial=_NO_LEAST)
    most = np.where(exact, opens - t.thresholds, _NO_MOST)
    most = np.minimum(most, np.where(t.never, opens - t.hi - 1, _NO_MOST)).min(1, initial=_NO_MOST)
    if (least > most).any():
        return None
    return _smallest(least, most)


def fit_dyadic(op: Requant) -> tuple[int, np.ndarray, np.ndarray] | None:
    """``(shift, multiplier[C], addend[C])`` with ``code = clip((x * m + r) >> shift)``, or None.

    The least shift that works for all channels; one common multiplier where that is enough.
    """
    t = view(op)
    slope = _slopes(t)
    for shift in range(MAX_SHIFT + 1):
        centre = slope * 2.0**shift
        if centre.max() >= 1 << MAX_MULTIPLIER_BITS:
            return None
        found = _dyadic_at(t, shift, centre)
        if found is not None:
            return shift, *found
    return None


def _slopes(t: ThresholdView) -> np.ndarray:
    """Codes per accumulator step of each channel, from its outermost real thresholds."""
    out = np.full(len(t.thresholds), 2.0**-1)
    for c, row in enumerate(t.thresholds):
        inside = np.flatnonzero(~(t.always[c] | t.never[c]))
        if len(inside) >= 2 and row[inside[-1]] > row[inside[0]]:
            out[c] = (inside[-1] - inside[0]) / (row[inside[-1]] - row[inside[0]])
    return out


def _dyadic_at(
    t: ThresholdView, shift: int, centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    middle = np.floor(centre).astype(np.int64)
    common = int(np.median(middle))
    for m in sorted({common - 1, common, common + 1, common + 2} - {0, -1}):
        r = _addend(t, shift, np.full_like(middle, m))
        if r is not None:
            return np.full_like(middle, m), r
    best_m, best_r = np.zeros_like(middle), np.zeros_like(middle)
    missing = np.ones(len(middle), dtype=bool)
    for offset in (0, 1, -1, 2):
        m = np.maximum(middle + offset, 1)
        least, most = _addend_bounds(t, shift, m)
        fits = missing & (least <= most)
        best_m, best_r = np.where(fits, m, best_m), np.where(fits, least, best_r)
        missing &= ~fits
    return None if missing.any() else (best_m, best_r)


def _addend(t: ThresholdView, shift: int, m: np.ndarray) -> np.ndarray | None:
    least, most = _addend_bounds(t, shift, m)
    return None if (least > most).any() else _smallest(least, most)


def _addend_bounds(t: ThresholdView, shift: int, m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """T*m + r >= y*2^shift > (T-1)*m + r, as bounds on r."""
    need = t.codes << shift
    m = m[:, None]
    least = np.where(t.never, _NO_LEAST, need - t.thresholds * m).max(1, initial=_NO_LEAST)
    most = np.where(t.always, _NO_MOST, need - 1 - (t.thresholds - 1) * m).min(1, initial=_NO_MOST)
    return least, most


def _smallest(least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """The value nearest zero in each interval: a zero constant costs nothing."""
    return np.clip(0, least, most)


_NO_LEAST, _NO_MOST = -(1 << 62), 1 << 62
