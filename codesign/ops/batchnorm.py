"""BatchNorm in evaluation mode, bit for bit as PyTorch's CPU kernel computes it.

Found by experiment (tests/frontend/test_ops_batchnorm.py repeats it): for (N, C) inputs PyTorch
2.13 on a CPU with fused multiply-add (any x86-64 with AVX2) computes, all in float32,

    invstd = 1 / sqrt(var + eps)        three roundings
    alpha  = invstd * gamma
    beta'  = fma(-mean, alpha, beta)    one rounding
    y      = fma(x, alpha, beta')       one rounding

onnxruntime (and so qonnx execution) folds alpha and beta' in the same way but rounds each
product: ``beta' = beta - mean * alpha`` and ``y = x * alpha + beta'``. The two differ in the
last bit on a few per cent of random inputs; PyTorch's result is golden.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format
from codesign.ir import Elementwise, constant, register

if TYPE_CHECKING:
    from codesign.ir import Value


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """``a * b + c`` of float32 arrays, rounded to float32 once.

    The product is exact in float64; the sum is rounded to odd there (Boldo and Melquiond), so
    that the second rounding, to float32, is the correct one.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        product = np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64)
        product, addend = np.broadcast_arrays(product, np.asarray(c, dtype=np.float64))
        total = np.array(product + addend)
        back = total - product
        error = (product - (total - back)) + (addend - back)
        inexact = (error != 0) & np.isfinite(total) & ((total.view(np.int64) & 1) == 0)
        odd = np.where(inexact, np.nextafter(total, np.where(error > 0, np.inf, -np.inf)), total)
        return np.asarray(odd.astype(np.float32))


@register("batchnorm")
@dataclass(frozen=True, eq=False)
class BatchNorm(Elementwise):
    """``gamma * (x - mean) / sqrt(var + epsilon) + beta`` per channel of the last axis.

    The value has any rank. Arrays are float32[C]; ``epsilon`` is rounded to float32.
    """

    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    var: np.ndarray
    epsilon: float = 1e-5

    @property
    def words(self) -> str:
        return "batch norm"

    def __post_init__(self) -> None:
        for name in ("gamma", "beta", "mean", "var"):
            object.__setattr__(self, name, constant(getattr(self, name), np.float32))

    def alpha(self) -> np.ndarray:
        """float32[C]: what ``x`` is multiplied by."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.float32(1) / np.sqrt(self.var + np.float32(self.epsilon)) * self.gamma

    def offset(self) -> np.ndarray:
        """float32[C]: what is added to the product."""
        return fma(-self.mean, self.alpha(), self.beta)

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        channels = ins[0].shape[-1]
        if any(p.shape != (channels,) for p in (self.gamma, self.beta, self.mean, self.var)):
            raise UnsupportedModel(
                f"batch norm has parameters for {self.gamma.size} channels, its input {channels}"
            )
        if not np.isfinite(self.alpha()).all():
            raise UnsupportedModel(
                "batch norm divides by zero or by the root of a negative variance",
                hint="running variances must be positive: train the layer or remove it",
            )
        return super().infer(*ins)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return fma(x, self.alpha(), self.offset())

    def direction(self) -> np.ndarray:
        return np.where(self.alpha() >= 0, 1, -1).astype(np.int64)
