"""MatVec: a constant integer matrix times a vector of codes, as a circuit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from codesign.formats import Format, ScaledInt
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.circuit import divisors
from codesign.ops.engine import Engine
from codesign.ops.weight_range import LoadableWeights, any_weights
from codesign.ops.weighted import Weighted
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


@register("matvec")
@dataclass(frozen=True, eq=False)
class MatVec(Weighted):
    """``acc[n] = sum_k weights[n, k] * x[k] + bias[n]`` on codes, exact.

    ``weights``: int64 [N, K]. ``bias``: int64 [N]. ``scale``: what one accumulator step is
    worth, float64 [N] or [1]. A value (..., K) holds several vectors; then ``pe`` must divide N
    and ``simd`` K, and ``plan.pixels`` of them may be computed side by side (beats of whole
    vectors). ``loadable``: other weights may be written while the circuit runs; the range is then
    that of every weight allowed.
    """

    weights: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    loadable: LoadableWeights | None = None

    direct: ClassVar[bool] = True
    flows_unrolled: ClassVar[bool] = True

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        n, k = self.weights.shape
        if ins[0].shape[-1] != k:
            raise ValueError(f"{k} weights a row meet {ins[0].shape[-1]} inputs")
        lo, hi = self._range(ins[0].format)
        scale = tuple(float(s) for s in self.scale)
        return (*ins[0].shape[:-1], n), ScaledInt(int(lo.min()), int(hi.max()), scale)

    def _range(self, x: Format) -> tuple[np.ndarray, np.ndarray]:
        if self.loadable is None:
            return accumulator_range(self.weights, self.bias, x)
        span = self.loadable
        ends = x.lo - span.zero_point, x.hi - span.zero_point
        lo, hi = any_weights((span.lo, span.hi), *ends, self.weights.shape[1])
        fixed = span.fixed_bias(self.weights, self.bias)
        return lo + fixed, hi + fixed

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        return exact_matmul(arrays[0], self.weights.T) + self.bias

    def macs(self) -> int:
        return int(self.weights.size)

    def frame_macs(self, ins: list[Value]) -> int:
        return self.macs() * self.vectors(ins[0])

    def lanes_in(self, plan: Plan) -> int:
        return plan.simd if plan.pixels == 1 else plan.pixels * self.weights.shape[1]

    def lanes_out(self, plan: Plan) -> int:
        return plan.pe if plan.pixels == 1 else plan.pixels * len(self.weights)

    def folds(self, plan: Plan) -> tuple[int, int]:
        """(NF, SF): row folds and column folds; their product is the cycles of one vector."""
        n, k = self.weights.shape
        return -(-n // plan.pe), -(-k // plan.simd)

    def vectors(self, x: Value) -> int:
        return x.elements // x.shape[-1]

    def may_pad(self, x: Value) -> bool:
        return self.vectors(x) == 1

    def pixel_options(self, x: Value, steps: int = 1) -> list[int]:
        return divisors(self.vectors(x) // steps)

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        """Cycles per frame in steady state."""
        beats = -(-ins[0].elements // self.lanes_in(plan))
        return max(beats, self._engine(ins[0], self._out(ins), plan).cycles(plan))

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        (part,) = self._engine(ins[0], out, plan).build(plan).values()
        return part

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        built = self.rtl(ins, out, plan) if plan.style == "unrolled" else None
        return self._engine(ins[0], out, plan).cost(plan, built)

    def _engine(self, x: Value, out: Value, plan: Plan) -> Engine:
        given = plan.simd if plan.pixels == 1 else self.weights.shape[1]
        vectors = self.vectors(x)
        return Engine(
            self.weights, self.bias, x.format, out.format, vectors, given, loadable=self.loadable
        )

    def _out(self, ins: list[Value]) -> Value:
        return Value("", *self.infer(*ins))

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
