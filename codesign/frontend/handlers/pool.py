"""Pooling and reductions: windows of MaxPool and SumPool, divided where a mean is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from onnx import NodeProto

from codesign.frontend.coded import coded
from codesign.frontend.context import Context, attributes, handles
from codesign.frontend.first_spike import first_spike
from codesign.frontend.layout import Tensor, channels_last, to_axes
from codesign.frontend.window import integers, spatial_rank, window
from codesign.ir import Op, Value
from codesign.ops.max_pool import MaxPool
from codesign.ops.mul import Div
from codesign.ops.reshape import Reshape
from codesign.ops.sum_pool import SumPool

WINDOW: dict[str, object] = {
    "auto_pad": "NOTSET",
    "ceil_mode": 0,
    "dilations": None,
    "kernel_shape": None,
    "pads": None,
    "strides": None,
}


@handles("MaxPool")
def max_pool(ctx: Context, node: NodeProto) -> None:
    """The largest value of each window; padding never wins."""
    attrs = attributes(ctx, node, storage_order=0, **WINDOW)
    if len([o for o in node.output if o]) > 1:
        raise ctx.error(node, "its indices are used", "only the values of MaxPool are supported")
    x = ctx.tensor(node, 0)
    view = window(ctx, node, attrs, x.shape[1:], _kernel(ctx, node, attrs, x))
    x = to_axes(ctx, node, x, channels_last(x.rank))
    op = MaxPool(view.kernel, view.strides, view.dilations, view.pads)
    ctx.emit(node, op, [x.value], tensor=node.output[0], axes=x.axes)


@handles("AveragePool")
def average_pool(ctx: Context, node: NodeProto) -> None:
    """The exact sum of each window, divided once by how many of its taps count."""
    attrs = attributes(ctx, node, count_include_pad=0, **WINDOW)
    x, pads = ctx.unpadded(node, 0)
    averaged(ctx, node, attrs, x, pads, node.output[0])


def averaged(
    ctx: Context,
    node: NodeProto,
    attrs: dict[str, object],
    x: Tensor,
    pads: tuple[int, ...],
    tensor: str,
) -> Tensor:
    """The mean of each window of ``x``, after zeros ``pads`` that count; ``tensor``: its name."""
    view = window(ctx, node, attrs, x.shape[1:], _kernel(ctx, node, attrs, x), pads)
    x = to_axes(ctx, node, x, channels_last(x.rank))
    x = coded(ctx, node, x, "an average")
    include = bool(attrs["count_include_pad"]) or bool(pads)
    rows, columns = (a.counts(include_pad=include) for a in (view.y, view.x))
    counts = np.outer(rows, columns)
    if not counts.all():
        raise ctx.error(node, "a window lies in the padding entirely", "use smaller pads")
    op = SumPool(view.kernel, view.strides, view.dilations, view.pads)
    divisor = counts[..., None] if x.rank == 3 else counts[0][:, None]
    return _divided(ctx, node, x, op, divisor.astype(np.float32), tensor)


def _kernel(ctx: Context, node: NodeProto, attrs: dict[str, object], x: Tensor) -> tuple[int, ...]:
    rank = spatial_rank(ctx, node, x.shape)
    if attrs["kernel_shape"] is None:
        raise ctx.error(node, "attribute 'kernel_shape' is missing", "export the model again")
    return tuple(integers(ctx, node, "kernel_shape", attrs["kernel_shape"], rank, 1, 1))


def _divided(
    ctx: Context, node: NodeProto, x: Tensor, op: Op, divisor: np.ndarray, out: str
) -> Tensor:
    """``op`` on ``x``, then one float32 division, unless it divides by one."""
    if (divisor == divisor.ravel()[0]).all():
        divisor = divisor.ravel()[:1]
    whole = bool((divisor == 1).all())
    value = ctx.emit(node, op, [x.value], tensor=out if whole else "", axes=x.axes)
    if not whole:
        value = ctx.emit(node, Div(divisor), [value], tensor=out, suffix="mean", axes=x.axes)
    return Tensor(value, x.axes)


@handles("GlobalAveragePool", "GlobalMaxPool")
def global_pool(ctx: Context, node: NodeProto) -> None:
    """One number per channel; the spatial axes stay with size 1."""
    attributes(ctx, node)
    x = ctx.tensor(node, 0)
    if x.rank < 2:
        raise ctx.error(node, "its input has no spatial axes", "the input is (batch, C, L...)")
    function = "max" if node.op_type == "GlobalMaxPool" else "mean"
    _reduce(ctx, node, x, set(range(1, x.rank)), function, keep=True)


@handles("ReduceMean", "ReduceSum", "ReduceMax")
def reduce(ctx: Context, node: NodeProto) -> None:
    """Over any axes but the batch; of spikes times T, T - 1, ..., 1 over time: the first spike."""
    attrs = attributes(ctx, node, axes=None, keepdims=1, noop_with_empty_axes=0)
    x = ctx.tensor(node, 0)
    const = ctx.constant(node, 1)
    given: object = const.array.ravel().tolist() if const is not None else attrs["axes"]
    if given in (None, []) and attrs["noop_with_empty_axes"]:
        ctx.alias(node, x.value)
        return
    if not isinstance(given, list) or not given:
        raise ctx.error(node, "it reduces over every axis, the batch too", "name the axes")
    full = x.rank + 1
    if any(not isinstance(a, int) for a in given) or len({a % full for a in given}) < len(given):
        raise ctx.error(node, f"it reduces over axes {given}", "name each axis once, by number")
    axes = {int(a) + full if int(a) < 0 else int(a) for a in given}
    if not all(1 <= a < full for a in axes):
        raise ctx.error(node, f"it reduces over axes {given}", "axis 0 is the batch: leave it out")
    function = node.op_type.removeprefix("Reduce").lower()
    _reduce(ctx, node, x, {a - 1 for a in axes}, function, keep=bool(attrs["keepdims"]))


def _reduce(
    ctx: Context, node: NodeProto, x: Tensor, axes: set[int], function: str, *, keep: bool
) -> None:
    """Reduce the file's ``axes`` (batch not counted); the result is the node's output."""
    count = math.prod(x.shape[a] for a in axes)
    out = reduced(ctx, node, x, axes, function, keep=keep)
    if function == "mean" and count > 1:
        divisor = Div(np.array([count], dtype=np.float32))
        name = node.output[0]
        ctx.emit(node, divisor, [out.value], tensor=name, suffix="mean", axes=out.axes)
    else:
        ctx.alias(node, out.value, out.axes)


def reduced(
    ctx: Context, node: NodeProto, x: Tensor, axes: set[int], function: str, *, keep: bool
) -> Tensor:
    """Sums or maxima over the file's ``axes`` (batch not counted). Each run of neighbouring IR
    axes is one window as long as itself: elements keep their order, nothing is moved."""
    if function != "max":
        x = coded(ctx, node, x, "a mean" if function == "mean" else "a sum")
    gone = {x.axes[a] for a in axes}
    left = [a for a in range(x.rank) if keep or a not in gone]
    shape = tuple(1 if a in gone else x.value.shape[a] for a in left)
    renumber = {a: i for i, a in enumerate(left)}
    out = tuple(renumber[a] for a in x.axes if a in renumber)
    early = first_spike(ctx, node, x, axes) if function == "max" else None
    if early is not None:
        return Tensor(_viewed(ctx, node, early, shape), out)
    sizes = list(x.value.shape)
    make: Callable[..., Op] = MaxPool if function == "max" else SumPool
    value = x.value
    for low, high in _runs(sorted(gone)):
        before, after = math.prod(sizes[:low]), math.prod(sizes[high:])
        length = math.prod(sizes[low:high])
        if length > 1:
            view = (before, length, after) if before > 1 else (length, after)
            value = _viewed(ctx, node, value, view)
            op = make((1, length), (1, length), (1, 1), (0, 0, 0, 0))
            value = ctx.emit(node, op, [value], suffix=function if value != x.value else "")
        sizes[low:high] = [1] * (high - low)
    return Tensor(_viewed(ctx, node, value, shape), out)


def _runs(axes: list[int]) -> list[tuple[int, int]]:
    """Runs of neighbours as half-open ranges."""
    runs: list[tuple[int, int]] = []
    for axis in axes:
        if runs and runs[-1][1] == axis:
            runs[-1] = (runs[-1][0], axis + 1)
        else:
            runs.append((axis, axis + 1))
    return runs


def _viewed(ctx: Context, node: NodeProto, value: Value, shape: tuple[int, ...]) -> Value:
    if value.shape == shape:
        return value
    return ctx.emit(node, Reshape(shape), [value], suffix="view")
