"""A Bessel low-pass in fixed point: smooths spike trains without overshoot or phase distortion.

Second-order sections in integers (transposed direct form II), for each step::

    y   = (b0 * x + z1) >> frac        (rounded down)
    z1' = b1 * x - a1 * y + z2
    z2' = b2 * x - a2 * y

with coefficients worth ``2**-frac``; the first section's input is the code times ``2**guard``, so
codes between sections and at the output are worth ``2**-guard`` of an input code. States begin at
0 with each frame. This recursion, not the filter it comes from, is what the hardware equals.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

#: Fraction bits of the sums that bound a state.
BOUND_BITS = 96


@dataclass(frozen=True, eq=False)
class Sections:
    """``coefficients``: int64 [sections, 5] of b0, b1, b2, a1, a2, worth ``2**-frac``; ``guard``
    fraction bits between sections."""

    coefficients: np.ndarray
    frac: int
    guard: int

    def __post_init__(self) -> None:
        table = np.array(self.coefficients)
        if table.ndim != 2 or table.shape[1] != 5 or not np.issubdtype(table.dtype, np.integer):
            raise ValueError(
                f"sections are integers [sections, 5], got {table.dtype} {table.shape}"
            )
        if not 1 <= self.frac <= 24 or not 0 <= self.guard <= 24:
            raise ValueError(
                f"frac must lie in 1..24 and guard in 0..24, got {self.frac} and {self.guard}"
            )
        table = table.astype(np.int64)
        table.setflags(write=False)
        object.__setattr__(self, "coefficients", table)

    def apply(self, x: np.ndarray) -> np.ndarray:
        """The filter over codes int [..., steps, elements]; int64 of the same shape."""
        y = x.astype(np.int64) << self.guard
        for section in self.coefficients.tolist():
            y = _section(y, section, self.frac)
        return y


def _section(x: np.ndarray, section: list[int], frac: int) -> np.ndarray:
    b0, b1, b2, a1, a2 = section
    z1 = z2 = np.zeros(x[..., 0, :].shape, np.int64)
    out = np.empty_like(x)
    for t in range(x.shape[-2]):
        now = x[..., t, :]
        y = (b0 * now + z1) >> frac
        z1, z2 = b1 * now - a1 * y + z2, b2 * now - a2 * y
        out[..., t, :] = y
    return out


def design(order: int, cutoff: float, frac: int, guard: int) -> Sections:
    """A Bessel low-pass of even ``order``; ``cutoff`` as a share of the Nyquist frequency (0.5
    per step), where the magnitude is -3 dB.

    From ``scipy.signal.bessel(norm="mag")``; each section is scaled to gain 1 at rest, then its
    coefficients are rounded to ``2**-frac`` and b1 takes what is missing for the gain to be
    exactly 1. ``ValueError`` where a rounded section is not stable or the cutoff is too low for
    so few bits.
    """
    from scipy import signal

    if order < 2 or order % 2 or not 0 < cutoff < 1:
        raise ValueError(f"an even order and a cutoff in 0..1, got {order} and {cutoff}")
    rows = []
    for b0, b1, b2, _, a1, a2 in signal.bessel(order, cutoff, output="sos", norm="mag"):
        rest = (1 + a1 + a2) / (b0 + b1 + b2)
        one = 1 << frac
        c0, c2, d1, d2 = (round(v * one) for v in (b0 * rest, b2 * rest, a1, a2))
        c1 = one + d1 + d2 - c0 - c2
        stable = abs(d2) < one and abs(d1) < one + d2
        if not stable or not 0 <= c0 <= c1:
            raise ValueError(
                f"cutoff {cutoff} at order {order} needs more than {frac} fraction bits"
            )
        rows.append([c0, c1, c2, d1, d2])
    return Sections(np.array(rows), frac, guard)


@dataclass(frozen=True)
class Ranges:
    """What a section's signals can hold: (lo, hi) each."""

    x: tuple[int, int]
    y: tuple[int, int]
    z1: tuple[int, int]
    z2: tuple[int, int]


def ranges(sections: Sections, lo: int, hi: int, steps: int) -> list[Ranges]:
    """Ranges of every section over ``steps`` steps of codes in ``lo..hi``, proven.

    A section is linear but for rounding, which takes less than 1 from each y. So a signal lies
    within the sums of the positive and the negative parts of its responses to a unit of x and to
    a unit of that loss, times their ranges; both are summed in integers, rounded outward.
    """
    rows = tuple(tuple(row) for row in sections.coefficients.tolist())
    return list(_ranges(rows, sections.frac, (lo << sections.guard, hi << sections.guard), steps))


