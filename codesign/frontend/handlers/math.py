"""Dense layers, batch norm, Relu and ArgMax."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from codesign.frontend.channel_scales import fold_input_scales
from codesign.frontend.coded import coded
from codesign.frontend.context import Const, Context, attributes, handles
from codesign.frontend.handlers.attention import product_of_values
from codesign.frontend.layout import Axes, Tensor, channels_last, fit_constant, identity, to_axes
from codesign.frontend.weights import (
    channel_scale,
    constant_weights,
    float_constant,
    integer_weights,
    weight_limits,
)
from codesign.ir import Elementwise, Value
from codesign.ops.add import Add
from codesign.ops.argmax import ArgMax
from codesign.ops.batchnorm import BatchNorm
from codesign.ops.dense import Dense
from codesign.ops.mul import Mul
from codesign.ops.relu import Relu


@handles("MatMul")
def matmul(ctx: Context, node: NodeProto) -> None:
    """``x @ W`` with constant ``W`` [K, N] over the last axis, or ``W @ x`` over the one before;
    also the product of two computed values."""
    attributes(ctx, node)
    if len(node.input) == 2 and all(name in ctx.tensors for name in node.input):
        product_of_values(ctx, node)
        return
    _two_inputs(ctx, node)
    left = ctx.constant(node, 0)
    if left is None:
        weights = constant_weights(ctx, node)
        x = _inputs_last(ctx, node, ctx.tensor(node, 0))
        source, op = _dense(ctx, node, x.value, weights, transposed=False)
        ctx.emit(node, op, [source], tensor=node.output[0], axes=x.axes)
        return
    x = ctx.tensor(node, 1)
    if x.rank < 2:
        raise ctx.error(node, "the weights are on the left", "write it as x @ W")
    x = _inputs_last(ctx, node, Tensor(x.value, _swapped(x.axes)))
    source, op = _dense(ctx, node, x.value, left, transposed=True)
    ctx.emit(node, op, [source], tensor=node.output[0], axes=_swapped(x.axes))


def _swapped(axes: Axes) -> Axes:
    return (*axes[:-2], axes[-1], axes[-2])


@handles("Gemm")
def gemm(ctx: Context, node: NodeProto) -> None:
    """``alpha * (x @ W) + beta * C``: a dense layer, then at most one Mul and one Add."""
    attrs = attributes(ctx, node, alpha=1.0, beta=1.0, transA=0, transB=0)
    if attrs["transA"]:
        raise ctx.error(
            node, "attribute 'transA' is 1", "the batch must be the first axis: transA=0"
        )
    _two_inputs(ctx, node)
    if ctx.constant(node, 0) is not None:
        raise ctx.error(node, "the weights are on the left", "write it as x @ W")
    weights = constant_weights(ctx, node)
    x = ctx.tensor(node, 0)
    if x.rank != 1:
        raise ctx.error(node, f"its input has {x.rank + 1} axes", "Gemm takes (batch, features)")
    steps: list[tuple[str, Elementwise]] = []
    if attrs["alpha"] != 1.0:
        steps.append(("alpha", Mul(np.array([attrs["alpha"]], dtype=np.float32))))
    x = coded(ctx, node, x, "a dense layer")
    source, op = _dense(ctx, node, x.value, weights, transposed=bool(attrs["transB"]))
    if len(node.input) > 2 and node.input[2]:
        bias = float_constant(ctx, node, 2, "the bias")
        out = Tensor(Value("", (len(op.weights),), x.value.format), identity(1))
        value = fit_constant(ctx, node, bias, out, "bias")
        beta = np.array(attrs["beta"], dtype=np.float32)
        steps.append(("bias", Add(value * beta)))
    _emit_chain(ctx, node, source, op, steps)


def _emit_chain(
    ctx: Context, node: NodeProto, x: Value, op: Dense, steps: list[tuple[str, Elementwise]]
) -> None:
    """``op``, then ``steps``; the last one writes the node's output."""
    last = node.output[0]
    value = ctx.emit(node, op, [x], tensor="" if steps else last)
    for index, (suffix, step) in enumerate(steps):
        tensor = last if index == len(steps) - 1 else ""
        value = ctx.emit(node, step, [value], tensor=tensor, suffix=suffix)


