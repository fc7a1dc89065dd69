"""Which way the network input should lie: channels last where channels-first operators read it."""

from __future__ import annotations

from codesign.frontend.context import Context
from codesign.frontend.layout import Axes, Tensor, channels_last, identity, move

#: Operators that have channels first in the file.
_CHANNELS_FIRST = frozenset(
    {"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "MaxPool", "AveragePool"}
    | {"GlobalAveragePool", "GlobalMaxPool", "BatchNormalization", "DepthToSpace", "SpaceToDepth"}
)
#: Operators that leave every axis where it is.
_ALONG = frozenset(
    {"Quant", "BipolarQuant", "FloatQuant", "Trunc", "MultiThreshold", "QuantizeLinear"}
    | {"DequantizeLinear", "Add", "Sub", "Mul", "Div", "Min", "Max", "Relu", "LeakyRelu", "PRelu"}
    | {"Clip", "Sigmoid", "Tanh", "HardSigmoid", "Cast", "Identity", "Dropout", "Pad", "Slice"}
    | {"Resize", "Upsample", "Concat", "Split"}
)


def orient_input(ctx: Context) -> None:
    """Put one Rearrange behind the network input, on the host, if the network wants its channels
    last: everything after it is then channels-last already."""
    port = ctx.model.graph.input[0].name
    readers, axes = ctx.readers(port), wanted_axes(ctx, port, ctx.tensors[port].rank)
    if not readers or axes is None or axes == identity(len(axes)):
        return
    x = ctx.tensors[port]
    index = x.positions().transpose([axes.index(a) for a in range(x.rank)])
    value = move(ctx, readers[0], x.value, index, axes=axes)
    ctx.tensors[port] = Tensor(value, axes)


def wanted_axes(ctx: Context, port: str, rank: int) -> Axes | None:
    """Layout of the input ``port`` (``rank`` axes without batch) in which its first channels-first
    reader finds channels last; None if there is no such reader."""
    seen = {port}
    queue: list[tuple[str, Axes]] = [(port, identity(rank))]
    for name, perm in queue:  # grows while we walk it
        for node in ctx.readers(name):
            if node.op_type in _CHANNELS_FIRST and node.input[0] == name and rank > 1:
                last = channels_last(rank)
                return tuple(last[perm.index(a)] for a in range(rank))
            if node.op_type == "Transpose":
                given = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
                order = given or [*range(rank, -1, -1)]
                if sorted(order) != list(range(rank + 1)) or order[0] != 0:
                    continue  # its handler refuses it by name
                following = tuple(perm[a - 1] for a in order[1:])
            elif node.op_type in _ALONG:
                following = perm
            else:
                continue
            for output in node.output:
                if output and output not in seen:
                    seen.add(output)
                    queue.append((output, following))
    return None
