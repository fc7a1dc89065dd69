"""DynamicMatMul: the product of two computed matrices of codes, as attention needs it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.area import block_rams, lut_multiplier
from codesign.ops.circuit import CircuitOp, divisors
from codesign.ops.matvec import exact_matmul
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

    from codesign.hdl.dynamic_matmul import Sizes

#: A LUT multiplier dearer than this goes to a DSP block.
DSP_FROM_LUTS = 40


@register("dynamic_matmul")
@dataclass(frozen=True, eq=False)
class DynamicMatMul(CircuitOp):
    """``acc[..., m, n] = sum_k left[..., m, k] * right[..., k, n]``, zero points subtracted, exact.

    ``left``, ``right``: shapes of the two inputs, leading axes (heads) equal. ``transposed``: the
    right input is stored as (..., N, K), so that a product with a transpose moves nothing.
    The scale is the product of the inputs'; the right one may have one per column n.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    transposed: bool = False

    costly: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if len(self.left) < 2 or self.left[:-2] != self.right[:-2]:
            raise UnsupportedModel(
                f"a product of matrices of shapes {self.left} and {self.right}",
                hint="both need the same leading axes (heads): expand the smaller one first",
            )
        if self.right[-1 if self.transposed else -2] != self.left[-1]:
            raise UnsupportedModel(
                f"a product of {self.left} and {self.right}"
                f"{' transposed' if self.transposed else ''}: the inner sizes differ"
            )

    @property
    def sizes(self) -> Sizes:
        """Number and sizes of the matrices."""
        from codesign.hdl.dynamic_matmul import Sizes

        columns = self.right[-2 if self.transposed else -1]
        return Sizes(prod(self.left[:-2]), self.left[-2], self.left[-1], columns)

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        from codesign.hdl.dynamic_matmul import product_range

        a, b = (v.format for v in ins)
        if (ins[0].shape, ins[1].shape) != (self.left, self.right):
            raise ValueError(f"made for {self.left} x {self.right}, got {[v.shape for v in ins]}")
        if not isinstance(a, ScaledInt) or not isinstance(b, ScaledInt):
            raise UnsupportedModel("a product of two computed values needs quantized values")
        if len(set(a.scale)) > 1 or (self.transposed and len(set(b.scale)) > 1):
            raise UnsupportedModel(
                "a product of two computed values whose terms have different scales",
                hint="quantize with one scale per tensor",
            )
        spans = [(f.lo - f.zero_point, f.hi - f.zero_point) for f in (a, b)]
        lo, hi = product_range(spans[0], spans[1], self.sizes.k)
        rights = b.scale if len(set(b.scale)) > 1 else b.scale[:1]
        scale = tuple(a.scale[0] * s for s in rights)
        return (*self.left[:-1], self.sizes.n), ScaledInt(lo, hi, scale)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        a, b = (np.asarray(x, dtype=np.int64) - _zero(v) for v, x in zip(ins, arrays, strict=True))
        return exact_matmul(a, b.swapaxes(-1, -2) if self.transposed else b)

    def macs(self) -> int:
        size = self.sizes
        return size.sets * size.m * size.k * size.n

    def port_lanes(self, plan: Plan, port: int) -> int:
        return plan.simd if port == 0 or self.transposed else plan.pe

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        """Cycles per frame in steady state."""
        beats = [-(-v.elements // self.port_lanes(plan, n)) for n, v in enumerate(ins)]
        return max(*beats, self.macs() // (plan.pe * plan.simd))

    def stream_plans(self, ins: list[Value]) -> list[Plan]:
        size = self.sizes
        bits = [_span_bits(v) for v in ins]
        multiplier = "dsp" if lut_multiplier(min(bits), max(bits)) > DSP_FROM_LUTS else "lut"
        base = Plan("stream", 1, 1, multiplier=multiplier)  # type: ignore[arg-type]
        pairs = [(pe, simd) for pe in divisors(size.n) for simd in divisors(size.k)]
        pairs.sort(key=lambda p: (p[0] * p[1], abs(p[0] - p[1])))
        return [replace(base, pe=pe, simd=simd) for pe, simd in pairs]

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.dynamic_matmul import DynamicMatMul as Stream

        a, b = ins
        return Stream(
            self.sizes,
            ranges=[(v.format.lo, v.format.hi) for v in ins],
            zeros=(_zero(a), _zero(b)),
            transposed=self.transposed,
            pe=plan.pe,
            simd=plan.simd,
            multiplier=plan.multiplier,
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        bits = [_span_bits(v) for v in ins]
        mults, size = plan.pe * plan.simd, self.sizes
        dsp = plan.multiplier == "dsp"
        adder = sum(bits) + 2
        rows = mults * (adder if dsp else lut_multiplier(min(bits), max(bits)) + adder)
        banks = plan.pe if self.transposed else plan.simd
        words, wide = 2 * size.n * size.k // mults, mults * ins[1].format.bits // banks
        block = words * wide >= 1024
        stored = 0 if block else banks * wide * -(-words // 16)
        return Cost(
            lut=round(rows + 1.5 * stored + plan.pe * out.format.bits + 150),
            ff=round(1.5 * mults * sum(bits) + 2 * plan.pe * out.format.bits + 60),
            dsp=mults if dsp else 0,
            bram=banks * block_rams(words, wide) if block else 0,
        )

    def realisation(self, plan: Plan) -> str:
        return f"{plan.pe} x {plan.simd} {plan.multiplier} multipliers, right matrix stored twice"


def _zero(value: Value) -> int:
    assert isinstance(value.format, ScaledInt)
    return value.format.zero_point


def _span_bits(value: Value) -> int:
    """Bits of a code with its zero point subtracted."""
    ends = (value.format.lo - _zero(value), value.format.hi - _zero(value))
    reach = max(ends[1].bit_length(), (-ends[0] - 1).bit_length() if ends[0] < 0 else 0)
    return reach + int(ends[0] < 0)
