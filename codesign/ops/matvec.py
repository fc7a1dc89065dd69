"""MatVec: a constant integer matrix times a vector of codes, as a circuit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.builddir import Cost
from codesign.formats import Format, ScaledInt
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.area import FoldedShape, folded_cost, weight_bits
from codesign.ops.circuit import CircuitOp

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


@register("matvec")
@dataclass(frozen=True, eq=False)
class MatVec(CircuitOp):
    """``acc[n] = sum_k weights[n, k] * x[k] + bias[n]`` on codes, exact.

    ``weights``: int64 [N, K]. ``bias``: int64 [N]. ``scale``: what one accumulator step is
    worth, float64 [N] or [1].
    """

    weights: np.ndarray
    bias: np.ndarray
    scale: np.ndarray

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        n, k = self.weights.shape
        if ins[0].shape[-1] != k:
            raise ValueError(f"{k} weights a row meet {ins[0].shape[-1]} inputs")
        lo, hi = accumulator_range(self.weights, self.bias, ins[0].format)
        scale = tuple(float(s) for s in self.scale)
        return (*ins[0].shape[:-1], n), ScaledInt(int(lo.min()), int(hi.max()), scale)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        return exact_matmul(arrays[0], self.weights.T) + self.bias

    def macs(self) -> int:
        return int(self.weights.size)

    def folds(self, plan: Plan) -> tuple[int, int]:
        """(NF, SF): row folds and column folds; their product is the II."""
        n, k = self.weights.shape
        return -(-n // plan.pe), -(-k // plan.simd)

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        bias = self.bias if self.bias.any() else None
        lo, hi = ins[0].format.lo, ins[0].format.hi
        if plan.style == "unrolled":
            from codesign.hdl.unrolled import UnrolledMatVec

            return UnrolledMatVec(self.weights, in_lo=lo, in_hi=hi, bias=bias, depth=plan.depth)
        from codesign.hdl.matvec import MatVec as Folded

        return Folded(
            self.weights,
            in_lo=lo,
            in_hi=hi,
            bias=bias,
            pe=plan.pe,
            simd=plan.simd,
            multiplier=plan.multiplier,
            weight_memory=plan.memory,
            max_stages=plan.max_stages,
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        if plan.style == "unrolled":
            component = self.rtl(ins, out, plan)
            return Cost(lut=component.luts, ff=component.ffs)
        return folded_cost(self._shape(ins[0].format.bits, out.format.bits, plan))

    def _shape(self, in_bits: int, acc_bits: int, plan: Plan) -> FoldedShape:
        from codesign.hdl.memories import style_for
        from codesign.hdl.multiplier import recode

        nf, sf = self.folds(plan)
        recoding = recode(self.weights, plan.multiplier)
        style = style_for(nf * sf, plan.pe * plan.simd * recoding.width, plan.memory)
        return FoldedShape(
            plan.pe,
            plan.simd,
            nf,
            sf,
            in_bits,
            weight_bits(self.weights),
            acc_bits,
            len(recoding.planes),
            recoding.width,
            plan.multiplier == "dsp",
            style == "block",
        )

    def realisation(self, plan: Plan) -> str:
        return "shift-add graph" if plan.style == "unrolled" else f"{plan.multiplier} multipliers"


def accumulator_range(
    weights: np.ndarray, bias: np.ndarray, format: Format
) -> tuple[np.ndarray, np.ndarray]:
    """Exact (lo, hi) int64 [N] of each accumulator over all inputs of ``format`` (sign-split)."""
    positive, negative = np.maximum(weights, 0).sum(1), np.minimum(weights, 0).sum(1)
    lo = positive * format.lo + negative * format.hi + bias
    hi = positive * format.hi + negative * format.lo + bias
    return lo, hi


def exact_matmul(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """int64 ``x @ w`` for ``w`` [..., K, N]; see :func:`matmul_dtype`."""
    dtype = matmul_dtype(int(np.abs(x).max(initial=0)), w)
    return np.asarray(x.astype(dtype) @ w.astype(dtype)).astype(np.int64)


def matmul_dtype(reach: int, w: np.ndarray) -> np.dtype:
    """The fastest type in which ``x @ w`` is exact for every ``|x| <= reach``.

    Floating-point BLAS where every partial sum stays below 2^24 or 2^53, else int64;
    ``OverflowError`` from 2^63 on.
    """
    bound = reach * int(np.abs(w).sum(axis=-2).max(initial=0))
    if bound >= 1 << 63:
        raise OverflowError("an accumulator of 64 bits and more")
    if bound < 1 << 24:
        return np.dtype(np.float32)
    return np.dtype(np.float64 if bound < 1 << 53 else np.int64)