@lru_cache(maxsize=64)
def _ranges(
    rows: tuple[tuple[int, ...], ...], frac: int, given: tuple[int, int], steps: int
) -> tuple[Ranges, ...]:
    now, found = given, []
    for section in rows:
        by_loss = _parts(section, frac, steps, 0, 1)
        # Each step of a response loses less than a unit too, which is a loss like any other: its
        # share is at most the response to ``steps`` units, and that is at most twice what is found.
        slack = [-(-2 * steps * (up + down) >> BOUND_BITS) + 1 for up, down in by_loss]
        by_x = _parts(section, frac, steps, 1, 0)
        spans = []
        for (up, down), (more, less), extra in zip(by_x, by_loss, slack, strict=True):
            # now[0] <= x <= now[1] with zero among them, as before the frame; -1 < loss <= 0
            low, high = min(now[0], 0), max(now[1], 0)
            up, down, more, less = (part + extra for part in (up, down, more, less))
            top = up * high - down * low + less
            bottom = up * low - down * high - more
            spans.append((bottom >> BOUND_BITS, -(-top >> BOUND_BITS)))
        found.append(Ranges(now, *spans))
        now = spans[0]
    return tuple(found)


def _parts(
    section: tuple[int, ...], frac: int, steps: int, x: int, loss: int
) -> list[tuple[int, int]]:
    """For y, z1 and z2: sums of the positive and negative parts of the response to a first step of
    ``x`` and ``loss``, in units of ``2**-BOUND_BITS``; y is rounded down to a unit in each step."""
    b0, b1, b2, a1, a2 = section
    x, loss = x << BOUND_BITS, loss << BOUND_BITS
    sums = [[0, 0] for _ in range(3)]
    z1 = z2 = 0
    for _ in range(steps):
        y = ((b0 * x + z1) >> frac) + loss
        z1, z2 = b1 * x - a1 * y + z2, b2 * x - a2 * y
        for total, value in zip(sums, (y, z1, z2), strict=True):
            total[value < 0] += abs(value)
        x = loss = 0
    return [(up, down) for up, down in sums]


#: Bits of a code, steps of a frame, fraction bits: what a decoder is limited to.
BITS, STEPS, FRACS = range(1, 25), range(1, (1 << 16) + 1), range(-64, 65)
#: What float32 holds exactly, and what int64 holds with room for a sum of three.
WIRE, WORD = 1 << 24, 1 << 61


@dataclass(frozen=True, eq=False)
class Bessel:
    """The filter as a decoder of windows: codes int [..., ``steps``, elements] of ``bits`` bits,
    each worth ``2**-frac``, smoothed from zero on in every window. ``ValueError`` for other
    numbers, or where a smoothed code could leave 24 bits."""

    steps: int
    bits: int
    frac: int
    signed: bool
    sections: Sections

    def __post_init__(self) -> None:
        for name, allowed in {"steps": STEPS, "bits": BITS, "frac": FRACS}.items():
            if getattr(self, name) not in allowed:
                what = f"{name} is {getattr(self, name)}"
                raise ValueError(f"{what}, a decoder's is {allowed.start} to {allowed.stop - 1}")
        spans = ranges(self.sections, *self.span, self.steps)
        widest = max(max(-lo, hi) for s in spans for lo, hi in (s.x, s.y, s.z1, s.z2))
        least, most = spans[-1].y
        if max(-least - 1, most) >= WIRE >> (least < 0) or widest >= WORD >> self.sections.frac:
            raise ValueError(f"smoothed codes reach {least}..{most}, float32 holds 24 bits")

    @property
    def span(self) -> tuple[int, int]:
        """Least and greatest code it takes."""
        top = 1 << (self.bits - self.signed)
        return (-top if self.signed else 0), top - 1

    @property
    def out_frac(self) -> int:
        """Fraction bits of a smoothed code."""
        return self.frac + self.sections.guard

    def out_span(self, lo: int, hi: int) -> tuple[int, int]:
        """Least and greatest smoothed code of codes in ``lo..hi``."""
        return ranges(self.sections, lo, hi, self.steps)[-1].y

    def out_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape it gives for codes of ``shape``: the same; ``ValueError`` for other steps."""
        if len(shape) < 2 or shape[0] != self.steps:
            raise ValueError(f"it reads {self.steps} steps, ({self.steps}, ...), not {shape}")
        return shape

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """int64 [batch, steps, ...] of codes of the same shape."""
        flat = codes.reshape(*codes.shape[:2], -1)
        return self.sections.apply(flat).reshape(codes.shape)
