"""A spiking model as a function of whole windows: one Scan, and the readout its metadata names."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from codesign.exchange.decoded import decoded, no_decoder, without_decoder
from codesign.exchange.domain import is_neuron
from codesign.exchange.encoded import joined, split
from codesign.exchange.inline import without_functions
from codesign.exchange.metadata import BESSEL, KEY, Metadata, read_metadata, write_metadata
from codesign.exchange.recompose import recompose
from codesign.exchange.scan import scan_of, to_scan, to_step
from codesign.exchange.step import port, shape_of


def is_spiking(model: ModelProto) -> bool:
    """Whether ``model`` says what its time steps are."""
    return any(entry.key == KEY for entry in model.metadata_props)


def as_sequence(model: ModelProto) -> ModelProto:
    """``model`` over (batch, steps, ...) with constant initial states, and its readout.

    A model without our metadata is returned as it is; so is one whose output is read out already.
    Functions of neurons are left out, and decomposed neurons are neurons again. An encoder before
    the Scan stays there, and a decoder behind it.
    """
    if not is_spiking(model):
        return model
    model, tail = without_decoder(recompose(without_functions(model)))
    model, front = split(model)
    made = _sequence(model, tail)
    return made if front is None else joined(made, front)


def _sequence(model: ModelProto, tail: NodeProto | None) -> ModelProto:
    metadata = read_metadata(model)
    one_step = any(is_neuron(node) for node in model.graph.node)
    if one_step or len(model.graph.input) > 1:  # states that the caller would carry on
        model = _with_constant_states(model if one_step else to_step(model), metadata)
    last = model.graph.node[-1] if model.graph.node else None
    smoothed = model if tail is None else decoded(model, tail)
    if last is None or last.op_type != "Scan" or len(model.graph.output) != 1:
        return smoothed
    if model.graph.output[0].name not in scan_of(model).output:
        return smoothed
    if tail is None and metadata.readout in BESSEL:
        raise no_decoder(metadata.readout)
    return _read_out(smoothed, metadata)


def _with_constant_states(step: ModelProto, metadata: Metadata) -> ModelProto:
    """In Scan form with initial states inside, whatever becomes of them after a window."""
    anew = ModelProto()
    anew.CopyFrom(step)
    write_metadata(anew, metadata.model_copy(update={"reset_at_window": True}))
    out = to_scan(anew)
    write_metadata(out, metadata)
    return out


def _read_out(model: ModelProto, metadata: Metadata) -> ModelProto:
    if metadata.readout == "bessel":  # every step is a result
        return model
    out = ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    spikes = graph.output[0]
    batch, steps, *rest = shape_of(spikes)
    name = f"{spikes.name}_{metadata.readout.removeprefix('bessel_')}"

    def constant(suffix: str, values: object, kind: type = np.int64) -> str:
        made = numpy_helper.from_array(np.array(values, kind), f"{name}_{suffix}")
        graph.initializer.append(made)
        return made.name

    def node(op: str, inputs: list[str], result: str, **attributes: object) -> str:
        made = helper.make_node(op, inputs, [result], result)
        made.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
        graph.node.append(made)
        return result

    if metadata.readout in ("count", "membrane_sum"):
        node("ReduceSum", [spikes.name, constant("axes", [1])], name, keepdims=0)
    elif metadata.readout in ("membrane", "bessel_last"):
        node("Gather", [spikes.name, constant("last", steps - 1)], name, axis=1)
    else:  # steps - t of the first spike, at the latest 0
        left = np.arange(steps, 0, -1, dtype=np.float32).reshape(1, steps, *[1] * len(rest))
        early = node("Mul", [spikes.name, constant("left", left, np.float32)], f"{name}_early")
        if next(o.version for o in out.opset_import if not o.domain) < 18:
            node("ReduceMax", [early], name, keepdims=0, axes=[1])
        else:
            node("ReduceMax", [early, constant("axes", [1])], name, keepdims=0)
    del graph.output[:]
    graph.output.append(port(name, (batch, *rest)))
    return out
