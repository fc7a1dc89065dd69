"""SumPool: the sum of each window; average pooling is this and a multiplication."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp, divisors
from codesign.ops.geometry import Geometry, geometry_of, out_shape, pixels_of
from codesign.ops.pool_parts import PoolParts
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

    from codesign.ir import Value


@register("sum_pool")
@dataclass(frozen=True, eq=False)
class SumPool(CircuitOp):
    """``out[p, c] = sum_t (x[p + t, c] - zero_point)``; padding counts 0. The scale is kept.

    ``kernel``, ``strides``, ``dilations``: (vertical, horizontal), 1 vertically for a value
    (L, C). ``pads``: (top, left, bottom, right). ``steps``: the first axis of the value, each step
    a map of its own (0: there is none).
    """

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    steps: int = 0

    slides: ClassVar[bool] = True

    def one_step(self, steps: int) -> SumPool:
        return replace(self, steps=1) if self.steps else self

    def geometry(self, x: Value) -> Geometry:
        """The window over ``x``."""
        window = self.kernel, self.strides, self.dilations, self.pads
        return geometry_of("average pooling", x.shape, *window, self.steps)

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if not isinstance(x.format, ScaledInt):
            raise UnsupportedModel(
                "average pooling reads a value that is not quantized: the order of its float32 "
                "sum is undefined",
                hint="put an activation quantizer (Brevitas QuantIdentity) before it",
            )
        geometry, format = self.geometry(x), x.format
        counts = (geometry.indices() >= 0).sum(axis=(2, 3))
        lo, hi = format.lo - format.zero_point, format.hi - format.zero_point
        out = ScaledInt(int((counts * lo).min()), int((counts * hi).max()), format.scale)
        return out_shape(geometry, len(x.shape), x.shape[-1], self.steps), out

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        (x,), format = arrays, ins[0].format
        assert isinstance(format, ScaledInt)
        geometry = self.geometry(ins[0])
        pixels = pixels_of(x - format.zero_point, geometry, 0)
        taps = geometry.indices().reshape(geometry.pixels, geometry.taps)
        total = pixels[:, taps[:, 0]]
        for tap in range(1, geometry.taps):
            total = total + pixels[:, taps[:, tap]]
        return total.reshape(len(x), *self.infer(*ins)[0])

    def lane_options(self, ins: list[Value]) -> list[int]:
        """Lanes a plan may have: those that divide the channels."""
        return divisors(ins[0].shape[-1])

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        """Cycles per frame in steady state."""
        return self._parts(ins[0], ins[0], plan).cycles()

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        return self._parts(ins[0], out, plan).build()

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        return self._parts(ins[0], out, plan).cost()

    def _parts(self, x: Value, out: Value, plan: Plan) -> PoolParts:
        assert isinstance(x.format, ScaledInt)
        # Padding: counts nothing once the zero point is subtracted.
        pad = x.format.zero_point
        zero, maps = x.format.zero_point, self.steps or 1
        return PoolParts("sum", self.geometry(x), x, out, plan, pad, zero, maps)
