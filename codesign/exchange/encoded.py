"""Models that encode their input themselves: a quantizer and an encoder before the Scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from codesign.errors import UnsupportedModel
from codesign.exchange.coders import encoder_node, out_shape, read_encoder
from codesign.exchange.decoded import decoded, without_decoder
from codesign.exchange.domain import DOMAIN, VERSION, error, is_encoder, printable
from codesign.exchange.metadata import read_metadata
from codesign.exchange.scan import scan_of
from codesign.exchange.step import QONNX, port, shape_of
from codesign.spikes.coders import Encoder


def with_encoder(model: ModelProto, encoder: Encoder) -> ModelProto:
    """``model``, in Scan form over (batch, T, F), as a function of (batch, F), or of a signal of T
    steps where the encoder reads one: its input is quantized to the codes of ``encoder`` (to the
    nearest, ties to even, clamped), then encoded.

    Raises :class:`UnsupportedModel` where the encoder makes other steps than the model takes, or
    is not what its metadata name.
    """
    model, tail = without_decoder(model)
    scan_of(model)
    inputs = [i for i in model.graph.input if _steps_of(i, model)]
    if len(inputs) != 1:
        what = f"{len(inputs)} inputs of the model are (batch, {encoder.steps}, F)"
        raise _refused(what, "an encoder makes one input of vectors")
    (given,) = inputs
    batch, _, elements = shape_of(given)
    try:
        shape = (batch, *encoder.in_shape(elements))
    except ValueError as reason:
        raise _refused(str(reason), f"make its input (batch, {encoder.steps}, 2 F)") from None
    out = ModelProto()
    out.CopyFrom(model)
    graph, name = out.graph, given.name
    taken = {n for node in graph.node for n in (*node.input, *node.output)}
    codes, steps = (_free(f"{name}_{kind}", taken) for kind in ("codes", "encoded"))
    for node in graph.node:
        node.input[:] = [steps if i == name else i for i in node.input]
    parts = [np.float32(2.0**-encoder.frac), np.float32(0), np.float32(encoder.bits)]
    names = [f"{codes}.{part}" for part in ("scale", "zero", "bits")]
    graph.initializer.extend(numpy_helper.from_array(np.array(p), n) for p, n in zip(parts, names))  # noqa: B905
    quant = helper.make_node(
        "Quant", [name, *names], [codes], codes, domain=QONNX,
        signed=int(encoder.signed_codes), narrow=0, rounding_mode="ROUND",
    )  # fmt: skip
    front = Front((quant, encoder_node(encoder, steps, codes, steps)), port(name, shape))
    if all(o.domain != QONNX for o in out.opset_import):
        out.opset_import.append(helper.make_opsetid(QONNX, 1))
    if all(o.domain != DOMAIN for o in out.opset_import):
        out.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
    rest = [i for i in graph.input if i.name != name]
    del graph.input[:]
    graph.input.extend([port(steps, (batch, encoder.steps, elements)), *rest])
    made = joined(out, front)
    return made if tail is None else decoded(made, tail)


@dataclass(frozen=True)
class Front:
    """What lies before the Scan: nodes, the input of the whole graph that they read, and their
    constants."""

    nodes: tuple[NodeProto, ...]
    given: ValueInfoProto
    constants: tuple[TensorProto, ...] = ()


def joined(model: ModelProto, front: Front) -> ModelProto:
    """``model`` behind ``front``, whose last node writes the first input of ``model``."""
    out = ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    _check_encoder(model, front.nodes[-1])
    kept = [i for i in graph.input if i.name != front.nodes[-1].output[0]]
    nodes = [*front.nodes, *graph.node]
    nodes = [NodeProto.FromString(n.SerializeToString()) for n in nodes]
    kept = [ValueInfoProto.FromString(i.SerializeToString()) for i in kept]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.extend([front.given, *kept])
    known = {t.name for t in graph.initializer}
    graph.initializer.extend(t for t in front.constants if t.name not in known)
    return out


def split(model: ModelProto) -> tuple[ModelProto, Front | None]:
    """The model without its encoder, and what lies before the Scan; the inverse of
    :func:`joined`. None where there is no encoder at the top of the graph.

    Raises :class:`UnsupportedModel` where what is encoded is not computed from one input of the
    graph alone, or where something beside the encoder reads it.
    """
    places = [k for k, n in enumerate(model.graph.node) if is_encoder(n)]
    if not places:
        return model, None
    nodes = list(model.graph.node)
    encoder = nodes[places[0]]
    if len(places) > 1:
        raise error(nodes[places[1]], "there are two encoders", "encode the input once")
    constants = {t.name for t in model.graph.initializer}
    before, wanted, seen = [encoder], set(encoder.input), set()
    for node in reversed(nodes[: places[0]]):
        if wanted & set(node.output):
            before.insert(0, node)
            wanted |= set(node.input)
            seen |= set(node.output)
    inputs = [i for i in model.graph.input if i.name in wanted and i.name not in constants]
    own = {id(n) for n in before}
    rest = [n for n in nodes if id(n) not in own]
    if len(inputs) != 1 or wanted - seen - constants - {inputs[0].name, ""}:
        raise error(encoder, "what it encodes is not one input of the graph", "encode the input")
    if any((seen | {inputs[0].name}) & set(n.input) for n in rest):
        raise error(encoder, "its input is read beside it", "let all steps come from the encoder")
    own_constants = tuple(t for t in model.graph.initializer if t.name in wanted)
    front = Front(tuple(before), inputs[0], own_constants)
    return _without(model, encoder, rest, inputs[0]), front


def _without(
    model: ModelProto, encoder: NodeProto, rest: list[NodeProto], given: ValueInfoProto
) -> ModelProto:
    shape = shape_of(given)
    if len(shape) < 2:
        raise error(encoder, f"the input has shape {shape}", "give it (batch, F)")
    found = read_encoder(encoder).encoder
    kept_axes = 2 if found.over_time else 1  # what follows them may be flattened on the way
    made = out_shape(encoder, found, (*shape[:kept_axes], int(np.prod(shape[kept_axes:]))))
    out = ModelProto()
    out.CopyFrom(model)
    kept = [i for i in model.graph.input if i.name != given.name]
    del out.graph.node[:], out.graph.input[:]
    out.graph.node.extend(rest)
    out.graph.input.extend([port(encoder.output[0], made), *kept])
    return out


def _check_encoder(model: ModelProto, node: NodeProto) -> None:
    metadata, encoder = read_metadata(model), read_encoder(node).encoder
    for name, own, named in (
        ("steps", encoder.steps, metadata.steps),
        ("encoding", encoder.kind, metadata.encoding),
    ):
        if own != named:
            what = f"its '{name}' is {own}, that of the metadata {named}"
            raise error(node, what, "make both the same")


def _steps_of(info: ValueInfoProto, model: ModelProto) -> bool:
    """Whether the Scan walks along ``info``, which holds vectors."""
    (scan,) = model.graph.node
    count = next(a.i for a in scan.attribute if a.name == "num_scan_inputs")
    float32 = info.type.tensor_type.elem_type == TensorProto.FLOAT
    return float32 and info.name in list(scan.input)[-count:] and len(shape_of(info)) == 3


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _refused(what: str, hint: str) -> UnsupportedModel:
    return UnsupportedModel(printable(what, 200), where="Scan form", hint=hint)
