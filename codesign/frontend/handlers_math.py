"""Dense layers, constants, batch norm and activations."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from codesign.frontend.context import Const, Context, attributes, handles
from codesign.frontend.handlers_quant import per_channel
from codesign.ir import Elementwise, Value
from codesign.ops.add import Add, Sub
from codesign.ops.argmax import ArgMax
from codesign.ops.batchnorm import BatchNorm
from codesign.ops.dense import Dense
from codesign.ops.mul import Div, Mul
from codesign.ops.relu import Relu


@handles("MatMul")
def matmul(ctx: Context, node: NodeProto) -> None:
    """``x @ W`` with constant ``W`` of shape [K, N]."""
    attributes(ctx, node)
    x, weights = _dense_inputs(ctx, node)
    ctx.emit(node, _dense(ctx, node, weights, transposed=False), [x], tensor=node.output[0])


@handles("Gemm")
def gemm(ctx: Context, node: NodeProto) -> None:
    """``alpha * (x @ W) + beta * C``: a dense layer, then at most one Mul and one Add."""
    attrs = attributes(ctx, node, alpha=1.0, beta=1.0, transA=0, transB=0)
    if attrs["transA"]:
        raise ctx.error(
            node, "attribute 'transA' is 1", "the batch must be the first axis: transA=0"
        )
    x, weights = _dense_inputs(ctx, node)
    steps: list[tuple[str, Elementwise]] = []
    if attrs["alpha"] != 1.0:
        steps.append(("alpha", Mul(np.array([attrs["alpha"]], dtype=np.float32))))
    op = _dense(ctx, node, weights, transposed=bool(attrs["transB"]))
    if len(node.input) > 2 and node.input[2]:
        bias = _constant_input(ctx, node, 2, "the bias")
        value = per_channel(ctx, node, bias.array, (len(op.weights),), "bias")
        beta = np.array(attrs["beta"], dtype=np.float32)
        steps.append(("bias", Add(value * beta)))
    _emit_chain(ctx, node, x, op, steps)


def _emit_chain(
    ctx: Context, node: NodeProto, x: Value, op: Dense, steps: list[tuple[str, Elementwise]]
) -> None:
    """``op``, then ``steps``; the last one writes the node's output."""
    last = node.output[0]
    value = ctx.emit(node, op, [x], tensor="" if steps else last)
    for index, (suffix, step) in enumerate(steps):
        tensor = last if index == len(steps) - 1 else ""
        value = ctx.emit(node, step, [value], tensor=tensor, suffix=suffix)


def _dense_inputs(ctx: Context, node: NodeProto) -> tuple[Value, Const]:
    if len(node.input) < 2:
        raise ctx.error(node, f"{node.op_type} has {len(node.input)} inputs", "it needs two")
    if ctx.constant(node, 0) is not None:
        raise ctx.error(node, "the weights are on the left", "write it as x @ W")
    x = ctx.value(node, 0)
    weights = ctx.constant(node, 1)
    if weights is None:
        raise ctx.error(
            node,
            "it multiplies two computed values",
            "only products with constant weights are supported",
        )
    return x, weights


def _dense(ctx: Context, node: NodeProto, weights: Const, *, transposed: bool) -> Dense:
    """Weights as [N, K] codes with one scale per output channel. ``transposed``: the file
    stores them as [N, K] already."""
    codes, scale = _codes(ctx, node, weights)
    if codes.ndim != 2 or 0 in codes.shape:
        raise ctx.error(node, f"the weights have shape {codes.shape}", "they need two axes")
    if not transposed:
        codes, scale = codes.T, scale.T
    if not (scale == scale[:, :1]).all():
        raise ctx.error(
            node,
            "the weight scale varies along the inputs of a neuron",
            "use one scale per tensor or one per output channel",
        )
    return Dense(codes, scale[:, 0].astype(np.float64))


