"""Views: operators that rename, reshape or transpose."""

from __future__ import annotations

import itertools
import math

import numpy as np
from onnx import NodeProto, TensorProto

from codesign.frontend.context import Context, attributes, handles
from codesign.frontend.layout import Axes, Tensor, channels_last, identity, inverse, move


@handles("Identity", "Dropout")
def same(ctx: Context, node: NodeProto) -> None:
    """The same value under another name (Dropout does nothing in evaluation mode)."""
    attributes(ctx, node, ratio=0.5, seed=0)
    training = ctx.constant(node, 2)
    if len(node.input) > 2 and node.input[2] and (training is None or training.array.any()):
        raise ctx.error(node, "dropout is in training mode", "call model.eval() before the export")
    ctx.alias(node, ctx.value(node, 0))


@handles("Cast")
def cast(ctx: Context, node: NodeProto) -> None:
    """Only to float32, which a computed value is already."""
    attrs = attributes(ctx, node, to=None, saturate=1, round_mode="up")
    if attrs["to"] != TensorProto.FLOAT:
        kinds = TensorProto.DataType
        name = kinds.Name(attrs["to"]) if attrs["to"] in kinds.values() else attrs["to"]
        raise ctx.error(node, f"it casts a computed value to {name}", "only float32 is supported")
    ctx.alias(node, ctx.value(node, 0))


@handles("Flatten")
def flatten(ctx: Context, node: NodeProto) -> None:
    """``Flatten(axis=1)``."""
    attrs = attributes(ctx, node, axis=1)
    x = ctx.tensor(node, 0)
    if attrs["axis"] not in (1, -x.rank):
        raise ctx.error(node, f"attribute 'axis' is {attrs['axis']}", "keep the batch axis: axis=1")
    _view(ctx, node, x, (x.value.elements,))


@handles("Reshape")
def reshape(ctx: Context, node: NodeProto) -> None:
    """A constant target shape that keeps the batch axis first."""
    attrs = attributes(ctx, node, allowzero=0)
    x = ctx.tensor(node, 0)
    const = ctx.constant(node, 1)
    if const is None:
        raise ctx.error(node, "the target shape is not a constant", "reshape to a fixed shape")
    full = (ctx.batch, *x.shape)
    target = [int(d) for d in const.array.ravel()]
    if attrs["allowzero"] and 0 in target:
        raise ctx.error(node, "it reshapes to an axis of size zero", "use allowzero=0")
    target = [full[i] if d == 0 and i < len(full) else d for i, d in enumerate(target)]
    rest = math.prod(d for d in target if d != -1)
    if target.count(-1) == 1 and rest > 0 and math.prod(full) % rest == 0:
        target = [math.prod(full) // rest if d == -1 else d for d in target]
    if math.prod(target) != math.prod(full) or min(target, default=0) < 1:
        raise ctx.error(
            node, f"it reshapes {full} to {tuple(const.array.tolist())}", "sizes must agree"
        )
    if target[0] != ctx.batch or len(target) < 2:
        raise ctx.error(
            node,
            f"it reshapes {full} to {tuple(target)}, across the batch axis",
            "keep the batch axis first, e.g. x.flatten(1)",
        )
    _view(ctx, node, x, tuple(target[1:]))


@handles("Squeeze", "Unsqueeze")
def squeeze(ctx: Context, node: NodeProto) -> None:
    """Axes of size one come and go; the batch axis stays."""
    attrs = attributes(ctx, node, axes=None)
    x = ctx.tensor(node, 0)
    const = ctx.constant(node, 1)
    given = const.array.ravel().tolist() if const is not None else attrs["axes"]
    if not isinstance(given, list):
        raise ctx.error(node, "it names no axes", "name the axes: without them the batch goes too")
    axes = [int(axis) for axis in given]
    rank = x.rank + 1 + (len(axes) if node.op_type == "Unsqueeze" else 0)
    wanted = sorted(axis + rank if axis < 0 else axis for axis in axes)
    if any(not 1 <= axis < rank for axis in wanted) or len(set(wanted)) != len(wanted):
        raise ctx.error(node, f"axes {axes} touch the batch axis", "keep the batch axis first")
    shape = [ctx.batch, *x.shape]
    for axis in wanted if node.op_type == "Unsqueeze" else reversed(wanted):
        if node.op_type == "Unsqueeze":
            shape.insert(axis, 1)
        elif shape.pop(axis) != 1:
            raise ctx.error(node, f"axis {axis} does not have size 1", "use Reshape")
    _view(ctx, node, x, tuple(shape[1:]))


@handles("Transpose")
def transpose(ctx: Context, node: NodeProto) -> None:
    """Other axes of the same value: nothing moves until an operator minds."""
    attrs = attributes(ctx, node, perm=None)
    x = ctx.tensor(node, 0)
    given = attrs["perm"]
    perm = [int(p) for p in given] if isinstance(given, list) else [*range(x.rank, -1, -1)]
    if sorted(perm) != list(range(x.rank + 1)):
        raise ctx.error(
            node, f"perm {perm} is no permutation of {x.rank + 1} axes", "export the model again"
        )
    if perm[0] != 0:
        hint = (
            "export with a batch of one, which may be moved"
            if ctx.batch > 1
            else "keep the batch axis first: something behind it has no rule for another place "
            "(codesign/frontend/stack_frames.py has those there are)"
        )
        raise ctx.error(node, f"it moves the batch axis (perm {perm})", hint)
    ctx.alias(node, x.value, tuple(x.axes[p - 1] for p in perm[1:]))


def _view(ctx: Context, node: NodeProto, x: Tensor, shape: tuple[int, ...]) -> None:
    """``x`` in another ``shape``, in whatever layout keeps its elements where they are; moved
    into the file's order where there is none."""
    order = x.positions().reshape(shape)
    straight = np.arange(order.size)
    axes = identity(len(shape))
    for choice in _layouts(x, len(shape)):
        if (order.transpose(inverse(choice)).ravel() == straight).all():
            axes = choice
            break
    index = order.transpose(inverse(axes))
    value = move(ctx, node, x.value, index, axes=axes, tensor=node.output[0])
    ctx.alias(node, value, axes)


def _layouts(x: Tensor, rank: int) -> list[Axes]:
    """Layouts to try for a view of ``x``: the likely ones, then every one of a few axes."""
    likely = [identity(rank)]
    if x.axes != identity(x.rank) and rank:
        likely.insert(0, channels_last(rank))
    rest = itertools.permutations(range(rank)) if 2 < rank <= 4 else ()
    return [*likely, *(p for p in rest if p not in likely)]
