"""Layers that read one scale per channel: the scales move into the weights, where that is exact."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from codesign.formats import ScaledInt
from codesign.frontend.context import Context
from codesign.ir import Value
from codesign.ops.reinterpret import Reinterpret

#: Largest factor between two scales that meet in one sum.
MAX_RATIO = 1 << 16


def fold_input_scales(
    ctx: Context,
    node: NodeProto,
    x: Value,
    codes: np.ndarray,
    scale: np.ndarray,
    groups: int = 1,
) -> tuple[Value, np.ndarray, np.ndarray]:
    """``x``, weight codes int64 [N, C / groups, ...] and weight scale float64 [N] such that
    ``x`` has a single scale and the layer computes the same.

    Channels that meet in one sum must have scales that are whole multiples of the smallest; a
    depthwise layer may have any. ``UnsupportedModel`` otherwise.
    """
    format = x.format
    if not isinstance(format, ScaledInt) or len(format.scale) == 1:
        return x, codes, scale
    scales = np.asarray(format.scale).reshape(groups, -1)  # [g, C / g]
    base = scales.min(axis=1, keepdims=True)
    ratio = np.rint(scales / base)
    single = np.array_equal(scales.astype(np.float32), scales)  # products are exact then
    if not single or (ratio * base != scales).any() or ratio.max() > MAX_RATIO:
        raise ctx.error(
            node,
            "it reads a value with one scale per channel, and sums channels whose scales are no "
            "whole multiples of each other",
            "quantize the layer's input per tensor; weights may be per channel",
        )
    rows = np.repeat(ratio.astype(np.int64), len(codes) // groups, axis=0)  # [N, C / g]
    codes = codes * rows.reshape(*rows.shape, *[1] * (codes.ndim - 2))
    scale = scale * np.repeat(base[:, 0], len(codes) // groups)
    op = Reinterpret(x.shape, (1.0,), format.zero_point)
    return ctx.emit(node, op, [x], suffix="codes"), codes, scale