def _codes(ctx: Context, node: NodeProto, weights: Const) -> tuple[np.ndarray, np.ndarray]:
    """Integer weights and their scale, both of the tensor's shape."""
    if weights.quantized is not None:
        return weights.quantized.codes, weights.quantized.scale
    array = weights.array
    whole = array.dtype.kind in "iu" or (array == np.round(array)).all()
    if not whole or np.abs(array.astype(np.float64)).max(initial=0) >= 1 << 24:
        raise ctx.error(
            node,
            "the weights are not quantized",
            "give the layer a weight quantizer (Brevitas QuantLinear with weight_bit_width)",
        )
    return array.astype(np.int64), np.ones(array.shape, dtype=np.float32)


def _constant_input(ctx: Context, node: NodeProto, index: int, what: str) -> Const:
    const = ctx.constant(node, index)
    if const is None:
        raise ctx.error(node, f"{what} is not a constant", "only constants are supported here")
    if const.array.dtype != np.float32:
        raise ctx.error(node, f"{what} is {const.array.dtype}, not float32", "export in float32")
    return const


@handles("Add", "Sub", "Mul", "Div")
def arithmetic(ctx: Context, node: NodeProto) -> None:
    """A computed value and a constant, in either order."""
    attributes(ctx, node)
    if len(node.input) != 2:
        raise ctx.error(node, f"{node.op_type} has {len(node.input)} inputs", "it needs two")
    left = ctx.constant(node, 0) is not None
    if not left and ctx.constant(node, 1) is None:
        raise ctx.error(
            node,
            "it combines two computed values",
            "only constants are supported here; residual branches are not supported so far",
        )
    x = ctx.value(node, 1 if left else 0)
    const = _constant_input(ctx, node, 0 if left else 1, "the constant")
    value = per_channel(ctx, node, const.array, x.shape, "constant")
    ctx.emit(node, _arithmetic(ctx, node, value, left), [x], tensor=node.output[0])


def _arithmetic(ctx: Context, node: NodeProto, value: np.ndarray, left: bool) -> Elementwise:
    if node.op_type == "Add":
        return Add(value)
    if node.op_type == "Sub":
        return Sub(value, reverse=left)
    if node.op_type == "Mul":
        return Mul(value)
    if left:
        raise ctx.error(node, "it divides a constant by a value", "divide by a constant instead")
    if not value.all():
        raise ctx.error(node, "it divides by zero", "remove the zeros from the divisor")
    return Div(value)


@handles("BatchNormalization")
def batch_normalization(ctx: Context, node: NodeProto) -> None:
    """Evaluation mode, on (batch, channels)."""
    attrs = attributes(ctx, node, epsilon=1e-5, momentum=0.9, training_mode=0, spatial=1, is_test=1)
    if attrs["training_mode"] or len([o for o in node.output if o]) > 1:
        raise ctx.error(
            node, "batch norm is in training mode", "call model.eval() before the export"
        )
    x = ctx.value(node, 0)
    if len(x.shape) != 1:
        raise ctx.error(
            node,
            f"batch norm on a value of shape (batch, {', '.join(map(str, x.shape))})",
            "only (batch, channels) is supported so far",
        )
    names = ("scale", "bias", "mean", "variance")
    arrays = [_constant_input(ctx, node, i + 1, f"the {n}").array for i, n in enumerate(names)]
    gamma, beta, mean, var = arrays
    op = BatchNorm(gamma, beta, mean, var, float(str(attrs["epsilon"])))
    ctx.emit(node, op, [x], tensor=node.output[0])


@handles("Relu")
def relu(ctx: Context, node: NodeProto) -> None:
    """``max(x, 0)``."""
    attributes(ctx, node)
    ctx.emit(node, Relu(), [ctx.value(node, 0)], tensor=node.output[0])


@handles("ArgMax")
def argmax(ctx: Context, node: NodeProto) -> None:
    """Over the last axis, the first index on ties."""
    attrs = attributes(ctx, node, axis=0, keepdims=1, select_last_index=0)
    x = ctx.value(node, 0)
    if attrs["axis"] not in (-1, len(x.shape)):
        raise ctx.error(
            node, f"attribute 'axis' is {attrs['axis']}", "ArgMax over the last axis: axis=-1"
        )
    if attrs["select_last_index"]:
        raise ctx.error(
            node, "attribute 'select_last_index' is 1", "the first index wins ties: use 0"
        )
    ctx.emit(node, ArgMax(bool(attrs["keepdims"])), [x], tensor=node.output[0])
