"""Activations and other functions of one value, element by element."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from codesign.frontend.context import Context, attributes, handles
from codesign.frontend.layout import fit_constant
from codesign.frontend.weights import float_constant
from codesign.ops.clip import Clip, PRelu
from codesign.ops.power import Power
from codesign.ops.unary import FUNCTIONS, Unary

#: Their attributes with the defaults of ONNX.
_ATTRIBUTES: dict[str, dict[str, object]] = {
    "Celu": {"alpha": 1.0},
    "Elu": {"alpha": 1.0},
    "Gelu": {"approximate": "none"},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "LeakyRelu": {"alpha": 0.01},
    "Selu": {"alpha": 1.6732631921768188, "gamma": 1.0507010221481323},
    "ThresholdedRelu": {"alpha": 1.0},
}


@handles(*FUNCTIONS)
def unary(ctx: Context, node: NodeProto) -> None:
    """Whatever onnxruntime computes for the operator."""
    attrs = attributes(ctx, node, **_ATTRIBUTES.get(node.op_type, {}))
    given = {a.name for a in node.attribute}
    kept = tuple(sorted((name, value) for name, value in attrs.items() if name in given))
    x = ctx.tensor(node, 0)
    ctx.emit(node, Unary(node.op_type, kept), [x.value], tensor=node.output[0], axes=x.axes)


@handles("Clip")
def clip(ctx: Context, node: NodeProto) -> None:
    """Bounds as attributes (before opset 11) or as constant inputs, either may be missing."""
    if node.output[0] in ctx.tensors:
        return  # of integer codes: part of the quantizer before it, see handlers/qdq.py
    attrs = attributes(ctx, node, min=None, max=None)
    x = ctx.tensor(node, 0)
    ends = []
    for index, (name, none) in enumerate((("min", -np.inf), ("max", np.inf)), 1):
        given = none if attrs[name] is None else float(str(attrs[name]))
        end = np.asarray(given, dtype=np.float32)
        if index < len(node.input) and node.input[index]:
            end = float_constant(ctx, node, index, f"the {name}imum")
        ends.append(fit_constant(ctx, node, end, x, f"{name}imum"))
    ctx.emit(node, Clip(*ends), [x.value], tensor=node.output[0], axes=x.axes)


def bounded(ctx: Context, node: NodeProto) -> None:
    """Min or Max of one computed value and constants."""
    computed = [i for i in range(len(node.input)) if ctx.constant(node, i) is None]
    if len(computed) != 1:
        raise ctx.error(
            node,
            "it takes several computed values and a constant",
            "combine the computed values first, the constants afterwards",
        )
    x = ctx.tensor(node, computed[0])
    pick = np.minimum if node.op_type == "Min" else np.maximum
    rest = [i for i in range(len(node.input)) if i != computed[0]]
    bound = float_constant(ctx, node, rest[0], "the bound")
    for index in rest[1:]:
        bound = pick(bound, float_constant(ctx, node, index, "the bound"))
    bound = fit_constant(ctx, node, bound, x, "bound")
    none = np.full(1, np.inf, dtype=np.float32)
    op = Clip(-none, bound) if node.op_type == "Min" else Clip(bound, none)
    ctx.emit(node, op, [x.value], tensor=node.output[0], axes=x.axes)


@handles("PRelu")
def prelu(ctx: Context, node: NodeProto) -> None:
    """A constant slope for negative values, one or one per channel."""
    attributes(ctx, node)
    x = ctx.tensor(node, 0)
    slope = fit_constant(ctx, node, float_constant(ctx, node, 1, "the slope"), x, "slope")
    ctx.emit(node, PRelu(slope), [x.value], tensor=node.output[0], axes=x.axes)


@handles("Pow")
def power(ctx: Context, node: NodeProto) -> None:
    """A computed value to a constant exponent."""
    attributes(ctx, node)
    if ctx.constant(node, 0) is not None or ctx.constant(node, 1) is None:
        raise ctx.error(node, "the exponent is computed", "only constant exponents are supported")
    exponent = ctx.constant(node, 1)
    assert exponent is not None
    if exponent.array.size != 1:
        raise ctx.error(node, "it has several exponents", "use one number")
    x = ctx.tensor(node, 0)
    op = Power(float(exponent.array.ravel()[0]))
    ctx.emit(node, op, [x.value], tensor=node.output[0], axes=x.axes)
