"""Axes of the page's pictures: where values lie, and the numbers beside them. SVG units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

#: A picture, and its part between the axes.
WIDTH, HEIGHT = 380, 216
LEFT, RIGHT, TOP, BOTTOM = 54, 10, 14, 36


@dataclass(frozen=True)
class Dot:
    """A mark at (x, y)."""

    x: float
    y: float


@dataclass(frozen=True)
class Tick:
    """A number beside an axis, ``at`` SVG units along it."""

    at: float
    text: str


@dataclass(frozen=True)
class Axes:
    """Both axes: the numbers beside them and what they count."""

    across: list[Tick]
    up: list[Tick]
    x_title: str
    y_title: str


@dataclass(frozen=True)
class Scale:
    """Values ``low..high`` along the picture."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Where ``value`` lies across."""
        return LEFT + self._share(value) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Where ``value`` lies upward."""
        return HEIGHT - BOTTOM - self._share(value) * (HEIGHT - TOP - BOTTOM)

    def _share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int, upward: bool) -> list[Tick]:
        """At most about ``most`` round numbers."""
        step = round_step((self.high - self.low) / most)
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        place = self.y if upward else self.x
        return [Tick(place(k * step), number(k * step)) for k in range(first, last + 1)]


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, ... times a power of ten that is at least ``least``."""
    power = 10.0 ** floor(log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


def around(values: Sequence[float], margin: float = 0.06) -> Scale:
    """A scale that holds all ``values`` with some room at both ends."""
    low, high = min(values), max(values)
    room = (high - low) * margin or max(abs(high), 1.0) * margin
    return Scale(low - room, high + room)


def number(value: float) -> str:
    """As few digits as say it; a typographic minus, no negative zero."""
    text = f"{value:,.0f}" if value == round(value) and abs(value) < 1e9 else f"{value:.4g}"
    return "0" if text in ("-0", "0") else text.replace("-", "−")


def path(dots: Sequence[Dot]) -> str:
    """The line through ``dots``."""
    return "M" + "L".join(f"{d.x:.1f} {d.y:.1f}" for d in dots)
