"""Layouts: how an ONNX tensor lies in the IR, and what moves it into another one.

The IR is channels-last. An ONNX tensor without its batch axis is ``value.transpose(axes)`` of an
IR value, so a Transpose node costs nothing; only an operator that needs its axes elsewhere (a
convolution its channels, a Flatten the file's own order) makes a :class:`Rearrange`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import NodeProto

from codesign.ir import Value
from codesign.ops.reshape import Reshape

if TYPE_CHECKING:
    from codesign.frontend.context import Context

Axes = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """A computed ONNX tensor: axis ``i`` of it (batch not counted) is axis ``axes[i]`` of
    ``value``."""

    value: Value
    axes: Axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in the file, without the batch axis."""
        return tuple(self.value.shape[a] for a in self.axes)

    @property
    def rank(self) -> int:
        """Axes without the batch axis."""
        return len(self.axes)

    def positions(self) -> np.ndarray:
        """int64 of :attr:`shape`: which element of ``value`` (flat) each element is."""
        flat = np.arange(self.value.elements, dtype=np.int64)
        return flat.reshape(self.value.shape).transpose(self.axes)


def identity(rank: int) -> Axes:
    """Axes in the file's own order."""
    return tuple(range(rank))


def channels_last(rank: int) -> Axes:
    """Axes of a channels-first tensor (C, spatial...) held as (spatial..., C)."""
    return (rank - 1, *range(rank - 1))


def inverse(axes: Axes) -> Axes:
    """The permutation that undoes ``axes``."""
    return tuple(int(a) for a in np.argsort(axes))


def to_axes(ctx: Context, node: NodeProto, x: Tensor, wanted: Axes) -> Tensor:
    """``x`` with other axes: a view where the elements keep their order, else a Rearrange."""
    if x.axes == wanted:
        return x
    index = x.positions().transpose(inverse(wanted))
    return Tensor(move(ctx, node, x.value, index, axes=wanted), wanted)


def in_file_order(ctx: Context, node: NodeProto, x: Tensor) -> Value:
    """The value whose elements are in the file's own row-major order."""
    return to_axes(ctx, node, x, identity(x.rank)).value


def move(
    ctx: Context,
    node: NodeProto,
    source: Value,
    index: np.ndarray,
    *,
    axes: Axes | None = None,
    fill: float = 0.0,
    tensor: str = "",
) -> Value:
    """The value of shape ``index.shape`` whose elements are ``source``'s at ``index`` (flat; -1
    is ``fill``): ``source`` itself, a Reshape, or a Rearrange. The same move is made once."""
    from codesign.ops.rearrange import Rearrange

    index = np.ascontiguousarray(index, dtype=np.int64)
    key = (source.name, index.shape, fill, index.tobytes())
    if key in ctx.moved:
        found = ctx.moved[key]
    elif index.size == source.elements and (index.ravel() == np.arange(index.size)).all():
        found = source
        if index.shape != source.shape:
            op = Reshape(index.shape)
            found = ctx.emit(node, op, [source], tensor=tensor, suffix="layout", axes=axes)
    else:
        move_op = Rearrange(index, fill)
        found = ctx.emit(node, move_op, [source], tensor=tensor, suffix="layout", axes=axes)
    ctx.moved[key] = found
    return found


def fit_constant(
    ctx: Context, node: NodeProto, array: np.ndarray, x: Tensor, what: str
) -> np.ndarray:
    """A constant of the file as it broadcasts against the trailing axes of ``x.value``: [1], one
    per channel [C], or more axes. Axes along which it does not vary have size 1."""
    error = ctx.error(
        node,
        f"the {what} has shape {array.shape}, the value (batch, {', '.join(map(str, x.shape))})",
        "give one number per tensor, one per channel, or a shape that broadcasts to the value's",
    )
    missing = x.rank + 1 - array.ndim
    if missing < 0 or not array.size:
        raise error
    body = array.reshape((1,) * missing + array.shape)
    if (body == body[:1]).all():
        body = body[:1]
    if len(body) != 1 or any(a not in (1, b) for a, b in zip(body.shape[1:], x.shape, strict=True)):
        raise error
    out: np.ndarray = body[0].transpose(inverse(x.axes))
    for axis in range(out.ndim):
        first = out.take([0], axis)
        out = first if (out == first).all() else out
    while out.ndim > 1 and out.shape[0] == 1:
        out = out[0]
    return np.ascontiguousarray(out.reshape(out.shape or (1,)))


def varying_last(ctx: Context, node: NodeProto, x: Tensor, array: np.ndarray, what: str) -> Tensor:
    """``x`` with the one axis along which constant ``array`` varies last in the IR, where a scale
    per channel belongs. Unchanged when it varies along no axis, or along several."""
    fitted = fit_constant(ctx, node, array, x, what)
    varies = [a - fitted.ndim for a, size in enumerate(fitted.shape) if size > 1]
    if len(varies) != 1 or varies[0] == -1:
        return x
    order = [a for a in range(x.rank) if a != x.rank + varies[0]] + [x.rank + varies[0]]
    return to_axes(ctx, node, x, tuple(order.index(a) for a in x.axes))
