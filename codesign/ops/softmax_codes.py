"""SoftmaxCodes: softmax of integer codes over the last axis, in integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from codesign.formats import Format, ScaledInt
from codesign.ir import Value, constant, register
from codesign.ir.plan import Plan
from codesign.ops.area import block_rams
from codesign.ops.circuit import CircuitOp, divisors
from codesign.ops.fraction import fraction
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


@register("softmax_codes")
@dataclass(frozen=True, eq=False)
class SoftmaxCodes(CircuitOp):
    """``floor(2^bits * E[i] / sum(E))`` over the last axis, ``E[i] = table[max(x) - x[i]]``.

    ``table``: int64, ``round(2^F * exp(-scale * d))`` for the distances ``d`` from the largest
    code; its last word stands for all greater distances. The result's codes mean ``2^-bits``.
    The float32 softmax of the model differs from this one by its own rounding errors
    (``reference/explain_attention.py`` bounds them), which are larger than this one's.
    """

    table: np.ndarray
    bits: int

    costly: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", constant(self.table, np.int64))

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        if int(self.table[0]) * ins[0].shape[-1] >= 1 << 62:
            raise ValueError(f"a sum of {ins[0].shape[-1]} exponentials needs 62 bits and more")
        return ins[0].shape, ScaledInt(0, 1 << self.bits, (2.0**-self.bits,))

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        x = np.asarray(arrays[0], dtype=np.int64)
        distance = x.max(axis=-1, keepdims=True) - x
        number = self.table[np.minimum(distance, len(self.table) - 1)]
        return fraction(number, number.sum(axis=-1, keepdims=True), self.bits)

    def lane_options(self, ins: list[Value]) -> list[int]:
        return divisors(ins[0].shape[-1])

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.softmax import Softmax as Stream

        (x,) = ins
        return Stream(
            x.format.lo,
            x.format.hi,
            self.table.tolist(),
            elements=x.shape[-1],
            vectors=x.elements // x.shape[-1],
            lanes=plan.pe,
            bits=self.bits,
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        (x,) = ins
        lanes, word = plan.pe, int(self.table[0]).bit_length()
        total = (int(self.table[0]) * x.shape[-1]).bit_length()
        stages, beats = self.bits + 1, 2 * x.shape[-1] // lanes
        block = len(self.table) * word >= 1024
        store = lanes * (word + x.format.bits) * -(-beats // 16)
        table = 0 if block else lanes * word * -(-len(self.table) // 16)
        return Cost(
            lut=round(lanes * stages * (total + 2) * 2 + 2 * store + table + 200),
            ff=round(stages * (total + lanes * (total + self.bits / 2)) + 4 * total + 100),
            bram=lanes * block_rams(len(self.table), word) if block else 0,
        )

    def realisation(self, plan: Plan) -> str:
        words = int(self.table[0]).bit_length()
        return f"{len(self.table)} exponentials of {words} bits, {self.bits}-bit division"
