"""Constant folding: nodes whose inputs are all known are computed at import by onnxruntime."""

from __future__ import annotations

import math

import numpy as np
from onnx import ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper, shape_inference

from codesign.frontend.context import Const, Context, Quantized
from codesign.frontend.names import printable
from codesign.frontend.unsigned_weights import with_unsigned_weights

MAX_ELEMENTS = 1 << 26
TOO_LARGE = "no circuit holds that much; is a shape damaged? export the model again"

#: Operators that move elements without changing them: they keep a quantized constant quantized.
MOVES = frozenset(
    {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Slice", "Gather"}
)
_SHAPES = frozenset({"Constant", "ConstantOfShape", "Cast", "Concat", "Shape", "Size", "Range"})
_REPEATS = frozenset({"Expand", "Tile", "Pad"})
_BINARY = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Equal", "Greater", "Less", "Where"}
    | {"GreaterOrEqual", "LessOrEqual", "And", "Or"}
)
_UNARY = frozenset(
    {"Sqrt", "Neg", "Reciprocal", "Abs", "Exp", "Log", "Floor", "Ceil", "Round", "Sign", "Not"}
    | {"ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin", "Clip", "ScatterND"}
)
FOLDABLE = MOVES | _SHAPES | _REPEATS | _BINARY | _UNARY


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
    if node.op_type == "Size" and node.input and node.input[0] in ctx.tensors:
        ctx.define(node, Const(np.array(ctx.batch * ctx.tensors[node.input[0]].value.elements)))
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
            quantized.limits,
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
    elif node.op_type in _REPEATS | {"Range"}:
        shapes = inferred_shapes(ctx, node, [*arrays])
        size = max([size, *(math.prod(s) for s in shapes if s is not None)])
    elif node.op_type == "Gather" and len(arrays) == 2:
        size = arrays[0].size * max(1, arrays[1].size)
    if not 0 <= size <= MAX_ELEMENTS:
        raise ctx.error(node, f"folding it would make a constant of {size} elements", TOO_LARGE)


def _run(ctx: Context, node: NodeProto, arrays: list[np.ndarray | None]) -> np.ndarray:
    return run_node(ctx, node, arrays)[0]


def _alone(ctx: Context, node: NodeProto, arrays: list[np.ndarray | None]) -> ModelProto:
    """A model of ``node`` only: its first input is a port, the others are initializers."""
    names = [f"i{k}" if a is not None else "" for k, a in enumerate(arrays)]
    outputs = [f"o{k}" if name else "" for k, name in enumerate(node.output)]
    inner = NodeProto()
    inner.CopyFrom(node)
    del inner.input[:], inner.output[:], inner.metadata_props[:]
    inner.input.extend(names)
    inner.output.extend(outputs)
    ports = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(names[:1], arrays[:1], strict=True)
        if a is not None
    ]
    constants = [
        numpy_helper.from_array(np.array(a, order="C"), n)
        for n, a in zip(names[1:], arrays[1:], strict=True)
        if a is not None
    ]
    ends = [ValueInfoProto(name=name) for name in outputs if name]
    graph = helper.make_graph([inner], "fold", ports, ends, constants)
    opset = helper.make_opsetid("", ctx.opset)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def inferred_shapes(
    ctx: Context, node: NodeProto, arrays: list[np.ndarray | None]
) -> list[tuple[int, ...] | None]:
    """Shapes of the outputs before anything is computed; None where onnx cannot tell."""
    try:
        found = shape_inference.infer_shapes(_alone(ctx, node, arrays), data_prop=True)
    except Exception:  # a malformed node: running it gives the message
        return []
    shapes: list[tuple[int, ...] | None] = []
    for port in found.graph.output:
        dims = port.type.tensor_type.shape.dim
        fixed = all(d.WhichOneof("value") == "dim_value" for d in dims)
        shapes.append(tuple(d.dim_value for d in dims) if fixed else None)
    return shapes


def run_node(ctx: Context, node: NodeProto, arrays: list[np.ndarray | None]) -> list[np.ndarray]:
    """The node's outputs for ``arrays`` (None: input left out), computed by onnxruntime as
    qonnx does. Outputs without a name are empty arrays."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(
            with_unsigned_weights(_alone(ctx, node, arrays)).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )
        feed = {port.name: arrays[0] for port in session.get_inputs()}
        found = iter(session.run(None, feed))
        return [np.asarray(next(found)) if name else np.zeros(0) for name in node.output]
    except Exception as error:  # onnxruntime's exceptions share no base class
        text = str(error).split("Status Message: ")[-1].split("\n")[0]
        reason = printable(text.rsplit(": ", 1)[-1] or type(error).__name__, 160)
        known = node.input and node.input[0] in ctx.constants
        what = f"{'constant folding failed' if known else 'onnxruntime refuses it'}: {reason}"
        raise ctx.error(node, what, "the file is damaged: export it again") from None