def _two_inputs(ctx: Context, node: NodeProto) -> None:
    if len(node.input) < 2:
        raise ctx.error(node, f"{node.op_type} has {len(node.input)} inputs", "it needs two")
    if ctx.constant(node, 0) is None and ctx.constant(node, 1) is None:
        raise ctx.error(
            node,
            "it multiplies two computed values",
            "only products with constant weights are supported",
        )


def _inputs_last(ctx: Context, node: NodeProto, x: Tensor) -> Tensor:
    """``x`` with the file's last axis last in the IR, where a dense layer reads its vector."""
    if x.axes[-1] != x.rank - 1:
        x = to_axes(ctx, node, x, identity(x.rank))
    return coded(ctx, node, x, "a dense layer")


def _dense(
    ctx: Context, node: NodeProto, x: Value, weights: Const, *, transposed: bool
) -> tuple[Value, Dense]:
    """The layer, its weights as [N, K] codes with one scale per output channel, and the value
    it reads. ``transposed``: the file stores them as [N, K] already."""
    codes, scale = integer_weights(ctx, node, weights)
    if codes.ndim != 2 or 0 in codes.shape:
        raise ctx.error(node, f"the weights have shape {codes.shape}", "they need two axes")
    if not transposed:
        codes, scale = codes.T, scale.T
    rows = channel_scale(ctx, node, scale)
    given = x
    if codes.shape[1] == x.shape[-1]:  # else Dense refuses it by name
        x, codes, rows = fold_input_scales(ctx, node, x, codes, rows)
    return x, Dense(codes, rows, weight_limits(weights, x is given))


@handles("BatchNormalization")
def batch_normalization(ctx: Context, node: NodeProto) -> None:
    """Evaluation mode; one set of parameters per channel (the first axis after the batch)."""
    attrs = attributes(ctx, node, epsilon=1e-5, momentum=0.9, training_mode=0, spatial=1, is_test=1)
    if attrs["training_mode"] or len([o for o in node.output if o]) > 1:
        raise ctx.error(
            node, "batch norm is in training mode", "call model.eval() before the export"
        )
    x = ctx.tensor(node, 0)
    if not x.rank:
        raise ctx.error(node, "its input has no channels", "the input is (batch, channels, ...)")
    if x.axes[0] != x.rank - 1:
        x = to_axes(ctx, node, x, channels_last(x.rank))
    names = ("scale", "bias", "mean", "variance")
    arrays = [float_constant(ctx, node, i + 1, f"the {n}") for i, n in enumerate(names)]
    gamma, beta, mean, var = arrays
    op = BatchNorm(gamma, beta, mean, var, float(str(attrs["epsilon"])))
    ctx.emit(node, op, [x.value], tensor=node.output[0], axes=x.axes)


@handles("Relu")
def relu(ctx: Context, node: NodeProto) -> None:
    """``max(x, 0)``."""
    attributes(ctx, node)
    ctx.emit(node, Relu(), [ctx.value(node, 0)], tensor=node.output[0])


@handles("ArgMax")
def argmax(ctx: Context, node: NodeProto) -> None:
    """Over one axis (not the batch), the first index on ties."""
    attrs = attributes(ctx, node, axis=0, keepdims=1, select_last_index=0)
    x = ctx.tensor(node, 0)
    axis = int(str(attrs["axis"]))
    axis += x.rank + 1 if axis < 0 else 0
    if not 1 <= axis <= x.rank:
        raise ctx.error(
            node, f"attribute 'axis' is {attrs['axis']}", "ArgMax over the last axis: axis=-1"
        )
    if attrs["select_last_index"]:
        raise ctx.error(
            node, "attribute 'select_last_index' is 1", "the first index wins ties: use 0"
        )
    if x.axes[axis - 1] != x.rank - 1:
        others = [a for a in range(x.rank) if a != axis - 1]
        order = [*others, axis - 1]
        x = to_axes(ctx, node, x, tuple(order.index(a) for a in range(x.rank)))
    keep = bool(attrs["keepdims"])
    axes = x.axes if keep else tuple(a for i, a in enumerate(x.axes) if i != axis - 1)
    ctx.emit(node, ArgMax(keep), [x.value], tensor=node.output[0], axes=axes)
