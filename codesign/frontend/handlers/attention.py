"""Products of two computed values, as attention has them."""

from __future__ import annotations

from onnx import NodeProto

from codesign.frontend.coded import coded
from codesign.frontend.context import Context
from codesign.frontend.layout import Axes, Tensor, identity, to_axes
from codesign.ops.dynamic_matmul import DynamicMatMul


def product_of_values(ctx: Context, node: NodeProto) -> None:
    """``left`` (batch, ..., M, K) times ``right`` (batch, ..., K, N). Where the right one's K lies
    last in the IR already, as in ``Q @ K^T``, it is used as it is."""
    left, right = ctx.tensor(node, 0), ctx.tensor(node, 1)
    shapes = f"it multiplies two computed values of shapes {left.shape} and {right.shape}"
    if left.rank < 2 or right.rank < 2 or left.shape[:-2] != right.shape[:-2]:
        raise ctx.error(
            node,
            f"{shapes} (batch not counted)",
            "products of matrices (batch, ..., M, K) and (batch, ..., K, N) with the same leading "
            "axes are supported: expand or unsqueeze the smaller value first",
        )
    if left.shape[-1] != right.shape[-2]:
        raise ctx.error(node, shapes, "their inner sizes differ: export the model again")
    plain = identity(left.rank)
    swapped = (*plain[:-2], plain[-1], plain[-2])
    left = to_axes(ctx, node, left, plain)
    transposed = _nearer(right, swapped, plain)
    right = to_axes(ctx, node, right, swapped if transposed else plain)
    left, right = (coded(ctx, node, t, "a product of two computed values") for t in (left, right))
    op = DynamicMatMul(left.value.shape, right.value.shape, transposed)
    ctx.emit(node, op, [left.value, right.value], tensor=node.output[0], axes=plain)


def _nearer(x: Tensor, first: Axes, second: Axes) -> bool:
    """Whether axes ``first`` suit ``x`` better: no move at all, else longer runs stay whole."""
    if second == x.axes:
        return False
    return first == x.axes or first.index(x.rank - 1) == x.axes.index(x.rank - 1)
