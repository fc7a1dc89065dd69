"""Layer normalisation."""

from __future__ import annotations

from onnx import NodeProto

from codesign.frontend.context import Context, attributes, handles
from codesign.frontend.layout import fit_constant, identity, to_axes
from codesign.frontend.weights import float_constant
from codesign.ir import Elementwise
from codesign.ops.add import Add
from codesign.ops.mul import Mul
from codesign.ops.normalize import Normalize


@handles("LayerNormalization")
def layer_normalization(ctx: Context, node: NodeProto) -> None:
    """Over the last axis, then gain and bias; followed by a quantizer."""
    attrs = attributes(ctx, node, axis=-1, epsilon=1e-5, stash_type=1)
    if len([o for o in node.output if o]) > 1:
        raise ctx.error(node, "its mean or deviation is used", "only its first output is supported")
    x = ctx.tensor(node, 0)
    if attrs["axis"] not in (-1, x.rank) or not x.rank:
        raise ctx.error(
            node,
            f"attribute 'axis' is {attrs['axis']}",
            "it normalises over the last axis: axis=-1 (flatten the others into it)",
        )
    if x.axes[-1] != x.rank - 1:
        x = to_axes(ctx, node, x, identity(x.rank))
    steps: list[tuple[str, Elementwise]] = []
    for index, name, make in ((1, "gain", Mul), (2, "bias", Add)):
        if index < len(node.input) and node.input[index]:
            array = float_constant(ctx, node, index, f"the {name}")
            steps.append((name, make(fit_constant(ctx, node, array, x, name))))
    out = node.output[0]
    op = Normalize(float(str(attrs["epsilon"])))
    value = ctx.emit(node, op, [x.value], tensor="" if steps else out, axes=x.axes)
    for place, (name, step) in enumerate(steps):
        tensor = out if place == len(steps) - 1 else ""
        value = ctx.emit(node, step, [value], tensor=tensor, suffix=name, axes=x.axes)
