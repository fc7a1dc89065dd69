"""MaxPool: the largest code of each window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, Real
from codesign.ir import register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp, divisors
from codesign.ops.geometry import Geometry, geometry_of, out_shape, pixels_of
from codesign.ops.pool_parts import PoolParts
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

    from codesign.ir import Value


@register("max_pool")
@dataclass(frozen=True, eq=False)
class MaxPool(CircuitOp):
    """``out[p, c] = max_t x[p + t, c]``; padding never wins. Scales are positive: codes keep order.

    ``kernel``, ``strides``, ``dilations``: (vertical, horizontal), 1 vertically for a value
    (L, C). ``pads``: (top, left, bottom, right). ``steps``: the first axis of the value, each step
    a map of its own (0: there is none). Works on codes and on float32.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    steps: int = 0

    slides: ClassVar[bool] = True

    def one_step(self, steps: int) -> MaxPool:
        return replace(self, steps=1) if self.steps else self

    def geometry(self, x: Value) -> Geometry:
        """The window over ``x``."""
        window = self.kernel, self.strides, self.dilations, self.pads
        return geometry_of("max pooling", x.shape, *window, self.steps)

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        geometry = self.geometry(x)
        if (geometry.indices() < 0).all(axis=(2, 3)).any():
            raise UnsupportedModel(
                f"max pooling with padding {self.pads} has windows of padding alone",
                hint="use a padding smaller than the kernel",
            )
        return out_shape(geometry, len(x.shape), x.shape[-1], self.steps), x.format

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        (x,) = arrays
        geometry = self.geometry(ins[0])
        low = -np.inf if isinstance(ins[0].format, Real) else np.iinfo(np.int64).min
        pixels = pixels_of(x, geometry, low)
        taps = geometry.indices().reshape(geometry.pixels, geometry.taps)
        best = pixels[:, taps[:, 0]]
        for tap in range(1, geometry.taps):
            np.maximum(best, pixels[:, taps[:, tap]], out=best)
        return best.reshape(len(x), *self.infer(*ins)[0])

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
        # Padding: the least code loses to every other.
        pad = x.format.lo
        return PoolParts("max", self.geometry(x), x, out, plan, pad, maps=self.steps or 1)
