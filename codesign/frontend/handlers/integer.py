"""ONNX operators that compute on integers themselves: QLinear*, MatMulInteger, ConvInteger.

Their integer sums are a dense layer or a convolution of scale one; a QLinear operator then
multiplies by one float32 number, rounds half to even and adds the zero point, as onnxruntime.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from codesign.frontend.context import Const, Context, attributes, handles
from codesign.frontend.handlers.qdq import INTEGERS, Line, as_codes, integer_result, read_line
from codesign.frontend.layout import Tensor, channels_last, identity, to_axes
from codesign.frontend.weights import float_constant
from codesign.frontend.window import spatial_rank, window
from codesign.ir import Op, Value
from codesign.ops.add import Add
from codesign.ops.conv import Conv
from codesign.ops.dense import Dense
from codesign.ops.mul import Mul
from codesign.ops.quant import Quant

_ONE = np.ones(1, dtype=np.float32)


def integer_weights_of(
    ctx: Context, node: NodeProto, at: int, zero_at: int, axis: int
) -> np.ndarray:
    """Constant integer weights, zero points (one, or one along ``axis``) subtracted; int64."""
    const = ctx.constant(node, at)
    if const is None:
        raise ctx.error(
            node, "its weights are not constant", "products of two computed values: use QDQ"
        )
    if str(const.array.dtype) not in INTEGERS:
        raise ctx.error(node, f"its weights are {const.array.dtype}", ", ".join(INTEGERS))
    codes = const.array.astype(np.int64)
    zero = ctx.constant(node, zero_at)
    if zero is None:
        return codes
    offset = zero.array.astype(np.int64)
    if offset.size > 1:
        offset = offset.reshape([-1 if a == axis else 1 for a in range(codes.ndim)])
    return codes - offset


def as_integers(ctx: Context, node: NodeProto, index: int, zero_at: int) -> Tensor:
    """Input ``index`` as codes of scale one with its zero point."""
    x = ctx.tensor(node, index)
    zero = ctx.constant(node, zero_at)
    values = zero.array.astype(np.int64).ravel() if zero is not None else np.zeros(1, np.int64)
    if (values != values[0]).any():
        raise ctx.error(node, "the zero points of its input differ", "use one per tensor")
    line = Line(np.ones((), dtype=np.float32), int(values[0]), 8, False)
    return as_codes(ctx, node, x, line)


def _matmul(ctx: Context, node: NodeProto, x: Tensor, weights: np.ndarray) -> tuple[Op, Tensor]:
    """``x @ W`` with W [K, N]."""
    if weights.ndim != 2:
        raise ctx.error(node, f"the weights have shape {weights.shape}", "they need two axes")
    if x.axes[-1] != x.rank - 1:
        x = to_axes(ctx, node, x, identity(x.rank))
    return Dense(weights.T, np.ones(1)), x


def _conv(ctx: Context, node: NodeProto, x: Tensor, weights: np.ndarray) -> tuple[Op, Tensor]:
    """A convolution with weights [N, C / group, k...]."""
    attrs = attributes(
        ctx, node, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None,
        strides=None,
    )  # fmt: skip
    rank = spatial_rank(ctx, node, x.shape)
    groups = int(str(attrs["group"]))
    fits = weights.ndim == rank + 2 and weights.shape[1] * groups == x.shape[0]
    if not fits or len(weights) % groups:
        raise ctx.error(
            node,
            f"weights of shape {weights.shape} in {groups} groups meet {x.shape[0]} channels",
            "weights are [N, C / group, kernel...], with N a multiple of group",
        )
    view = window(ctx, node, attrs, x.shape[1:], weights.shape[2:], ())
    x = to_axes(ctx, node, x, channels_last(x.rank))
    kernel = np.moveaxis(weights, 1, -1)
    kernel = kernel[:, None] if kernel.ndim == 3 else kernel
    op = Conv(kernel, np.ones(1), view.strides, view.dilations, view.pads, groups)
    return op, x


@handles("MatMulInteger")
def matmul_integer(ctx: Context, node: NodeProto) -> None:
    """int32 sums; they count as float values of the same size."""
    attributes(ctx, node)
    x = as_integers(ctx, node, 0, 2)
    op, x = _matmul(ctx, node, x, integer_weights_of(ctx, node, 1, 3, 1))
    ctx.emit(node, op, [x.value], tensor=node.output[0], axes=x.axes)


@handles("ConvInteger")
def conv_integer(ctx: Context, node: NodeProto) -> None:
    """int32 sums; they count as float values of the same size."""
    x = as_integers(ctx, node, 0, 2)
    op, x = _conv(ctx, node, x, integer_weights_of(ctx, node, 1, 3, 0))
    ctx.emit(node, op, [x.value], tensor=node.output[0], axes=x.axes)


@handles("QLinearMatMul")
def qlinear_matmul(ctx: Context, node: NodeProto) -> None:
    """``QLinearMatMul(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero)``."""
    attributes(ctx, node)
    _need(ctx, node, 8)
    x = as_integers(ctx, node, 0, 2)
    op, x = _matmul(ctx, node, x, integer_weights_of(ctx, node, 3, 5, 1))
    requantized(ctx, node, op, x, None)


@handles("QLinearConv")
def qlinear_conv(ctx: Context, node: NodeProto) -> None:
    """``QLinearConv(x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, [bias int32])``."""
    _need(ctx, node, 8)
    x = as_integers(ctx, node, 0, 2)
    op, x = _conv(ctx, node, x, integer_weights_of(ctx, node, 3, 5, 0))
    requantized(ctx, node, op, x, ctx.constant(node, 8))


def _need(ctx: Context, node: NodeProto, count: int) -> None:
    if len(node.input) < count:
        raise ctx.error(node, f"it has {len(node.input)} inputs", f"it needs {count}")


def requantized(
    ctx: Context,
    node: NodeProto,
    op: Op,
    x: Tensor,
    bias: Const | None,
    *,
    at: int = 6,
    alpha: float = 1.0,
) -> None:
    """The sums, an integer bias, one multiplication, and the quantizer at input ``at``."""
    x_scale, w_scale = (float_constant(ctx, node, i, "a scale") for i in (1, 4))
    if x_scale.size != 1 or w_scale.ndim > 1:
        raise ctx.error(node, "its input has several scales", "use one scale per tensor")
    sums = ctx.emit(node, op, [x.value], axes=x.axes)
    line = read_line(ctx, node, len(sums.shape) + 1, at=at)
    if line.scale.size != 1:
        raise ctx.error(node, "its output has several scales", "use one scale per tensor")
    if bias is not None:
        values = integer_bias(ctx, node, sums, bias.array.astype(np.int64).ravel())
        sums = ctx.emit(node, Add(values), [sums], suffix="bias")
    factor = (np.float32(alpha) * x_scale.reshape(()) * w_scale.reshape(-1)) / line.scale
    real = ctx.emit(node, Mul(factor.astype(np.float32)), [sums], suffix="scale", axes=x.axes)
    zero = np.asarray(line.zero_point, np.float32)
    last = Quant(_ONE, zero, line.bits, line.signed, integer_zero=True)
    integer_result(ctx, node, last, Tensor(real, x.axes), line)


def integer_bias(ctx: Context, node: NodeProto, sums: Value, values: np.ndarray) -> np.ndarray:
    """int64 ``values`` as float32, exact as long as sums and bias stay below 2^24."""
    reach = max(-sums.format.lo, sums.format.hi) + int(np.abs(values).max(initial=0))
    if reach >= 1 << 24:
        raise ctx.error(
            node,
            f"its sums with their bias reach {reach}, float32 is exact up to 2^24",
            "use fewer bits, or DequantizeLinear, Conv and QuantizeLinear",
        )
    return values.astype(np.float32)
