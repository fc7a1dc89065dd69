"""From a convolution and its plan to a window and an engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import gcd
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from codesign.ir.plan import Plan
from codesign.ops.area import fifo_cost
from codesign.ops.circuit import divisors
from codesign.ops.engine import Engine
from codesign.ops.geometry import Geometry
from codesign.ops.weighted import Folding
from codesign.ops.window import window_cost
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

    from codesign.ir import Value
    from codesign.ops.convolve import Convolve


@dataclass(frozen=True)
class Layout:
    """``window``: none (a 1 x 1 kernel), one tap or all taps a cycle. ``lanes``: channels of a
    pixel per input beat. ``given``: codes of one output pixel the window yields per beat."""

    window: Literal["none", "tap", "pixel"]
    lanes: int
    given: int


def layout_of(op: Convolve, plan: Plan) -> Layout:
    """How the window feeds the multipliers.

    Unrolled: all taps of all channels at once. Folded: ``pe`` divides N / groups and ``simd``
    divides K = kh * kw * C / groups. Where ``simd`` divides C / groups, or that divides ``simd``
    and enough row folds follow, one tap is read a cycle; else all taps of a group's channels at
    once. Depthwise: ``pe / (N / C)`` channels and ``simd`` taps of each a cycle. With
    ``pixels`` > 1 all taps of all channels of so many pixels (dense convolutions, and depthwise
    ones with ``pe`` = N). ``ValueError`` names what does not divide.
    """
    n, kh, kw, inner = op.weights.shape
    taps, channels = kh * kw, op.channels
    plain = (kh, kw) == (1, 1) == op.strides and not any(op.pads)
    if plan.style == "unrolled":
        return Layout("none" if plain else "pixel", channels, taps * channels)
    if op.depthwise:
        return _depthwise(op, plan, plain)
    rows, columns = n // op.groups, taps * inner
    if rows % plan.pe or columns % plan.simd:
        raise ValueError(
            f"pe {plan.pe} and simd {plan.simd} must divide the {rows} x {columns} weights"
        )
    if plan.pixels > 1:
        if op.groups > 1:
            raise ValueError(f"{plan.pixels} pixels side by side need one group, not {op.groups}")
        return Layout("none" if plain else "pixel", channels, columns)
    if plain:
        return Layout("none", plan.simd, plan.simd)
    if inner % plan.simd == 0:
        return Layout("tap", plan.simd, plan.simd)
    wide = plan.simd // inner
    if plan.simd % inner == 0 and taps % wide == 0 and rows // plan.pe >= wide:
        return Layout("tap", inner, inner)
    return Layout("pixel", inner, columns)


def _depthwise(op: Convolve, plan: Plan, plain: bool) -> Layout:
    n, kh, kw, _ = op.weights.shape
    many = n // op.channels
    lanes = plan.pe // many
    if plan.pe % many or not lanes or op.channels % lanes or kh * kw % plan.simd:
        raise ValueError(
            f"pe {plan.pe} must be {many} times a divisor of the {op.channels} channels and simd "
            f"{plan.simd} divide the {kh * kw} taps"
        )
    if plan.pixels > 1 and lanes != op.channels:
        raise ValueError(f"{plan.pixels} pixels side by side need pe {n}, got {plan.pe}")
    if plain:
        return Layout("none", lanes, lanes)
    if plan.simd == 1 and plan.pixels == 1:
        return Layout("tap", lanes, lanes)
    return Layout("pixel", lanes, kh * kw * lanes)


def foldings_of(op: Convolve, pixels: list[int]) -> Iterator[Folding]:
    """Every folding of which :func:`layout_of` knows a layout, ``pixels`` side by side where that
    goes: in one group, or depthwise with all channels at once."""
    n, kh, kw, inner = op.weights.shape
    many = n // op.channels if op.depthwise else 1
    rows = divisors(op.channels if op.depthwise else n // op.groups)
    for pe in (many * row for row in rows):
        beside = op.groups == 1 or (op.depthwise and pe == n)
        for simd in divisors(kh * kw * inner):
            yield from (Folding(pe, simd, p) for p in pixels if beside or p == 1)


def pixel_options(op: Convolve, g: Geometry) -> list[int]:
    """Pixels that can be computed side by side: all of them where there is no window."""
    if g.pointwise:
        return divisors(g.pixels)
    if op.strides[1] != 1:
        return [1]
    return divisors(gcd(g.size[1], g.out_size[1]))


@dataclass(frozen=True, eq=False)
class ConvolveParts:
    """A planned convolution of value ``x`` into ``out``."""

    op: Convolve
    x: Value
    out: Value
    plan: Plan

    def build(self) -> Component:
        """The component: ``window`` and what follows it."""
        from codesign.hdl.series import Series

        parts: dict[str, Component] = {}
        window, places = self.window(), self.queue()
        if window is not None:
            parts["window"] = window
        if places:
            from codesign.hdl.fifo import Fifo

            parts["queue"] = Fifo(window.o.payload.shape(), places)
        parts |= self.engine().build(self.plan)
        return Series(parts) if len(parts) > 1 else parts.popitem()[1]

    def cycles(self) -> int:
        """Cycles per frame: input beats, window beats or multipliers, whichever are most."""
        beats = self.x.elements // self.op.lanes_in(self.plan)
        steps = self.engine().cycles(self.plan)
        if self._by_taps():
            g, layout = self.op.geometry(self.x), self.op.layout(self.plan)
            reads = g.pixels * g.taps * (self.op.channels // layout.lanes)
            steps = max(steps, reads * self.op.maps)
        return max(beats, steps)

    def queue(self) -> int:
        """Places of the FIFO between window and multipliers, which evens out bursts."""
        layout, plan = self.op.layout(self.plan), self.plan
        if layout.window != "pixel" or self._by_taps():
            return 0
        from codesign.hdl.windows.pixel import PixelSchedule

        g, channels = self.op.geometry(self.x), self.op.channels
        schedule = PixelSchedule(g, channels, layout.lanes, plan.pixels)
        return schedule.queue(self.engine().cycles(plan) // (schedule.beats_out * self.op.maps))

    def window_bits(self) -> int:
        """Bits in registers and FIFO of a window that shows all taps at once; 0 for others."""
        if self.op.layout(self.plan).window != "pixel" or self._by_taps():
            return 0
        wide = self.op.layout(self.plan).given * self.plan.pixels * self.x.format.bits
        return wide * (1 + self.queue())

    def window(self) -> Any:
        """The sliding window, None for a 1 x 1 kernel."""
        op, layout, plan = self.op, self.op.layout(self.plan), self.plan
        if layout.window == "none":
            return None
        from codesign.hdl.windows.pixel import PixelWindow
        from codesign.hdl.windows.tap import TapWindow

        common: dict[str, Any] = {
            "lo": self.x.format.lo,
            "hi": self.x.format.hi,
            "channels": op.channels,
            "lanes": layout.lanes,
            "pad_code": op.pad_code,
        }
        g = op.geometry(self.x)
        if not self._by_taps():
            return PixelWindow(g, pixels=plan.pixels, **common)
        return TapWindow(g, groups=self._groups(), **common)

    def engine(self) -> Engine:
        """The multipliers."""
        op, plan, layout = self.op, self.plan, self.op.layout(self.plan)
        vectors, given = op.vectors(self.x), layout.given
        if self._by_taps():
            given = layout.lanes
        n = len(op.weights)
        flat = op.weights.reshape(n, -1)
        padded = self._source()
        if plan.style == "unrolled":
            dense = _dense(op.weights, op.groups)
            return Engine(
                dense, op.bias, padded, self.out.format, vectors, given, loadable=op.loadable
            )
        if op.depthwise:
            folds = op.channels // layout.lanes
            shape = folds, layout.lanes
        else:
            shape = op.groups, 1
        return Engine(
            flat, op.bias, padded, self.out.format, vectors, given, *shape, loadable=op.loadable
        )

    def cost(self, built: Component | None) -> Cost:
        """Estimated resources."""
        total, window = self.engine().cost(self.plan, built), self.window()
        if window is not None:
            total = total + window_cost(window)
        if self.queue():
            total = total + fifo_cost(len(window.o.payload.as_value()), self.queue())
        return total

    def _source(self) -> Any:
        """What the multipliers see: the input's codes, and the padding's."""
        format, pad = self.x.format, self.op.pad_code
        if not any(self.op.pads):
            return format
        return replace(format, low=min(format.lo, pad), high=max(format.hi, pad))  # type: ignore[type-var]

    def _groups(self) -> int:
        """Groups of the window's walk."""
        if self.plan.style == "unrolled":
            return 1
        if self.op.depthwise:
            return self.op.channels // self.op.layout(self.plan).lanes
        return self.op.groups

    def _by_taps(self) -> bool:
        """Whether taps are read one by one: as planned, or as the map is too small for line
        delays."""
        from codesign.hdl.windows.pixel import outlasts

        kind = self.op.layout(self.plan).window
        tiny = self.plan.pixels == 1 and outlasts(self.op.geometry(self.x))
        return kind == "tap" or (kind == "pixel" and tiny)


def _dense(weights: np.ndarray, groups: int) -> np.ndarray:
    """int64 [N, taps * C]: grouped weights as one matrix, zero where groups do not meet."""
    n, kh, kw, inner = weights.shape
    full = np.zeros((groups, n // groups, kh * kw, groups, inner), np.int64)
    for g, part in enumerate(weights.reshape(groups, -1, kh * kw, inner)):
        full[g, :, :, g] = part
    return full.reshape(n, -1)
