"""onnxruntime's own integer operators (com.microsoft), as its static quantizer writes them."""

from __future__ import annotations

import math

import numpy as np
from onnx import NodeProto

from codesign.frontend.context import Context, attributes, handles
from codesign.frontend.handlers.integer import as_integers, integer_weights_of, requantized
from codesign.frontend.handlers.join import combine, joined
from codesign.frontend.handlers.pool import WINDOW, averaged, reduced
from codesign.frontend.handlers.qdq import Line, as_codes, integer_result, read_line
from codesign.frontend.layout import Tensor
from codesign.ops.dense import Dense
from codesign.ops.mul import Mul
from codesign.ops.qlinear import QLinearCombine, QLinearUnary
from codesign.ops.quant import Quant

_ONE = np.ones(1, dtype=np.float32)


def _lines(ctx: Context, node: NodeProto, *places: int) -> list[Line]:
    """Scale and zero point at each of ``places``: one each, of one 8-bit type."""
    lines = [read_line(ctx, node, 0, at=at) for at in places]
    if any(line.scale.size != 1 for line in lines):
        raise ctx.error(node, "it has several scales", "use one scale per tensor")
    kinds = {(line.bits, line.signed) for line in lines}
    if len(kinds) > 1 or kinds.pop()[0] != 8:
        raise ctx.error(node, "its zero points differ in type", "use uint8 or int8 throughout")
    return lines


def _to(line: Line) -> Quant:
    """``saturate(round_half_even(x / scale) + zero_point)``."""
    zero = np.asarray(line.zero_point, np.float32)
    return Quant(line.scale, zero, line.bits, line.signed, integer_zero=True)


@handles("QLinearAdd", "QLinearMul")
def binary(ctx: Context, node: NodeProto) -> None:
    """``(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero)``, two computed values."""
    attributes(ctx, node)
    lines = _lines(ctx, node, 1, 4, 6)
    a = as_codes(ctx, node, ctx.tensor(node, 0), lines[0])
    b = as_codes(ctx, node, ctx.tensor(node, 3), lines[1])
    scales, zeros = [float(line.scale) for line in lines], [line.zero_point for line in lines]
    op = QLinearCombine(
        node.op_type.removeprefix("QLinear").lower(),
        node.op_type,
        (scales[0], scales[1], scales[2]),
        (zeros[0], zeros[1], zeros[2]),
        lines[0].signed,
    )
    integer_result(ctx, node, _to(lines[2]), combine(ctx, node, a, b, op), lines[2])


@handles("QLinearSigmoid", "QLinearLeakyRelu")
def unary(ctx: Context, node: NodeProto) -> None:
    """``(x, x_scale, x_zero, y_scale, y_zero)``."""
    known = {"alpha": 0.01} if node.op_type == "QLinearLeakyRelu" else {}
    attrs = tuple(attributes(ctx, node, **known).items())
    into, out = _lines(ctx, node, 1, 3)
    x = as_codes(ctx, node, ctx.tensor(node, 0), into)
    scales, zeros = (float(into.scale), float(out.scale)), (into.zero_point, out.zero_point)
    op = QLinearUnary(node.op_type, attrs, scales, zeros, into.signed)
    value = ctx.emit(node, op, [x.value], axes=x.axes)
    integer_result(ctx, node, _to(out), Tensor(value, x.axes), out)


@handles("QLinearConcat")
def concat(ctx: Context, node: NodeProto) -> None:
    """``(y_scale, y_zero, (x, x_scale, x_zero)...)``: each is quantized anew, then joined."""
    attrs = attributes(ctx, node, axis=None)
    places = range(2, len(node.input) - 1, 3)
    out, *lines = _lines(ctx, node, 0, *(at + 1 for at in places))
    tensors = []
    for at, line in zip(places, lines, strict=True):
        x = as_codes(ctx, node, ctx.tensor(node, at), line)
        same = (line.scale, line.zero_point) == (out.scale, out.zero_point)
        value = x.value if same else ctx.emit(node, _to(out), [x.value], axes=x.axes)
        tensors.append(Tensor(value, x.axes))
    integer_result(ctx, node, None, joined(ctx, node, tensors, attrs["axis"]), out)


@handles("QLinearAveragePool")
def average_pool(ctx: Context, node: NodeProto) -> None:
    """A mean of real values, then the output's quantizer."""
    attrs = attributes(ctx, node, count_include_pad=0, channels_last=0, **WINDOW)
    _channels_first(ctx, node, attrs)
    into, out = _lines(ctx, node, 1, 3)
    x = as_codes(ctx, node, ctx.tensor(node, 0), into)
    integer_result(ctx, node, _to(out), averaged(ctx, node, attrs, x, (), ""), out)


@handles("QLinearGlobalAveragePool")
def global_average_pool(ctx: Context, node: NodeProto) -> None:
    """An integer sum times one float32 number."""
    _channels_first(ctx, node, attributes(ctx, node, channels_last=0))
    into, out = _lines(ctx, node, 1, 3)
    x = as_integers(ctx, node, 0, 2)
    if x.rank < 2:
        raise ctx.error(node, "its input has no spatial axes", "the input is (batch, C, L...)")
    sums = reduced(ctx, node, x, set(range(1, x.rank)), "sum", keep=True)
    count = np.float32(math.prod(x.shape[1:]))
    factor = np.float32(into.scale) / (np.float32(out.scale) * count)
    value = ctx.emit(node, Mul(np.asarray(factor)), [sums.value], suffix="scale", axes=sums.axes)
    zero = np.asarray(out.zero_point, np.float32)
    last = Quant(_ONE, zero, out.bits, out.signed, integer_zero=True)
    integer_result(ctx, node, last, Tensor(value, sums.axes), out)


def _channels_first(ctx: Context, node: NodeProto, attrs: dict[str, object]) -> None:
    if attrs["channels_last"]:
        raise ctx.error(node, "attribute 'channels_last' is 1", "export channels first")


@handles("QGemm")
def gemm(ctx: Context, node: NodeProto) -> None:
    """``(a, a_scale, a_zero, b, b_scale, b_zero, [bias int32], y_scale, y_zero)``."""
    attrs = attributes(ctx, node, alpha=1.0, transA=0, transB=0)
    if attrs["transA"] or len(node.input) < 8:
        what = "attribute 'transA' is 1" if attrs["transA"] else "its output is float32"
        raise ctx.error(node, what, "write it as x @ W, with y_scale and y_zero_point")
    x = as_integers(ctx, node, 0, 2)
    weights = integer_weights_of(ctx, node, 3, 5, 0 if attrs["transB"] else 1)
    if weights.ndim != 2 or x.rank != 1:
        raise ctx.error(node, f"weights of shape {weights.shape}", "Gemm is (batch, K) @ (K, N)")
    op = Dense(weights if attrs["transB"] else weights.T, np.ones(1))
    alpha = float(str(attrs["alpha"]))
    requantized(ctx, node, op, x, ctx.constant(node, 6), at=7, alpha=alpha)
