"""Find arithmetic that equals a step function on its whole range, or show there is none.

A rising function is its thresholds: ``T_y`` is the least input whose code is at least ``y``. So a
candidate is *equal*, not close, when it has the same thresholds; both fits below solve for
exactly that. Codes already reached at ``lo`` have ``T_y <= lo``, codes never reached ``T_y > hi``;
such thresholds only bound the unknowns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from codesign.ops.requant import Requant

#: Largest multiplier and shift a dyadic form may use, in bits.
MAX_MULTIPLIER_BITS, MAX_SHIFT = 18, 30
#: Thresholds of all channels that are fitted at all, and codes whose pairs are all looked at.
MAX_PLACES, MAX_PAIRED = 1 << 24, 600


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
    first, last = op.first, op.last
    channels = max(len(op.thresholds), len(op.base))
    aligned = np.full((channels, last - first), op.hi + 1, dtype=np.int64)
    for c in range(channels):
        skip = int(op.base[c if len(op.base) > 1 else 0]) - first
        aligned[c, :skip] = op.lo
        row = op.thresholds[c if len(op.thresholds) > 1 else 0][: last - first - skip]
        aligned[c, skip : skip + len(row)] = row
    codes = np.arange(first + 1, last + 1, dtype=np.int64)
    return ThresholdView(aligned, codes, op.lo, op.hi)


@dataclass(frozen=True)
class Shift:
    """``code = clip(round((x * 2^fraction + bias[c]) / 2^(shift + fraction)))``.

    ``fraction`` is 1 where a bias lies between two accumulator steps: half a step is enough to
    say "never a tie". ``rounding`` is ``floor`` or ``half_even``; every other QONNX mode that
    moves by whole steps is one of these with another bias.
    """

    shift: int
    fraction: int
    rounding: str
    bias: np.ndarray  # int64 [C]

    @property
    def addend(self) -> int:
        """What rounding itself adds before the bits are dropped."""
        half = 1 << max(0, self.shift + self.fraction - 1)
        return half if self.rounding == "half_even" else 0


@dataclass(frozen=True)
class Dyadic:
    """``code = clip((x * multiplier[c] + addend[c]) >> shift)``."""

    shift: int
    multiplier: np.ndarray  # int64 [C]
    addend: np.ndarray  # int64 [C]


def fit_shift(op: Requant) -> Shift | None:
    """A :class:`Shift` equal to rising ``op``, or None; the least shift and fraction."""
    t = view(op)
    if t.thresholds.size > MAX_PLACES:
        return None
    for shift in range(max(1, int(op.hi - op.lo).bit_length()) + 1):
        for fraction, rounding in ((0, "floor"), (0, "half_even"), (1, "half_even")):
            if rounding == "half_even" and shift + fraction == 0:
                continue
            bias = _shift_bias(t, shift, fraction, rounding)
            if bias is not None:
                return Shift(shift, fraction, rounding, bias)
    return None


def _shift_bias(t: ThresholdView, shift: int, fraction: int, rounding: str) -> np.ndarray | None:
    total = shift + fraction
    opens = t.codes << total  # x * 2^fraction + bias at which a code begins
    if rounding == "half_even":
        opens = opens - (1 << (total - 1)) + (t.codes & 1)  # a tie goes to the even code
    reach, before = t.thresholds << fraction, (t.thresholds - 1) << fraction
    least = np.where(t.never, _NO_LEAST, opens - reach).max(1, initial=_NO_LEAST)
    most = np.where(t.always, _NO_MOST, opens - before - 1).min(1, initial=_NO_MOST)
    if (least > most).any():
        return None
    # Best is a bias that cancels what rounding adds: then there is nothing to add at all.
    free = -(1 << (total - 1)) if rounding == "half_even" else 0
    return np.clip(free, least, most)


def fit_dyadic(op: Requant) -> Dyadic | None:
    """A :class:`Dyadic` equal to rising ``op``, or None.

    The slopes that reproduce all thresholds of a channel form an interval; the least shift is
    taken at which every interval holds a whole multiplier, a common one where possible.
    """
    t = view(op)
    if t.thresholds.size > MAX_PLACES:
        return None
    many = t.thresholds.shape[1] > MAX_PAIRED
    low, high = _slopes_by_search(t) if many else _slope_interval(t)
    if (low >= high).any():
        return None
    for shift in range(MAX_SHIFT + 1):
        if low.max() * 2.0**shift >= 1 << MAX_MULTIPLIER_BITS:
            return None
        common = np.full(len(low), math.floor(low.max() * 2.0**shift) + 1, dtype=np.int64)
        single = np.floor(low * 2.0**shift).astype(np.int64) + 1
        for multiplier in (common, single):
            least, most = _addend_bounds(t, shift, multiplier)
            if (least <= most).all():
                return Dyadic(shift, multiplier, _smallest(least, most))
    return None


def _slope_interval(t: ThresholdView) -> tuple[np.ndarray, np.ndarray]:
    """Open interval of codes per accumulator step, float64 [C] each, that a line may have.

    With ``y`` reached at ``A`` and ``z`` not yet reached at ``B``, a line of slope ``a`` needs
    ``(B - A) * a < z - y``, for every pair of codes.
    """
    low, high = np.zeros(len(t.thresholds)), np.full(len(t.thresholds), np.inf)
    for c, row in enumerate(t.thresholds):
        reached, missed = ~t.never[c], ~t.always[c]
        span = (row[missed] - 1)[None, :] - np.maximum(row[reached], t.lo)[:, None]
        rise = t.codes[missed][None, :] - t.codes[reached][:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            bound = rise / span
        high[c] = bound[span > 0].min(initial=np.inf)
        low[c] = bound[span < 0].max(initial=0.0)
        if ((span == 0) & (rise <= 0)).any():
            high[c] = 0.0
    return low, high


def _slopes_by_search(t: ThresholdView) -> tuple[np.ndarray, np.ndarray]:
    """:func:`_slope_interval` for many codes. The room ``least - most`` that a slope leaves for
    the addend is a convex function of the slope: its minimum, then where it crosses zero. What
    rounding does here is harmless: every multiplier is proven afterwards."""
    reach, miss = np.maximum(t.thresholds, t.lo), t.thresholds - 1
    codes = t.codes.astype(np.float64)

    def room(slope: np.ndarray) -> np.ndarray:
        a = slope[:, None]
        least = np.where(t.never, -np.inf, codes - a * reach).max(1)
        most = np.where(t.always, np.inf, codes - a * miss).min(1)
        return least - most

    channels = len(t.thresholds)
    low, high = np.zeros(channels), np.full(channels, float(t.codes[-1] - t.codes[0] + 1))
    left, right = low.copy(), high.copy()
    for _ in range(120):
        third = (right - left) / 3
        first, second = left + third, right - third
        falls = room(first) > room(second)
        left, right = np.where(falls, first, left), np.where(falls, right, second)
    best = (left + right) / 2
    fits = room(best) < 0
    below, above = best.copy(), best.copy()
    for _ in range(60):
        middle = (low + below) / 2
        inside = room(middle) < 0
        low, below = np.where(inside, low, middle), np.where(inside, middle, below)
        middle = (above + high) / 2
        inside = room(middle) < 0
        above, high = np.where(inside, middle, above), np.where(inside, high, middle)
    return np.where(fits, below, 1.0), np.where(fits, above, 0.0)


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
