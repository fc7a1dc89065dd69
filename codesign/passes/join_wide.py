"""Join an integer of very many values (an accumulator) with one of few, proven by bisection.

For each code ``n`` of the narrow value the quantizer's output rises (or falls) with the wide one,
so it is known from the inputs ``T[y, n]`` at which code ``y`` is reached. ``v = l*a + r*n`` serves
exactly if, for every ``y``, all pairs that reach it have a greater ``v`` than all that do not:
``max_n l*(T[y,n] - 1) + r*n < min_n l*T[y,n] + r*n``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from codesign.ops.combine import Combine
from codesign.ops.join import Join
from codesign.ops.pair_chain import PairChain
from codesign.ops.requant_build import Row

#: Evaluations the bisection may take.
WORK = 1 << 27
#: Bits the joined integer may have.
WIDE_BITS = 30


def join_wide(parts: list[PairChain], pairs: Iterable[tuple[int, int]]) -> tuple | None:
    """(Join, rows) with the first of the multiplier ``pairs`` (of the left and the right value)
    that is proven for all ``parts``, one channel each; None where the chain is not monotone in
    the wide value or no pair serves."""
    side = 0 if _size(parts[0], 0) >= _size(parts[0], 1) else 1
    ways = [direction(part, side) for part in parts]
    if 0 in ways or parts[0].quant.levels is not None:
        return None
    work = len(parts) * _size(parts[0], 1 - side) * 32
    found = []
    for part, way in zip(parts, ways, strict=True):
        lines = _reached(part, side, way, WORK // work)
        if lines is None:
            return None
        found.append(lines)
    for join in _narrowest(parts[0], pairs):
        rows = []
        for part, way, (least, starts) in zip(parts, ways, found, strict=True):
            row = _row(part, side, way, join, least, starts)
            if row is None:
                break
            rows.append(row)
        else:
            return join, rows
    return None


def direction(part: PairChain, side: int) -> int:
    """+1 if the code never falls as that value rises, -1 if it never rises, 0 if unknown."""
    ways: list[int | None] = [1 if side == n else None for n in (0, 1)]  # None: independent
    for step in part.steps:
        given = [ways[n] for n in step.inputs]
        if not isinstance(step.op, Combine):
            (way,) = given
            ways.append(None if way is None else way * int(step.op.direction().reshape(-1)[0]))
            continue
        if step.op.function == "sub" and given[1] is not None:
            given[1] = -given[1]
        known = {way for way in given if way is not None}
        simple = step.op.function in ("add", "sub", "min", "max")
        ways.append(None if not known else known.pop() if simple and len(known) == 1 else 0)
    return int(ways[-1] or 0) * int(part.quant.direction().reshape(-1)[0])


def _size(part: PairChain, side: int) -> int:
    format = (part.left, part.right)[side].format
    return int(format.hi - format.lo + 1)


def _spans(part: PairChain, side: int) -> tuple[tuple[int, int], np.ndarray]:
    """(lo, hi) of the wide value and all codes of the narrow one."""
    wide, narrow = ((part.left, part.right)[s].format for s in (side, 1 - side))
    return (wide.lo, wide.hi), np.arange(narrow.lo, narrow.hi + 1)


def _codes(part: PairChain, side: int, wide: np.ndarray, narrow: np.ndarray) -> np.ndarray:
    """int64 of the shape that ``wide`` and ``narrow`` broadcast to."""
    pair = (wide[..., None], narrow[..., None])
    return part.evaluate(*(pair if side == 0 else pair[::-1]))[..., 0]


def _reached(part: PairChain, side: int, way: int, limit: int) -> tuple[int, np.ndarray] | None:
    """(y0, T): ``T[i, n]`` is the least wide value at which place ``y0 + i + 1`` is reached
    (``hi + 1``: never); None when that takes more than ``limit`` levels."""
    (lo, hi), narrow = _spans(part, side)
    ends = way * _codes(part, side, np.array([[lo], [hi]]), narrow[None, :])
    if (ends[1] < ends[0]).any():
        raise ValueError("a chain runs against its own direction")
    least, most = int(ends.min()), int(ends.max())
    if most - least > limit:
        return None
    wanted = np.arange(least + 1, most + 1)[:, None]
    below = np.full((len(wanted), len(narrow)), lo - 1)  # short of the place, or not there
    above = np.full_like(below, hi + 1)  # reaches it, or not there
    while (above - below > 1).any():
        middle = (below + above) // 2
        inside = np.clip(middle, lo, hi)
        reached = way * _codes(part, side, inside, narrow[None, :]) >= wanted
        open_ = above - below > 1
        above = np.where(open_ & reached, middle, above)
        below = np.where(open_ & ~reached, middle, below)
    return least, above


def _narrowest(part: PairChain, pairs: Iterable[tuple[int, int]]) -> list[Join]:
    sized = []
    for left, right in pairs:
        join = Join("sum", left, right)
        low, high = join.range(part.left.format, part.right.format)
        if (high - low).bit_length() <= WIDE_BITS:
            sized.append((high - low, join))
    return [join for _, join in sorted(sized, key=lambda entry: entry[0])]


def _row(
    part: PairChain, side: int, way: int, join: Join, least: int, starts: np.ndarray
) -> Row | None:
    """The code as a function of the joined integer, or None where it is none."""
    (lo, hi), narrow = _spans(part, side)
    wide, other = (join.left, join.right) if side == 0 else (join.right, join.left)
    sign = 1 if wide > 0 else -1  # of v, so that it rises with the wide value
    at = sign * (wide * starts + other * narrow[None, :])
    big = np.int64(1) << 60
    reach = np.where(starts <= hi, at, big).min(axis=1)
    miss = np.where(starts > lo, at - abs(wide), -big).max(axis=1)
    if (miss >= reach).any():
        return None
    places = way * np.arange(least, least + len(starts) + 1)
    # Several places may start at one v: the last of them holds there.
    breaks, last = np.unique(reach[::-1], return_index=True)
    codes = places[np.concatenate([[0], len(reach) - last])]
    if sign > 0:
        return Row(breaks, codes)
    return Row(1 - breaks[::-1], codes[::-1])  # v' = -v: steps lie one further
