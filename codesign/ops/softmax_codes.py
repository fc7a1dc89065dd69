"""SoftmaxCodes: softmax of integer codes over the last axis, in integers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
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

    from codesign.hdl.product import Product


@register("softmax_codes")
@dataclass(frozen=True, eq=False)
class SoftmaxCodes(CircuitOp):
    """``floor(2^bits * E[i] / sum(E))`` over the last axis, ``E[i] = table[max(x) - x[i]]``.

    ``table``: int64, ``round(2^F * exp(-scale * d))`` for the distances ``d`` from the largest
    code; its last word stands for all greater distances. With ``fine`` (int64, 2^k words) that
    table is of distances ``d >> k``, and ``E`` is its word times that of ``fine`` at ``d % 2^k``,
    less the low ``shift`` bits. The result's codes mean ``2^-bits``.
    The float32 softmax of the model differs from this one by its own rounding errors
    (``reference/explain_attention.py`` bounds them), which are larger than this one's.
    """

    table: np.ndarray
    bits: int
    fine: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    shift: int = 0

    costly: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", constant(self.table, np.int64))
        object.__setattr__(self, "fine", constant(self.fine, np.int64))

    @cached_property
    def exponentials(self) -> np.ndarray:
        """``E`` of every distance, int64."""
        if not self.fine.size:
            return self.table
        products = np.outer(self.table.astype(object), self.fine.astype(object)) >> self.shift
        return products.ravel().astype(np.int64)

    @property
    def _largest(self) -> int:
        return int(self.exponentials[0])

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        if self._largest * ins[0].shape[-1] >= 1 << 62:
            raise ValueError(f"a sum of {ins[0].shape[-1]} exponentials needs 62 bits and more")
        return ins[0].shape, ScaledInt(0, 1 << self.bits, (2.0**-self.bits,))

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        x = np.asarray(arrays[0], dtype=np.int64)
        distance = x.max(axis=-1, keepdims=True) - x
        number = self.exponentials[np.minimum(distance, len(self.exponentials) - 1)]
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
            fine=self.fine.tolist(),
            shift=self.shift,
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        (x,) = ins
        lanes, word = plan.pe, self._largest.bit_length()
        total = (self._largest * x.shape[-1]).bit_length()
        stages, beats = self.bits + 1, 2 * x.shape[-1] // lanes
        store = lanes * (word + x.format.bits) * -(-beats // 16)
        tables = [_table(words) for words in (self.table, self.fine) if words.size]
        product = self._product
        return Cost(
            lut=round(lanes * stages * (total + 2) * 2 + 2 * store + 200)
            + lanes * (sum(t.lut for t in tables) + (product.limbs * 34 if product else 0)),
            ff=round(stages * (total + lanes * (total + self.bits / 2)) + 4 * total + 100)
            + (lanes * product.limbs * 68 if product else 0),
            bram=lanes * sum(t.bram for t in tables),
            dsp=lanes * product.limbs if product else 0,
        )

    @property
    def _product(self) -> Product | None:
        """What multiplies the words of the two tables."""
        from codesign.hdl.product import Product

        sizes = [int(words.max()).bit_length() for words in (self.table, self.fine) if words.size]
        return Product(sizes[0], sizes[1], self.shift) if self.fine.size else None

    def realisation(self, plan: Plan) -> str:
        words = self._largest.bit_length()
        count = f"{len(self.table)}"
        if self.fine.size:
            count += f" x {len(self.fine)}"
        return f"{count} exponentials of {words} bits, {self.bits}-bit division"


def _table(words: np.ndarray) -> Cost:
    """The area of one table of constants."""
    bits = int(words.max()).bit_length()
    if len(words) * bits >= 1024:
        return Cost(bram=block_rams(len(words), bits))
    return Cost(lut=bits * -(-len(words) // 16))
