"""Constant folding: nodes whose inputs are all known are computed at import by onnxruntime."""

from __future__ import annotations

import math

import numpy as np
from onnx import NodeProto, ValueInfoProto, helper

from codesign.frontend.context import Const, Context, Quantized
from codesign.frontend.names import printable

MAX_ELEMENTS = 1 << 26

#: Operators that move elements without changing them: they keep a quantized constant quantized.
MOVES = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
_SHAPES = frozenset({"Constant", "ConstantOfShape", "Cast", "Gather", "Concat", "Slice", "Shape"})
_BINARY = frozenset({"Add", "Sub", "Mul", "Div", "Pow"})
_UNARY = frozenset({"Sqrt", "Neg", "Reciprocal", "Abs", "Exp", "Log", "Floor", "Ceil"})
FOLDABLE = MOVES | _SHAPES | _BINARY | _UNARY


def try_fold(ctx: Context, node: NodeProto) -> bool:
    """Compute the node now if it can be; True when its output became a constant."""
    if node.domain != "" or node.op_type not in FOLDABLE or len(node.output) != 1:
        return False
    if node.op_type == "Shape" and node.input and node.input[0] in ctx.tensors:
        shape = (ctx.batch, *ctx.tensors[node.input[0]].shape)
        attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        cut = slice(attrs.get("start", 0), attrs.get("end"))
        ctx.define(node, Const(np.array(shape, dtype=np.int64)[cut]))
        return True
    if any(name and name not in ctx.constants for name in node.input):
        return False
    ctx.define(node, _evaluate(ctx, node))
    return True


def _evaluate(ctx: Context, node: NodeProto) -> Const:
    consts = [ctx.constants[name] if name else None for name in node.input]
    _check_growth(ctx, node, [c.array for c in consts if c])
    arrays = [c.array if c else None for c in consts]
    first = consts[0] if consts else None
    array = _run(ctx, node, arrays)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ctx.error(node, "this constant is NaN or infinite", "check what it is computed from")
    if first is None or node.op_type not in MOVES:
        return Const(array)
    quantized = first.quantized
    if quantized:
        quantized = Quantized(
            _run(ctx, node, [quantized.codes, *arrays[1:]]),
            _run(ctx, node, [quantized.scale, *arrays[1:]]),
        )
    return Const(array, quantized, first.source)


def _check_growth(ctx: Context, node: NodeProto, arrays: list[np.ndarray]) -> None:
    """Refuse a node whose result would be huge, before computing it."""
    size = sum(a.size for a in arrays)
    if node.op_type == "ConstantOfShape" and arrays:
        size = math.prod(int(d) for d in arrays[0].ravel())
    elif node.op_type in _BINARY:
        try:
            size = math.prod(np.broadcast_shapes(*(a.shape for a in arrays)))
        except ValueError:
            raise ctx.error(node, "the shapes of its inputs do not fit") from None
    elif node.op_type == "Gather" and len(arrays) == 2:
        size = arrays[0].size * max(1, arrays[1].size)
    if not 0 <= size <= MAX_ELEMENTS:
        raise ctx.error(node, f"folding it would make a constant of {size} elements")


def _run(ctx: Context, node: NodeProto, arrays: list[np.ndarray | None]) -> np.ndarray:
    """The node's output for ``arrays``, computed by onnxruntime (as qonnx does)."""
    import onnxruntime

    names = [f"i{k}" if a is not None else "" for k, a in enumerate(arrays)]
    inner = NodeProto()
    inner.CopyFrom(node)
    del inner.input[:], inner.output[:], inner.metadata_props[:]
    inner.input.extend(names)
    inner.output.append("o")
    feed = {n: a for n, a in zip(names, arrays, strict=True) if a is not None}
    ports = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in feed.items()
    ]
    graph = helper.make_graph([inner], "fold", ports, [ValueInfoProto(name="o")])
    opset = helper.make_opsetid("", ctx.opset)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return np.asarray(session.run(None, feed)[0])
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = printable(str(error).split("\n")[0] or type(error).__name__, 160)
        raise ctx.error(node, f"constant folding failed: {reason}") from None
