"""ArgMax over the last axis: which class wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp, divisors
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

    from codesign.ir import Value


@register("argmax")
@dataclass(frozen=True, eq=False)
class ArgMax(CircuitOp):
    """Index of the largest float32 value on the last axis; the first one on ties."""

    keepdims: bool = True

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if not x.shape:
            raise UnsupportedModel("ArgMax needs at least one axis besides the batch")
        shape = (*x.shape[:-1], 1) if self.keepdims else x.shape[:-1]
        return shape, ScaledInt(0, x.shape[-1] - 1)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        """Codes or float32 ``[B, ..., n]`` to int64 indices; compared as decoded float32."""
        index = np.argmax(ins[0].format.decode(arrays[0]), axis=-1).astype(np.int64)
        return index[..., None] if self.keepdims else index

    def lanes_out(self, plan: Plan) -> int:
        return 1

    def lane_options(self, ins: list[Value]) -> list[int]:
        size = ins[0].shape[-1]
        return list(range(1, size + 1)) if ins[0].elements == size else divisors(size)

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.argmax import ArgMax as Stream

        format, size = ins[0].format, ins[0].shape[-1]
        return Stream(format.lo, format.hi, size, plan.simd, ins[0].elements // size)

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        entry = ins[0].format.bits + out.format.bits
        return Cost(lut=round(plan.simd * 1.6 * entry), ff=round(2 * entry + 8))
