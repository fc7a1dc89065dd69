"""Operators of several values: arithmetic of two tensors or a constant, and Concat."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from codesign.formats import ScaledInt
from codesign.frontend.context import Context, attributes, handles
from codesign.frontend.handlers.elementwise import bounded
from codesign.frontend.handlers.integer import integer_bias
from codesign.frontend.layout import (
    Tensor,
    channels_last,
    fit_constant,
    inverse,
    move,
    to_axes,
)
from codesign.frontend.weights import float_constant
from codesign.frontend.window import MAX_ELEMENTS
from codesign.ir import Elementwise
from codesign.ops.add import Add, Sub
from codesign.ops.clip import Clip
from codesign.ops.combine import Combine
from codesign.ops.concat import Concat
from codesign.ops.mul import Div, Mul

_FUNCTIONS = {
    "Add": "add",
    "Sum": "add",
    "Mean": "add",
    "Sub": "sub",
    "Mul": "mul",
    "Div": "div",
    "Min": "min",
    "Max": "max",
}


@handles("Add", "Sub", "Mul", "Div")
def arithmetic(ctx: Context, node: NodeProto) -> None:
    """Two computed values, or a computed value and a constant in either order."""
    attributes(ctx, node)
    if len(node.input) != 2:
        raise ctx.error(node, f"{node.op_type} has {len(node.input)} inputs", "it needs two")
    left = ctx.constant(node, 0) is not None
    if not left and ctx.constant(node, 1) is None:
        op = Combine(_FUNCTIONS[node.op_type])
        combine(ctx, node, ctx.tensor(node, 0), ctx.tensor(node, 1), op, node.output[0])
        return
    x = ctx.tensor(node, 1 if left else 0)
    array = _integer_bias(ctx, node, x, 0 if left else 1)
    if array is None:
        array = float_constant(ctx, node, 0 if left else 1, "the constant")
    x = expanded(ctx, node, x, array)
    step = _with_constant(ctx, node, fit_constant(ctx, node, array, x, "constant"), left)
    ctx.emit(node, step, [x.value], tensor=node.output[0], axes=x.axes)


def _integer_bias(ctx: Context, node: NodeProto, x: Tensor, index: int) -> np.ndarray | None:
    """An int32 constant that is added to the int32 sums of MatMulInteger or ConvInteger."""
    const = ctx.constant(node, index)
    sums = isinstance(x.value.format, ScaledInt) and x.value.format.scale == (1.0,)
    if const is None or const.array.dtype != np.int32 or not sums or node.op_type != "Add":
        return None
    return integer_bias(ctx, node, x.value, const.array.astype(np.int64))


def _with_constant(ctx: Context, node: NodeProto, value: np.ndarray, left: bool) -> Elementwise:
    if node.op_type == "Add":
        return Add(value)
    if node.op_type == "Sub":
        return Sub(value, reverse=left)
    if node.op_type == "Mul":
        return Mul(value)
    if left:
        return Div(value, reverse=True)
    if not value.all():
        raise ctx.error(node, "it divides by zero", "remove the zeros from the divisor")
    return Div(value)


def expanded(ctx: Context, node: NodeProto, x: Tensor, array: np.ndarray) -> Tensor:
    """``x`` repeated where the constant ``array`` has more elements along an axis of size 1."""
    full = (ctx.batch, *x.shape)
    try:
        shape = np.broadcast_shapes(full, array.shape)
    except ValueError:
        return x  # fit_constant refuses it by name
    if shape[0] != ctx.batch or len(shape) != len(full) or shape == full:
        return x
    return expand(ctx, node, x, shape[1:], x.axes)


def expand(
    ctx: Context, node: NodeProto, x: Tensor, shape: tuple[int, ...], axes: tuple[int, ...]
) -> Tensor:
    """``x`` broadcast to ``shape`` (of the file, without batch), lying as ``axes`` say."""
    if int(np.prod(shape, dtype=np.float64)) > MAX_ELEMENTS:
        raise ctx.error(node, f"its result {shape} is too large for a circuit")
    index = np.broadcast_to(x.positions(), shape).transpose(inverse(axes))
    return Tensor(move(ctx, node, x.value, index, axes=axes), axes)


def combine(
    ctx: Context, node: NodeProto, a: Tensor, b: Tensor, op: Combine, tensor: str = ""
) -> Tensor:
    """``op`` of both, after they were brought to one shape and layout."""
    a, b = broadcast(ctx, node, [a, b])
    return Tensor(ctx.emit(node, op, [a.value, b.value], tensor=tensor, axes=a.axes), a.axes)


def broadcast(ctx: Context, node: NodeProto, tensors: list[Tensor]) -> list[Tensor]:
    """``tensors`` in one shape and layout."""
    ranks = sorted({t.rank for t in tensors}, reverse=True)
    if len(ranks) > 1:
        # numpy aligns trailing axes: the batch of the lower rank would meet another axis.
        raise ctx.error(
            node,
            f"it combines tensors of {ranks[0] + 1} and {ranks[1] + 1} axes, so that the batch "
            "meets another axis",
            "unsqueeze one of them first",
        )
    try:
        shape = np.broadcast_shapes(*(t.shape for t in tensors))
    except ValueError:
        shapes = " and ".join(str((ctx.batch, *t.shape)) for t in tensors)
        raise ctx.error(node, f"the shapes {shapes} do not fit", "export again") from None
    axes = _common_axes(*tensors)
    return [expand(ctx, node, t, shape, axes) for t in tensors]


def _common_axes(*tensors: Tensor) -> tuple[int, ...]:
    """The layout most elements have already; channels last where they are equal."""
    if len({t.axes for t in tensors}) == 1:
        return tensors[0].axes
    largest = max(t.value.elements for t in tensors)
    choices = [t.axes for t in tensors if t.value.elements == largest]
    preferred = channels_last(tensors[0].rank)
    return preferred if preferred in choices else choices[0]


@handles("Min", "Max", "Sum", "Mean")
def variadic(ctx: Context, node: NodeProto) -> None:
    """Two or more computed values, combined from the left."""
    attributes(ctx, node)
    constants = [i for i in range(len(node.input)) if ctx.constant(node, i) is not None]
    if constants and node.op_type in ("Min", "Max"):
        bounded(ctx, node)
        return
    if len(node.input) == 1:
        ctx.alias(node, ctx.value(node, 0))
        return
    count = len(node.input)
    order = [*range(count)]
    if 0 in constants:  # the first two may change places, addition does not mind
        if 1 in constants:
            raise ctx.error(node, "its first inputs are constants", "put the computed value first")
        order[:2] = [1, 0]
    total = ctx.tensor(node, order[0])
    for place, index in enumerate(order[1:], 2):
        name = node.output[0] if place == count and node.op_type != "Mean" else ""
        total = _added(ctx, node, total, index, name)
    if node.op_type == "Mean":
        op = Div(np.array([count], dtype=np.float32))
        ctx.emit(node, op, [total.value], tensor=node.output[0], suffix="mean", axes=total.axes)


def _added(ctx: Context, node: NodeProto, total: Tensor, index: int, tensor: str) -> Tensor:
    """``total`` combined with input ``index``, computed or constant."""
    if ctx.constant(node, index) is None:
        op = Combine(_FUNCTIONS[node.op_type])
        return combine(ctx, node, total, ctx.tensor(node, index), op, tensor)
    array = float_constant(ctx, node, index, "the constant")
    total = expanded(ctx, node, total, array)
    step = Add(fit_constant(ctx, node, array, total, "constant"))
    return Tensor(ctx.emit(node, step, [total.value], tensor=tensor, axes=total.axes), total.axes)


@handles("Concat")
def concat(ctx: Context, node: NodeProto) -> None:
    """Computed values and constants along any axis but the batch."""
    attrs = attributes(ctx, node, axis=None)
    places = range(len(node.input))
    like = next(ctx.tensor(node, i) for i in places if ctx.constant(node, i) is None)
    tensors = [
        ctx.tensor(node, i) if ctx.constant(node, i) is None else _part(ctx, node, i, like)
        for i in places
    ]
    joined(ctx, node, tensors, attrs["axis"], True)


def _part(ctx: Context, node: NodeProto, index: int, like: Tensor) -> Tensor:
    """The constant input as a value that lies as ``like`` does: zeros, limited to its numbers."""
    array = float_constant(ctx, node, index, "a part")
    if array.ndim != like.rank + 1 or not array.size or (array != array[:1]).any():
        raise ctx.error(
            node, f"it joins a constant of shape {array.shape}", "(batch, ...), each frame the same"
        )
    part = array[0].transpose(inverse(like.axes))
    zeros = move(ctx, node, like.value, np.full(part.shape, -1), axes=like.axes)
    op = Clip(part, part)
    return Tensor(ctx.emit(node, op, [zeros], suffix="constant", axes=like.axes), like.axes)


def joined(
    ctx: Context, node: NodeProto, tensors: list[Tensor], axis: object, named: bool = False
) -> Tensor:
    """``tensors`` side by side along the file's ``axis``; ``named``: that is the node's output."""
    rank, given = tensors[0].rank, axis
    if not isinstance(axis, int) or any(t.rank != rank for t in tensors):
        shapes = ", ".join(str(t.shape) for t in tensors)
        raise ctx.error(node, f"it joins shapes {shapes} along axis {axis}", "ranks must agree")
    axis += rank + 1 if axis < 0 else 0
    if not 1 <= axis <= rank:
        raise ctx.error(node, f"attribute 'axis' is {given}", "the batch cannot be joined")
    if len(tensors) == 1:
        if named:
            ctx.alias(node, tensors[0].value)
        return tensors[0]
    if len({(*t.shape[: axis - 1], *t.shape[axis:]) for t in tensors}) > 1:
        shapes = ", ".join(str(t.shape) for t in tensors)
        hint = "all other axes must agree: export the model again"
        raise ctx.error(node, f"it joins shapes {shapes} along axis {axis}", hint)
    axes = _common_axes(*tensors)
    values = [to_axes(ctx, node, t, axes).value for t in tensors]
    name = node.output[0] if named else ""
    return Tensor(ctx.emit(node, Concat(axes[axis - 1]), values, tensor=name, axes=axes), axes)
