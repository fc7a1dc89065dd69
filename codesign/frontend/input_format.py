"""An explicit quantizer at the network input, for files that have none."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from codesign.errors import UnsupportedModel
from codesign.formats import ScaledInt
from codesign.frontend.check import PORTS, QUANT_OPS
from codesign.frontend.clean import QUANT_DOMAIN
from codesign.ops.quant import MAX_ACTIVATION_BITS


def quantize_input(model: ModelProto, format: ScaledInt) -> ModelProto:
    """A copy of a checked ``model`` with a ``Quant`` node of ``format`` behind its input, so that
    qonnx computes with it as we do. ``UnsupportedModel`` where Quant cannot express it, or where
    every reader of the input is a quantizer already."""
    settings = _settings(format)
    out = ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    constants = {t.name for t in graph.initializer}
    given = next(i for i in graph.input if i.name not in constants)
    port = given.name
    if given.type.tensor_type.elem_type != TensorProto.FLOAT:
        raise UnsupportedModel(
            f"an input format {format.label()} is given, but the network input is "
            f"{PORTS[given.type.tensor_type.elem_type]} codes already",
            where=f"input '{port}'",
            hint="leave the input format out",
        )
    readers = [n for n in graph.node if port in n.input]
    if readers and all(n.op_type in QUANT_OPS | {"QuantizeLinear"} for n in readers):
        raise UnsupportedModel(
            f"an input format {format.label()} is given, but the model quantizes its input itself",
            where=f"node '{readers[0].name}' ({readers[0].op_type})",
            hint="leave the input format out",
        )
    taken = constants | {o for n in graph.node for o in n.output} | {i.name for i in graph.input}
    name = next(
        n for k in range(len(taken) + 1) if (n := f"{port}_quantized{k or ''}") not in taken
    )
    for reader in readers:
        reader.input[:] = [name if i == port else i for i in reader.input]
    graph.node.insert(0, _node(out, port, name, format, settings))
    if all(o.domain != QUANT_DOMAIN for o in out.opset_import):
        out.opset_import.append(helper.make_opsetid(QUANT_DOMAIN, 1))
    return out


def _settings(format: ScaledInt) -> dict[str, int]:
    """``bits``, ``signed`` and ``narrow`` of the Quant with exactly these codes."""
    exact = len(format.scale) == 1 and float(np.float32(format.scale[0])) == format.scale[0]
    for narrow in (0, 1):
        for bits in range(1, MAX_ACTIVATION_BITS + 1):
            if format.signed and bits == 1:
                continue  # Quant's signed 1-bit codes are -1 and +1
            span = ScaledInt.of_bits(bits, signed=format.signed, narrow=bool(narrow))
            if exact and (span.lo, span.hi) == (format.lo, format.hi):
                return {"bits": bits, "signed": int(format.signed), "narrow": narrow}
    raise UnsupportedModel(
        f"the input format {format.label()} ({format.lo} to {format.hi}) is no quantizer's",
        hint=f"use int2..int{MAX_ACTIVATION_BITS} or uint1..uint{MAX_ACTIVATION_BITS} with one "
        "float32 scale, e.g. 'int16:2^-10'",
    )


def _node(
    model: ModelProto, port: str, name: str, format: ScaledInt, settings: dict[str, int]
) -> NodeProto:
    parts = {"scale": format.scale[0], "zero_point": format.zero_point, "bits": settings["bits"]}
    for part, number in parts.items():
        array = np.asarray(number, dtype=np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, f"{name}_{part}"))
    return helper.make_node(
        "Quant",
        [port, *(f"{name}_{part}" for part in parts)],
        [name],
        name,
        domain=QUANT_DOMAIN,
        signed=settings["signed"],
        narrow=settings["narrow"],
        rounding_mode="ROUND",
    )
