"""A model whose final Softmax is replaced by ArgMax: the class, not its probability."""

from __future__ import annotations

from onnx import ModelProto, TensorProto, helper

from codesign.errors import UsageError


def class_only(model: ModelProto) -> ModelProto:
    """A copy of ``model`` that yields the index of the largest element where it had a Softmax or
    LogSoftmax at its end; the first one on ties. The output is named ``<old>_class``, so that
    probabilities recorded elsewhere are not compared with classes.

    ``UsageError`` when the first output is not written by one of the two.
    """
    made = ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    name = graph.output[0].name if graph.output else ""
    node = next((n for n in graph.node if name in n.output), None)
    if node is None or node.domain or node.op_type not in ("Softmax", "LogSoftmax"):
        found = f"a {node.op_type}" if node is not None else "nothing"
        raise UsageError(
            f"the output '{name}' is written by {found}: there is no final Softmax to replace",
            hint="leave out --softmax argmax",
        )
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=13)
    axis = next((a.i for a in node.attribute if a.name == "axis"), -1 if opset >= 13 else 1)
    found = helper.make_node("ArgMax", [node.input[0]], [f"{name}_class"], node.name,
                             axis=axis, keepdims=1)  # fmt: skip
    graph.node.remove(node)
    graph.node.append(found)
    old = graph.output[0].type.tensor_type
    shape = [d.dim_value or d.dim_param for d in old.shape.dim] if old.HasField("shape") else None
    if shape is not None and -len(shape) <= axis < len(shape):
        shape[axis] = 1
    port = helper.make_tensor_value_info(f"{name}_class", TensorProto.INT64, shape)
    rest = list(graph.output)[1:]
    del graph.output[:]
    graph.output.extend([port, *rest])
    return made
