"""Models that smooth what they put out: a decoder behind the Scan."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, helper

from codesign.errors import UnsupportedModel
from codesign.exchange.decoder import decoded_shape, decoder_node, read_decoder
from codesign.exchange.domain import DOMAIN, VERSION, error, is_decoder
from codesign.exchange.metadata import BESSEL, read_metadata
from codesign.exchange.step import port, shape_of
from codesign.spikes.bessel import Bessel


def with_decoder(model: ModelProto, decoder: Bessel) -> ModelProto:
    """``model``, in Scan form (with an encoder, or without), with its first output smoothed.

    Raises :class:`UnsupportedModel` where the decoder takes other steps than the model makes, or
    the metadata name another readout.
    """
    plain, tail = without_decoder(model)
    if tail is not None:
        raise error(tail, "the output is smoothed already", "give the model without its decoder")
    name = plain.graph.output[0].name
    node = decoder_node(decoder, f"{name}_bessel", name, f"{name}_bessel")
    return decoded(plain, node)


def decoded(model: ModelProto, node: NodeProto) -> ModelProto:
    """``model`` with the decoder ``node`` behind its first output, which that reads."""
    readout, decoder = read_metadata(model).readout, read_decoder(node).decoder
    if readout not in BESSEL:
        what = f"the metadata name the readout '{readout}'"
        raise error(node, what, f"name one of {', '.join(BESSEL)}, or leave the decoder out")
    out = ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    made = decoded_shape(node, decoder, shape_of(graph.output[0]))
    graph.node.append(node)
    others = [type(o).FromString(o.SerializeToString()) for o in graph.output[1:]]
    del graph.output[:]
    graph.output.extend([port(node.output[0], made), *others])
    if all(o.domain != DOMAIN for o in out.opset_import):
        out.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
    return out


def without_decoder(model: ModelProto) -> tuple[ModelProto, NodeProto | None]:
    """The model without the decoder that writes its first output, and that decoder; the inverse of
    :func:`decoded`. None where there is none, or where its result is read on."""
    graph = model.graph
    found = [n for n in graph.node if is_decoder(n)]
    if not found or not graph.output or graph.output[0].name not in found[-1].output:
        return model, None
    if len(found) > 1:
        raise error(found[0], "there are two decoders", "smooth the output once")
    return _without(model, found[0])


def _without(model: ModelProto, tail: NodeProto) -> tuple[ModelProto, NodeProto]:
    out = ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    rest = [n for n in graph.node if not is_decoder(n)]
    if any(tail.input[0] in n.input or tail.output[0] in n.input for n in rest):
        raise error(tail, "what it reads or writes is read beside it", "read its result alone")
    if all(tail.input[0] not in n.output for n in rest):
        raise error(tail, "it reads no result of the network", "put it behind the Scan")
    batch_and_steps = shape_of(graph.output[0])
    rest = [NodeProto.FromString(n.SerializeToString()) for n in rest]
    others = [type(o).FromString(o.SerializeToString()) for o in graph.output[1:]]
    del graph.node[:], graph.output[:]
    graph.node.extend(rest)
    graph.output.extend([port(tail.input[0], batch_and_steps), *others])
    return out, tail


def no_decoder(readout: str) -> UnsupportedModel:
    """The error about metadata that name a smoothed readout, where the model smooths nothing."""
    what = f"the metadata name '{readout}', but no BesselDecoder is behind the Scan"
    hint = "put one there with exchange.with_decoder(model, decoder)"
    return UnsupportedModel(what, where="readout", hint=hint)
