"""TopK: the indices of the best elements."""

from __future__ import annotations

from onnx import NodeProto

from codesign.frontend.context import Context, attributes, handles
from codesign.frontend.layout import to_axes
from codesign.ops.topk import TopK


@handles("TopK")
def topk(ctx: Context, node: NodeProto) -> None:
    """Indices along one axis (not the batch), best first, the lower index first on ties."""
    attrs = attributes(ctx, node, axis=-1, largest=1, sorted=1)
    constant = ctx.constant(node, 1)
    if constant is None or constant.array.size != 1:
        raise ctx.error(node, "its k is computed", "make k a constant")
    x = ctx.tensor(node, 0)
    axis = int(str(attrs["axis"]))
    axis += x.rank + 1 if axis < 0 else 0
    if not 1 <= axis <= x.rank:
        raise ctx.error(node, f"attribute 'axis' is {attrs['axis']}", "TopK over the last axis")
    values = node.output[0]
    given = {output.name for output in ctx.model.graph.output}
    if values and (ctx.readers(values) or values in given):
        raise ctx.error(node, "its values are read, not only its indices", "use the indices")
    if len(node.output) < 2 or not node.output[1]:
        raise ctx.error(node, "its indices are not named", "export again")
    if x.axes[axis - 1] != x.rank - 1:
        others = [a for a in range(x.rank) if a != axis - 1]
        order = [*others, axis - 1]
        x = to_axes(ctx, node, x, tuple(order.index(a) for a in range(x.rank)))
    op = TopK(int(constant.array.reshape(-1)[0]), bool(attrs["largest"]))
    ctx.emit(node, op, [x.value], tensor=node.output[1], axes=x.axes)
