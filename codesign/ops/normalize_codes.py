"""NormalizeCodes: mean and deviation of integer codes taken out over the last axis, in integers."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, sqrt
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from codesign.formats import Format, ScaledInt
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp, divisors
from codesign.ops.fraction import fraction
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


@register("normalize_codes")
@dataclass(frozen=True, eq=False)
class NormalizeCodes(CircuitOp):
    """``d / sqrt(sum(d^2) + offset / 4^shift) * sqrt(n)`` for ``d = n*x - sum(x)`` over the last
    axis of n codes, which is ``(x - mean) / sqrt(variance + epsilon)``.

    Exactly: ``floor(2^bits * (d*2^shift + T) / (2 T))``, ``T = floor(sqrt(sum(d^2) * 4^shift +
    offset))``; the code ``2^(bits - 1)`` stands for zero, one step for ``2^(1 - bits) * sqrt(n)``.
    """

    shift: int
    offset: int
    bits: int

    costly: ClassVar[bool] = True

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        n = x.shape[-1]
        reach = (n - 1) * (x.format.hi - x.format.lo)
        if 2 * isqrt((n * reach * reach << 2 * self.shift) + self.offset) >= 1 << 61:
            raise ValueError(f"the deviation of {n} codes of {x.format.bits} bits needs 61 bits")
        scale = 2.0 ** (1 - self.bits) * sqrt(n)
        return x.shape, ScaledInt(0, 1 << self.bits, (scale,), 1 << (self.bits - 1))

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        x = np.asarray(arrays[0], dtype=np.int64)
        d = x.shape[-1] * x - x.sum(axis=-1, keepdims=True)
        squares = (d * d).sum(axis=-1, keepdims=True)
        roots = [isqrt((w << 2 * self.shift) + self.offset) for w in squares.reshape(-1).tolist()]
        root = np.array(roots, dtype=np.int64).reshape(squares.shape)
        return fraction((d << self.shift) + root, 2 * root, self.bits)

    def lane_options(self, ins: list[Value]) -> list[int]:
        return divisors(ins[0].shape[-1])

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.normalize import Normalize as Stream

        (x,) = ins
        return Stream(
            x.format.lo,
            x.format.hi,
            elements=x.shape[-1],
            vectors=x.elements // x.shape[-1],
            lanes=plan.pe,
            shift=self.shift,
            offset=self.offset,
            bits=self.bits,
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        (x,) = ins
        n, lanes = x.shape[-1], plan.pe
        reach = (n - 1) * (x.format.hi - x.format.lo)
        data = reach.bit_length() + 1
        root = isqrt((n * reach * reach << 2 * self.shift) + self.offset).bit_length()
        store = 2 * lanes * (data + x.format.bits) * -(-2 * n // lanes // 16)
        return Cost(
            lut=round(1.1 * root * root + 2 * lanes * (self.bits + 1) * (root + 3) + store + 200),
            ff=round(
                root * (1.5 * root + lanes * data)
                + (self.bits + 1) * (root + lanes * (root + self.bits / 2))
                + 200
            ),
            dsp=lanes * (-(-data // 18)) ** 2,
        )

    def realisation(self, plan: Plan) -> str:
        return f"exact sums, root and {self.bits}-bit division"
