"""Weights of layers as integers with one scale per output channel."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from codesign.formats import FORMS, Real
from codesign.frontend.context import Const, Context
from codesign.ir import Value

#: Bits of weights without a quantizer: trained float32 numbers need more.
GRID_BITS = 15


def integer_weights(ctx: Context, node: NodeProto, weights: Const) -> tuple[np.ndarray, np.ndarray]:
    """Codes (int64) and scale (float32), both of the tensor's shape.

    Without a quantizer, weights that are small integers times one power of two are taken as they
    are.
    """
    if weights.quantized is not None:
        return weights.quantized.codes, weights.quantized.scale
    array = weights.array.astype(np.float64)
    step = 1.0 if weights.array.dtype.kind in "iu" else power_of_two(array)
    codes = array / step
    limit = 1 << (24 if step == 1 else GRID_BITS)
    if (codes != np.rint(codes)).any() or np.abs(codes).max(initial=0) >= limit:
        raise ctx.error(
            node,
            "the weights are not quantized",
            "give the layer a weight quantizer (Brevitas QuantLinear or QuantConv2d with "
            "weight_bit_width)",
        )
    return codes.astype(np.int64), np.full(array.shape, step, dtype=np.float32)


def power_of_two(array: np.ndarray) -> float:
    """The largest power of two, at most one, of which every number of ``array`` is a multiple;
    1.0 where that takes more than :data:`GRID_BITS` bits."""
    most = np.abs(array).max(initial=0)
    start = min(0, int(np.frexp(most)[1])) if most else 0
    for exponent in range(0, start - GRID_BITS - 1, -1):
        step = 2.0**exponent
        if (array / step == np.rint(array / step)).all():
            return step
    return 1.0


def weight_limits(weights: Const, unchanged: bool = True) -> tuple[int, int] | None:
    """Least and greatest code of the weights' format; None where the file does not say, or where
    the layer got multiples of the file's codes (not ``unchanged``)."""
    return weights.quantized.limits if weights.quantized is not None and unchanged else None


def constant_weights(ctx: Context, node: NodeProto, index: int = 1) -> Const:
    """Input ``index``, which must be known at import."""
    weights = ctx.constant(node, index)
    if weights is None:
        raise ctx.error(
            node,
            "its weights are not constant",
            "weights must be initializers; products of two computed values are not supported",
        )
    return weights


def channel_scale(ctx: Context, node: NodeProto, scale: np.ndarray) -> np.ndarray:
    """float64 [N] from the scale of weights [N, ...]; refused where it varies inside a channel."""
    rows = scale.reshape(len(scale), -1)
    if not (rows == rows[:, :1]).all():
        raise ctx.error(
            node,
            "the weight scale varies along the inputs of a neuron",
            "use one scale per tensor or one per output channel",
        )
    return rows[:, 0].astype(np.float64)


def float_constant(ctx: Context, node: NodeProto, index: int, what: str) -> np.ndarray:
    """Input ``index`` as a float32 constant."""
    const = ctx.constant(node, index)
    if const is None:
        raise ctx.error(node, f"{what} is not a constant", "only constants are supported here")
    if const.array.dtype != np.float32:
        raise ctx.error(node, f"{what} is {const.array.dtype}, not float32", "export in float32")
    return const.array


def bias_vector(ctx: Context, node: NodeProto, index: int, channels: int) -> np.ndarray | None:
    """Input ``index`` as float32 [channels], or None where the layer has no bias."""
    if index >= len(node.input) or not node.input[index]:
        return None
    bias = float_constant(ctx, node, index, "the bias")
    if bias.shape != (channels,):
        raise ctx.error(
            node,
            f"the bias has shape {bias.shape}",
            f"{channels} numbers are needed, one a channel",
        )
    return bias


def require_codes(ctx: Context, node: NodeProto, x: Value, what: str) -> None:
    """Refuse a float32 input of a layer, telling a missing input quantizer from a missing
    activation quantizer."""
    if not isinstance(x.format, Real):
        return
    if ctx.from_input(x):
        raise ctx.error(
            node,
            f"{what} reads the network input, which is not quantized",
            "put a quantizer (Brevitas QuantIdentity) first, or name the input's codes with "
            f"input_format= (--input-format): {FORMS}",
        )
    raise ctx.error(
        node,
        f"{what} reads a value that is not quantized",
        "put an activation quantizer (Brevitas QuantIdentity) before the layer",
    )
