"""The same integer products, in a form that onnxruntime computes exactly on every processor.

On x86 without VNNI instructions onnxruntime multiplies uint8 activations by int8 weights in pairs
whose sum saturates at 16 bits (its quantization guide, "U8S8 saturation"); uint8 by uint8 it does
not. Its own remedy, ``session.x64quantprecision``, needs graph optimizations and constant weights
and so does not reach a node that qonnx runs alone.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper, shape_inference

#: Of each operator: the places of its activations, weights and the weights' zero point.
_PLACES = {
    "QLinearMatMul": (0, 3, 5),
    "QLinearConv": (0, 3, 5),
    "QGemm": (0, 3, 5),
    "MatMulInteger": (0, 1, 3),
    "ConvInteger": (0, 1, 3),
}


def with_unsigned_weights(model: ModelProto) -> ModelProto:
    """Move int8 weights beside uint8 activations to uint8, 128 higher like their zero point.

    Parameters
    ----------
    model:
        Is left as it is.

    Returns
    -------
    A copy of ``model`` with the same integer results; ``model`` itself if there is nothing to do.
    """
    if not any(node.op_type in _PLACES for node in model.graph.node):
        return model
    out = ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    types = _element_types(model)
    constants = {t.name: t for t in graph.initializer}
    taken = {*types, *constants, *(name for node in graph.node for name in node.output)}
    for node in graph.node:
        places = _PLACES.get(node.op_type)
        if places is None or types.get(node.input[places[0]]) != TensorProto.UINT8:
            continue
        weights = constants.get(node.input[places[1]])
        if weights is None or weights.data_type != TensorProto.INT8:
            continue
        _move(node, places[1], weights, constants, taken)
        zero = constants.get(node.input[places[2]]) if len(node.input) > places[2] else None
        _move(
            node,
            places[2],
            zero or numpy_helper.from_array(np.zeros((), np.int8)),
            constants,
            taken,
        )
    del graph.initializer[:]
    graph.initializer.extend(constants.values())
    return out


def _move(
    node: NodeProto,
    place: int,
    tensor: TensorProto,
    constants: dict[str, TensorProto],
    taken: set[str],
) -> None:
    """Let ``node`` read ``tensor``, int8, 128 higher as uint8."""
    name = f"{node.output[0]}_unsigned_{place}"
    while name in taken:
        name += "_"
    codes = numpy_helper.to_array(tensor).astype(np.int16) + 128
    constants[name] = numpy_helper.from_array(codes.astype(np.uint8), name)
    node.input.extend([""] * (place + 1 - len(node.input)))
    node.input[place] = name
    taken.add(name)


def _element_types(model: ModelProto) -> dict[str, int]:
    """Of every tensor whose type the file says or onnx infers."""
    graph = shape_inference.infer_shapes(model).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return {**found, **{t.name: t.data_type for t in graph.initializer}}
