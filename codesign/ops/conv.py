"""Conv: an exact integer convolution with constant weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import Op, constant, register
from codesign.ops.convolve import convolution_range, correlate
from codesign.ops.dense import weight_scales
from codesign.ops.geometry import Geometry, geometry_of, out_shape
from codesign.ops.weight_range import any_kernel, weight_range

if TYPE_CHECKING:
    from codesign.ir import Value


@register("conv")
@dataclass(frozen=True, eq=False)
class Conv(Op):
    """``acc[p, n] = sum_t,c weights[n, t, c] * (x[p + t, c] - zero_point)``, exact; padding is 0.

    ``weights``: int64 [N, kh, kw, C / groups], codes with their zero point already subtracted
    (kh = 1 for a value (L, C)). ``weight_scale``: float64 [1] or [N], each a float32 number.
    ``steps``: the first axis of the value, each step a map of its own (0: there is none).
    ``pads``: (top, left, bottom, right). ``limits`` and ``loadable`` as in
    :class:`~codesign.ops.dense.Dense`. The accumulator's scale is exact in float64.
    """

    weights: np.ndarray
    weight_scale: np.ndarray
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    limits: tuple[int, int] | None = None
    loadable: bool = False
    steps: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", constant(self.weights, np.int64))
        object.__setattr__(self, "weight_scale", weight_scales(self.weight_scale))

    def one_step(self, steps: int) -> Conv:
        return replace(self, steps=1) if self.steps else self

    def geometry(self, x: Value) -> Geometry:
        """The window over ``x``."""
        _, kh, kw, _ = self.weights.shape
        window = (kh, kw), self.strides, self.dilations, self.pads
        return geometry_of("a convolution", x.shape, *window, self.steps)

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if not isinstance(x.format, ScaledInt):
            raise UnsupportedModel(
                "a convolution reads a value that is not quantized",
                hint="put an activation quantizer (Brevitas QuantIdentity) before the layer",
            )
        if len(x.format.scale) != 1:
            raise UnsupportedModel(
                "a convolution reads a value with one scale per channel",
                hint="quantize the layer's input per tensor; weights may be per channel",
            )
        geometry, zero = self.geometry(x), x.format.zero_point
        check_channels(self.weights, self.groups, x.shape)
        if self.loadable:
            span = weight_range(self.weights, self.limits)
            ends = x.format.lo - zero, x.format.hi - zero
            low, high = map(np.array, any_kernel(span, geometry, self.weights.shape[-1], *ends))
        else:
            low, high = convolution_range(
                self.weights, geometry, self.groups, x.format.lo - zero, x.format.hi - zero, 0
            )
        if max(-int(low.min()), int(high.max())) >= 1 << 53:
            raise UnsupportedModel(
                "the accumulator could exceed 2^53", hint="use fewer weight or activation bits"
            )
        scale = tuple(float(s) for s in x.format.scale[0] * self.weight_scale)
        shape = out_shape(geometry, len(x.shape), len(self.weights), self.steps)
        return shape, ScaledInt(int(low.min()), int(high.max()), scale)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        """int64 [B, ..., C] codes to int64 [B, ..., N] sums."""
        format = ins[0].format
        assert isinstance(format, ScaledInt)
        x, geometry = np.asarray(arrays[0]) - format.zero_point, self.geometry(ins[0])
        out = correlate(x, self.weights, geometry, self.groups, 0)
        rank = len(ins[0].shape)
        return out.reshape(len(x), *out_shape(geometry, rank, len(self.weights), self.steps))


def check_channels(weights: np.ndarray, groups: int, shape: tuple[int, ...]) -> None:
    """``UnsupportedModel`` unless ``groups`` divide both channel counts as the weights say."""
    n, channels = len(weights), weights.shape[-1] * groups
    if channels != shape[-1] or n % groups:
        raise UnsupportedModel(
            f"a convolution of {groups} group(s) with weights of {n} outputs by "
            f"{weights.shape[-1]} inputs each reads {shape[-1]} channels",
            hint="groups must divide the outputs, and inputs = groups x weights' inputs",
        )
