"""Softmax: on the host at the end of a network, in the circuit before a quantizer."""

from __future__ import annotations

from onnx import NodeProto

from codesign.frontend.context import Context, attributes, handles
from codesign.frontend.layout import to_axes
from codesign.ops.softmax import Softmax

#: Operators that may follow a Softmax: they stay on the host with it.
_HOST = frozenset({"ArgMax", "Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast"})


@handles("Softmax", "LogSoftmax")
def softmax(ctx: Context, node: NodeProto) -> None:
    """At the end of the network along one axis; Softmax also inside, followed by a quantizer."""
    attrs = attributes(ctx, node, axis=-1 if ctx.opset >= 13 else 1)
    x = ctx.tensor(node, 0)
    axis = int(str(attrs["axis"]))
    axis += x.rank + 1 if axis < 0 else 0
    if not 1 <= axis <= x.rank:
        raise ctx.error(node, f"attribute 'axis' is {attrs['axis']}", "normalise over the classes")
    if ctx.opset < 13 and axis != x.rank:
        raise ctx.error(
            node,
            f"attribute 'axis' is {attrs['axis']}: before opset 13 it normalises over every axis "
            "from there on",
            "convert it with onnx.version_converter.convert_version(model, 13)",
        )
    inside = _inside(ctx, node)
    if inside and node.op_type == "LogSoftmax":
        raise ctx.error(
            node,
            f"it is not at the end of the network: '{inside}' follows",
            "a LogSoftmax inside the network is not supported; Softmax is, before a quantizer",
        )
    if inside and x.axes[axis - 1] != x.rank - 1:
        order = [*(a for a in range(x.rank) if a != axis - 1), axis - 1]
        x = to_axes(ctx, node, x, tuple(order.index(a) for a in range(x.rank)))
    op = Softmax(x.axes[axis - 1], node.op_type == "LogSoftmax")
    ctx.emit(node, op, [x.value], tensor=node.output[0], axes=x.axes)


def _inside(ctx: Context, node: NodeProto) -> str:
    """An operator behind ``node`` that does not stay on the host with it, or nothing."""
    names = [node.output[0]]
    for name in names:  # grows while we walk it
        for reader in ctx.readers(name):
            if reader.op_type not in _HOST:
                return reader.op_type
            names += reader.output
    return ""
