"""Conditions: comparisons, what combines them, and Where. A bool tensor is a mask of 0.0 and 1.0.

Exporters write Softplus, Hardtanh and the like with them.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from codesign.frontend.context import Context, attributes, handles
from codesign.frontend.handlers.join import broadcast, combine, expanded
from codesign.frontend.layout import Tensor, fit_constant
from codesign.frontend.weights import float_constant
from codesign.ops.add import Sub
from codesign.ops.clip import Clip
from codesign.ops.combine import Combine
from codesign.ops.compare import Compare, Select

_FUNCTIONS = {
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "Equal": "equal",
}
#: The same with the operands swapped.
_SWAPPED = {
    "greater": "less",
    "greater_equal": "less_equal",
    "less": "greater",
    "less_equal": "greater_equal",
    "equal": "equal",
}


@handles(*_FUNCTIONS)
def compare(ctx: Context, node: NodeProto) -> None:
    """Two computed values, or one and a float32 constant in either order."""
    attributes(ctx, node)
    function, out = _FUNCTIONS[node.op_type], node.output[0]
    known = [i for i in (0, 1) if ctx.constant(node, i) is not None]
    if not known:
        combine(ctx, node, ctx.tensor(node, 0), ctx.tensor(node, 1), Combine(function), out)
        return
    (at,) = known
    array = float_constant(ctx, node, at, "what it compares with")
    x = expanded(ctx, node, ctx.tensor(node, 1 - at), array)
    value = fit_constant(ctx, node, array, x, "constant")
    op = Compare(function if at == 1 else _SWAPPED[function], value)
    ctx.emit(node, op, [x.value], tensor=out, axes=x.axes)


@handles("Not")
def inverted(ctx: Context, node: NodeProto) -> None:
    """``1 - mask``."""
    attributes(ctx, node)
    x = ctx.tensor(node, 0)
    op = Sub(np.ones(1, dtype=np.float32), reverse=True)
    ctx.emit(node, op, [x.value], tensor=node.output[0], axes=x.axes)


@handles("And", "Or")
def both(ctx: Context, node: NodeProto) -> None:
    """The smaller or the larger of two computed masks."""
    attributes(ctx, node)
    op = Combine("mul" if node.op_type == "And" else "max")
    combine(ctx, node, ctx.tensor(node, 0), ctx.tensor(node, 1), op, node.output[0])


@handles("Where")
def where(ctx: Context, node: NodeProto) -> None:
    """``Where(mask, a, b)`` of a computed mask; ``a`` and ``b`` computed or constant."""
    attributes(ctx, node)
    if ctx.constant(node, 0) is not None:
        raise ctx.error(
            node, "its condition is a constant", "multiply by a mask, or pick elements by Gather"
        )
    mask = ctx.tensor(node, 0)
    constants = [ctx.constant(node, i) for i in (1, 2)]
    for const in constants:
        mask = mask if const is None else expanded(ctx, node, mask, const.array)
    tensors = [mask]
    for index, const in enumerate(constants, 1):
        tensors.append(
            ctx.tensor(node, index) if const is None else _constant(ctx, node, index, mask)
        )
    tensors = broadcast(ctx, node, tensors)
    values = [t.value for t in tensors]
    ctx.emit(node, Select(), values, tensor=node.output[0], axes=tensors[0].axes)


def _constant(ctx: Context, node: NodeProto, index: int, mask: Tensor) -> Tensor:
    """The constant input as a value: whatever the mask is, limited to that number."""
    array = float_constant(ctx, node, index, "what it selects")
    value = fit_constant(ctx, node, array, mask, "constant")
    op = Clip(value, value)
    return Tensor(ctx.emit(node, op, [mask.value], suffix="value", axes=mask.axes), mask.axes)
