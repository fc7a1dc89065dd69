"""TopK over the last axis: the indices of the k best, in order."""

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


@register("topk")
@dataclass(frozen=True, eq=False)
class TopK(CircuitOp):
    """Indices of the ``k`` largest float32 values of the last axis (smallest without
    ``largest``), best first; of equal values the lower index first, as ONNX's TopK."""

    k: int
    largest: bool = True

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if not x.shape:
            raise UnsupportedModel("TopK needs at least one axis besides the batch")
        if not 1 <= self.k <= x.shape[-1]:
            raise UnsupportedModel(
                f"TopK of {self.k} among {x.shape[-1]} elements", hint="k lies in 1..elements"
            )
        return (*x.shape[:-1], self.k), ScaledInt(0, x.shape[-1] - 1)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        """Codes or float32 ``[B, ..., n]`` to int64 indices ``[B, ..., k]``."""
        x = ins[0].format.decode(arrays[0])
        order = np.argsort(-x if self.largest else x, axis=-1, kind="stable")
        return np.asarray(order[..., : self.k].astype(np.int64))

    def lanes_out(self, plan: Plan) -> int:
        return 1

    def lane_options(self, ins: list[Value]) -> list[int]:
        return divisors(ins[0].shape[-1])

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        return max(ins[0].elements, ins[0].elements // ins[0].shape[-1] * self.k)

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.argmax_topk import TopK as Stream

        format, size = ins[0].format, ins[0].shape[-1]
        vectors = ins[0].elements // size
        return Stream(
            format.lo, format.hi, size, self.k, plan.simd, vectors=vectors, largest=self.largest
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        entry = ins[0].format.bits + out.format.bits
        return Cost(lut=round(2.2 * self.k * entry), ff=round(self.k * (entry + out.format.bits)))
