"""What the cells share: rounding, words of state, leaks. Meanings: codesign.neurons."""

import numpy as np

from codesign.hdl.neurons.flow import Flow
from codesign.hdl.neurons.number import Num, constant
from codesign.neurons import Leak, Table, Word
from codesign.neurons.leak import PRODUCTS


def shift_right(flow: Flow, x: Num, bits: int, rounding: str) -> Num:
    """``x / 2**bits`` rounded. ``exact`` is a promise that a circuit cannot check: refused."""
    if bits <= 0:
        return flow.shift_left(x, -bits)
    if rounding == "exact":
        raise ValueError(f"rounding 'exact' would drop {bits} fraction bits in hardware")
    if rounding == "floor":
        return flow.floor_shift(x, bits)
    if rounding == "trunc0":
        # Toward zero: a negative number first gains all but one unit of what is dropped.
        gain = flow.mux(flow.negative(x), constant((1 << bits) - 1), constant(0), "gain")
        hi = max(x.hi, (1 << bits) - 2)  # -1 and its gain
        return flow.floor_shift(flow.within(flow.add(x, gain, "toward0"), x.lo, hi), bits)
    down = flow.floor_shift(x, bits)
    rest = flow.low_bits(x, bits, signed=False)
    odd, half = flow.bit(x, bits), 1 << (bits - 1)
    # Up from above a half, and from a half where that makes the result even.
    up = flow.logic(
        lambda r, o: (r > half) | ((r == half) & o), rest, odd, name="up", levels=1 + bits // 4
    )
    ends = [_half_even(end, bits) for end in (x.lo, x.hi)]
    return flow.within(flow.add(down, up, "rounded"), *ends)


def _half_even(x: int, bits: int) -> int:
    down, rest, half = x >> bits, x & ((1 << bits) - 1), 1 << (bits - 1)
    return down + int(rest > half or (rest == half and down & 1 == 1))


def after_add(flow: Flow, word: Word, x: Num) -> Num:
    """After one of several additions: clamped if ``sat_add``."""
    return flow.clamp(x, word.lo, word.hi) if word.overflow == "sat_add" else x


def fit(flow: Flow, word: Word, x: Num) -> Num:
    """As the word holds it: wrapped or clamped."""
    if word.overflow == "wrap":
        return flow.low_bits(x, word.bits, word.signed)
    return flow.clamp(x, word.lo, word.hi)


def leak(flow: Flow, of: Leak, amount: Num, v: Num) -> Num:
    """What is left of ``v``; it lies between 0 and v."""
    if of.kind == "none":
        return v
    if of.kind in PRODUCTS:
        product = flow.mul(v, amount, "decayed")
        left = shift_right(flow, product, of.frac, PRODUCTS[of.kind])
    elif of.kind == "linear":
        left = _linear(flow, amount, v)
    else:
        left = flow.sub(v, _lost(flow, of.kind, amount, v), "leaked")
    return flow.within(left, *_leak_range(of, v))


def _leak_range(of: Leak, v: Num) -> tuple[int, int]:
    """A leak never changes the order of two values, so the ends suffice."""
    ends = np.array([[v.lo], [v.hi]], dtype=np.int64)
    left = of.apply(np.broadcast_to(ends, (2, len(of.amount))))
    return int(left.min()), int(left.max())


def _lost(flow: Flow, kind: str, amount: Num, v: Num) -> Num:
    if amount.constant:
        lost = flow.floor_shift(v, amount.lo)
    else:
        least = amount.lo
        near = flow.floor_shift(v, least)
        more = flow.sub(amount, constant(least), "further")
        lost = flow.barrel(near, more)
    if kind == "shift_floor":
        return lost
    stuck = flow.both(flow.invert(flow.any(lost, "moves")), flow.any(v, "charged"), "stuck")
    return flow.mux(stuck, constant(1), lost, "lost")


def _linear(flow: Flow, amount: Num, v: Num) -> Num:
    """Toward zero by ``amount``; where that would cross it, zero."""
    below = flow.negative(v)
    up = flow.add(v, amount, "raised")
    down = flow.sub(v, amount, "lowered")
    moved = flow.mux(below, up, down, "moved")
    crossed = flow.logic(lambda a, b: a ^ b, below, flow.negative(moved), name="crossed")
    return flow.mux(crossed, constant(0), moved, "left")


def read(flow: Flow, table: Table, x: Num, frac: int, rounding: str) -> Num:
    """The entry for ``x``, worth ``2**-frac``, a stage later: a memory with its own register."""
    at = shift_right(flow, x, frac - table.in_frac, rounding)
    at = flow.clamp(at, table.lo, table.hi)
    return flow.lookup(at, table.codes[at.lo - table.lo : at.hi - table.lo + 1].tolist(), "entry")
