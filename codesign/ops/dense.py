"""Dense: an exact integer matrix-vector product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import Op, constant, register
from codesign.ops.matvec import exact_matmul
from codesign.ops.weight_range import any_weights, weight_range

if TYPE_CHECKING:
    from codesign.ir import Value


def sign_split_range(
    weights: np.ndarray, low: int | np.ndarray, high: int | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest of ``weights @ x`` per row, each ``x`` anywhere in ``low..high``.

    ``weights``: int64[N, K]; ``low`` and ``high``: integers or int64[K]. Both bounds are reached.
    """
    positive, negative = np.maximum(weights, 0), np.minimum(weights, 0)
    low = np.broadcast_to(np.asarray(low, dtype=np.int64), weights.shape[1:])
    high = np.broadcast_to(np.asarray(high, dtype=np.int64), weights.shape[1:])
    return positive @ low + negative @ high, positive @ high + negative @ low


def weight_scales(scale: np.ndarray) -> np.ndarray:
    """float64 [N], or [1] when all are equal."""
    scale = np.atleast_1d(np.asarray(scale, dtype=np.float64))
    return constant(scale[:1] if (scale == scale[0]).all() else scale, np.float64)


@register("dense")
@dataclass(frozen=True, eq=False)
class Dense(Op):
    """``acc[..., n] = sum_k weights[n, k] * (x[..., k] - zero_point)``, exact.

    ``weights``: int64[N, K], codes with their zero point already subtracted.
    ``weight_scale``: float64[1] or float64[N], each a float32 number. ``limits``: the least and
    greatest code of the weights' format, where known. ``loadable``: the accumulator's range is
    that of every weight within the limits, not of those given.
    The accumulator is a :class:`ScaledInt` whose range over all rows is reached, and whose scale
    ``input scale * weight scale`` is exact in float64.
    """

    weights: np.ndarray
    weight_scale: np.ndarray
    limits: tuple[int, int] | None = None
    loadable: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", constant(self.weights, np.int64))
        object.__setattr__(self, "weight_scale", weight_scales(self.weight_scale))

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        rows, columns = self.weights.shape
        if not isinstance(x.format, ScaledInt):
            raise UnsupportedModel(
                "a dense layer reads a value that is not quantized",
                hint="put an activation quantizer (Brevitas QuantIdentity) before the layer",
            )
        if len(x.format.scale) != 1:
            raise UnsupportedModel(
                "a dense layer reads a value with one scale per channel",
                hint="quantize the layer's input per tensor; weights may be per channel",
            )
        if x.shape[-1:] != (columns,):
            raise UnsupportedModel(
                f"a dense layer with {columns} inputs reads a value of shape {x.shape}",
                hint="flatten the value to (batch, features) first",
            )
        low, high = self._range(x.format)
        scale = x.format.scale[0] * self.weight_scale
        return (*x.shape[:-1], rows), ScaledInt(low, high, tuple(float(s) for s in scale))

    def _range(self, x: ScaledInt) -> tuple[int, int]:
        reach = max(abs(x.lo - x.zero_point), abs(x.hi - x.zero_point))
        span = weight_range(self.weights, self.limits) if self.loadable else None
        greatest_weight = max(map(abs, span)) if span else int(np.abs(self.weights).max(initial=0))
        bound = reach * greatest_weight * self.weights.shape[1]
        if bound >= 1 << 53:
            raise UnsupportedModel(
                "the accumulator could exceed 2^53", hint="use fewer weight or activation bits"
            )
        if span:
            return any_weights(
                span, x.lo - x.zero_point, x.hi - x.zero_point, self.weights.shape[1]
            )
        least, greatest = sign_split_range(self.weights, x.lo - x.zero_point, x.hi - x.zero_point)
        return int(least.min()), int(greatest.max())

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        """int64 [B, ..., K] codes to int64 [B, ..., N] sums."""
        format = ins[0].format
        assert isinstance(format, ScaledInt)
        return exact_matmul(np.asarray(arrays[0]) - format.zero_point, self.weights.T)
