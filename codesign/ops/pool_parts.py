"""From a pool and its plan to a window and a reducing component."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from codesign.ir.plan import Plan
from codesign.ops.geometry import Geometry
from codesign.ops.window import window_cost
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

    from codesign.ir import Value


@dataclass(frozen=True)
class PoolParts:
    """``function`` over windows ``geometry`` of each of the ``maps`` of ``x``; padding reads
    ``pad_code``.

    A window over the whole map is an accumulator per channel; else one tap a cycle out of a line
    buffer where that keeps up with the input, all taps at once where it does not.
    """

    function: Literal["max", "sum"]
    geometry: Geometry
    x: Value
    out: Value
    plan: Plan
    pad_code: int
    zero_point: int = 0
    maps: int = 1

    @property
    def folds(self) -> int:
        """Beats of a pixel; ``ValueError`` when the lanes do not divide the channels."""
        lanes, channels = self.plan.simd, self.x.shape[-1]
        if channels % lanes or self.plan.pe != lanes:
            raise ValueError(f"a pool's lanes must divide the {channels} channels, got {lanes}")
        return int(channels // lanes)

    @property
    def mode(self) -> Literal["none", "whole", "tap", "pixel"]:
        """Which window is built."""
        from codesign.hdl.windows.pixel import outlasts

        g = self.geometry
        if g.whole:
            return "whole"
        if g.pointwise:
            return "none"
        slow = g.pixels * g.taps > g.size[0] * g.size[1]
        return "pixel" if slow and not outlasts(g) else "tap"

    def cycles(self) -> int:
        """Cycles per frame in steady state."""
        g = self.geometry
        beats = g.size[0] * g.size[1]
        one = max(beats, g.pixels * g.taps) if self.mode == "tap" else beats
        return self.maps * self.folds * one

    def window(self) -> Any:
        """The sliding window, None where there is nothing to slide."""
        from codesign.hdl.windows.pixel import PixelWindow
        from codesign.hdl.windows.tap import TapWindow

        common: dict[str, Any] = {
            "lo": self.x.format.lo,
            "hi": self.x.format.hi,
            "channels": self.x.shape[-1],
            "lanes": self.plan.simd,
            "pad_code": self.pad_code,
        }
        if self.mode == "pixel":
            return PixelWindow(self.geometry, **common)
        return TapWindow(self.geometry, groups=self.folds, **common) if self.mode == "tap" else None

    def pool(self) -> Any:
        """The reducing component."""
        from codesign.hdl.pool import Pool

        g, format, mode = self.geometry, self.x.format, self.mode
        lo, hi = format.lo, format.hi
        if any(g.pads):
            lo, hi = min(lo, self.pad_code), max(hi, self.pad_code)
        return Pool(
            self.function,
            in_lo=lo,
            in_hi=hi,
            out_lo=self.out.format.lo,
            out_hi=self.out.format.hi,
            lanes=self.plan.simd,
            beats=g.taps if mode in ("whole", "tap") else 1,
            side=g.taps if mode == "pixel" else 1,
            windows=g.pixels * self.folds * self.maps,
            folds=self.folds if mode == "whole" else 1,
            offset=-self.zero_point * g.taps,
        )

    def build(self) -> Component:
        """The component: ``window`` and ``pool``."""
        from codesign.hdl.series import Series

        window, pool = self.window(), self.pool()
        return pool if window is None else Series({"window": window, "pool": pool})

    def cost(self) -> Cost:
        """Estimated resources."""
        from codesign.hdl.memories import style_for
        from codesign.ops.area import block_rams

        window, pool, bits = self.window(), self.pool(), self.out.format.bits
        side = self.geometry.taps if self.mode == "pixel" else 1
        operations = self.plan.simd * max(side, 1)
        each = 1.6 if self.function == "max" else 1.2
        cost = Cost(lut=round(each * operations * bits) + 12, ff=round(1.3 * operations * bits) + 8)
        for words, width in pool.memories():
            block = style_for(words, width) == "block"
            extra = Cost(bram=block_rams(words, width)) if block else Cost(
                lut=2 * width * -(-words // 16), ff=width
            )  # fmt: skip
            cost = cost + extra
        return cost if window is None else cost + window_cost(window)
