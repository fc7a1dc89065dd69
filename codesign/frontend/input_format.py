"""An explicit quantizer at the network input, for files that have none."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from codesign.errors import UnsupportedModel
from codesign.formats import QuantFormat
from codesign.frontend.check import PORTS, QUANT_OPS, input_shape
from codesign.frontend.clean import QUANT_DOMAIN


def quantize_input(model: ModelProto, format: QuantFormat) -> ModelProto:
    """A copy of a checked ``model`` with a quantizer of ``format`` behind its input, so that
    qonnx computes with it as we do. ``UnsupportedModel`` where every reader of the input is a
    quantizer already, or where it has no axis of as many channels."""
    out = ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    constants = {t.name for t in graph.initializer}
    given = next(i for i in graph.input if i.name not in constants)
    port = given.name
    if given.type.tensor_type.elem_type != TensorProto.FLOAT:
        raise UnsupportedModel(
            f"an input format {format} is given, but the network input is "
            f"{PORTS[given.type.tensor_type.elem_type]} codes already",
            where=f"input '{port}'",
            hint="leave the input format out",
        )
    readers = [n for n in graph.node if port in n.input]
    if readers and all(n.op_type in QUANT_OPS | {"QuantizeLinear"} for n in readers):
        raise UnsupportedModel(
            f"an input format {format} is given, but the model quantizes its input itself",
            where=f"node '{readers[0].name}' ({readers[0].op_type})",
            hint="leave the input format out",
        )
    taken = constants | {o for n in graph.node for o in n.output} | {i.name for i in graph.input}
    name = next(
        n for k in range(len(taken) + 1) if (n := f"{port}_quantized{k or ''}") not in taken
    )
    for reader in readers:
        reader.input[:] = [name if i == port else i for i in reader.input]
    shape = input_shape(given)
    graph.node.insert(0, quantizer(out, port, name, format, shape, f"input '{port}'"))
    return out


def quantizer(
    model: ModelProto,
    source: str,
    name: str,
    format: QuantFormat,
    shape: tuple[int, ...],
    place: str,
) -> NodeProto:
    """A node that quantizes tensor ``source`` of ``shape`` (with the batch) to tensor ``name``.

    Its parameters are added to ``model``, and so is the domain; the node itself is not. Scales
    per channel lie along the first axis behind the batch that has as many elements.

    Raises
    ------
    UnsupportedModel
        Naming ``place``, for as many scales as no axis has elements.
    """
    scale = np.asarray(format.scale, dtype=np.float32)
    parts = {"scale": scale.reshape(_scale_shape(len(scale), shape, format, place))}
    if not format.bipolar:
        parts["zero_point"] = np.asarray(format.zero_point, dtype=np.float32)
        parts["bits"] = np.asarray(format.bits, dtype=np.float32)
    for part, array in parts.items():
        model.graph.initializer.append(numpy_helper.from_array(array, f"{name}_{part}"))
    if all(o.domain != QUANT_DOMAIN for o in model.opset_import):
        model.opset_import.append(helper.make_opsetid(QUANT_DOMAIN, 1))
    inputs = [source, *(f"{name}_{part}" for part in parts)]
    if format.bipolar:
        return helper.make_node("BipolarQuant", inputs, [name], name, domain=QUANT_DOMAIN)
    return helper.make_node(
        "Quant",
        inputs,
        [name],
        name,
        domain=QUANT_DOMAIN,
        signed=int(format.signed),
        narrow=int(format.narrow),
        rounding_mode="ROUND",
    )


def _scale_shape(
    count: int, shape: tuple[int, ...], format: QuantFormat, place: str
) -> tuple[int, ...]:
    if count == 1:
        return ()
    axis = next((axis for axis, size in enumerate(shape) if axis and size == count), None)
    if axis is None:
        sizes = ", ".join(map(str, shape[1:]))
        raise UnsupportedModel(
            f"the format {format} has {count} scales, the tensor is (batch, {sizes})",
            where=place,
            hint="give one scale, or one for each channel",
        )
    return (count, *[1] * (len(shape) - 1 - axis))
