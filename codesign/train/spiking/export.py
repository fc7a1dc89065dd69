"""A trained network to the exchange format: Brevitas' own export of the weights of each layer,
our neurons between them, in one-step form and as a Scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import onnx
from onnx import helper, numpy_helper

from codesign.errors import UnsupportedModel, UsageError
from codesign.exchange import Metadata, StepBuilder, to_scan, with_decoder, with_encoder
from codesign.exchange.step import NEXT, QONNX
from codesign.spikes.bessel import Bessel, Sections
from codesign.train.export import export_module
from codesign.train.modes import evaluating
from codesign.train.needs import need
from codesign.train.spiking.encode import Encoding
from codesign.train.spiking.network import Block, SpikingNet, plain
from codesign.train.spiking.rules.leaves import weight_layers

#: Seconds of a time step, where the data do not say.
DT = 1e-3
QUANTIZED_INPUT = "x_q"


@dataclass(frozen=True)
class Exported:
    """Both forms of one network. ``layers``: name of each block's result in the one-step form,
    in order; its states are ``NAME.v`` and so on. ``encodes``: whether the Scan form encodes its
    input itself. ``decoder``: what smooths the output in the Scan form."""

    step: onnx.ModelProto
    scan: onnx.ModelProto
    layers: tuple[str, ...]
    encodes: bool = False
    decoder: Bessel | None = None


def export_spiking(
    net: SpikingNet,
    shape: tuple[int, ...],
    encoding: Encoding,
    readout: str,
    dt: float = DT,
    *,
    encodes: bool = False,
    sections: Sections | None = None,
) -> Exported:
    """``net`` for inputs of ``shape`` (of one step, without batch, channels first).

    The file's input is what arrives each step, (1, steps, ...); in a Scan form that ``encodes``,
    the numbers before they are encoded, (1, features), or a signal, (1, steps, features).
    ``sections``: the filter of a ``bessel`` readout.
    Raises :class:`UsageError` for a readout the format has no word for, or an encoding that has no
    encoder there; :class:`UnsupportedModel` where a layer's weights are not on the scale its
    neurons are made for.
    """
    known = get_args(Metadata.model_fields["readout"].annotation)
    if readout not in known:
        raise UsageError(
            f"readout '{readout}' has no place in the exchange format",
            hint=f"use {', '.join(known)}",
        )
    build = StepBuilder("spiking", (1, *shape))
    out = _input_quantizer(build, encoding)
    torch, names = need("torch"), []
    frame = torch.zeros(1, *shape)
    frac = encoding.frac
    with evaluating(net):
        for index, block in enumerate(net.blocks):
            name = f"layer{index}"
            frac = check_scale(block, frac, name)
            out, frame = _add(build, block, name, out, frame)
            names.append(out)
    metadata = Metadata(
        steps=encoding.steps,
        dt=dt,
        encoding=encoding.word,  # type: ignore[arg-type]
        readout=readout,  # type: ignore[arg-type]
        reset_at_window=True,
    )
    step = build.model(out, tuple(frame.shape), metadata)
    scan = to_scan(step)
    if encodes:
        scan = with_encoder(scan, encoding.in_circuit())
    decoder = None
    if sections is not None:
        decoder = _decoder(net, encoding.steps, sections)
        scan = with_decoder(scan, decoder)
    return Exported(step, scan, tuple(names), encodes, decoder)


def _decoder(net: SpikingNet, steps: int, sections: Sections) -> Bessel:
    """The filter for what the last layer puts out."""
    neuron = net.blocks[-1].neuron
    if neuron is None:
        raise UsageError("a filter smooths what neurons put out", hint="end in a layer of neurons")
    word = neuron.neuron().out
    try:
        return Bessel(steps, word.bits, word.frac, word.signed, sections)
    except ValueError as reason:
        raise UsageError(str(reason), hint="a readout of spikes, or fewer guard bits") from None


def _input_quantizer(build: StepBuilder, encoding: Encoding) -> str:
    """What the input is: spikes of one bit, or codes of several; quantizing changes nothing."""
    bits, signed = encoding.word_given
    given = [
        build.input,
        build.constant("x.scale", np.float32(2.0**-encoding.frac)),
        build.constant("x.zero", np.float32(0)),
        build.constant("x.bits", np.float32(bits)),
    ]
    kind = {"signed": int(signed), "narrow": 0, "rounding_mode": "ROUND"}
    return build.node("Quant", given, QUANTIZED_INPUT, QONNX, **kind)


def check_scale(block: Block, frac: int, name: str) -> int:
    """Whether the current of ``block`` is a multiple of what its neurons take, and sums of it are
    exact in float32. ``frac``: of the block's input. Returns that of its output."""
    fracs = [frac]
    for layer in weight_layers(block.synapse):
        fracs.append(frac + weight_frac(layer, name))
        top = float(plain(layer.quant_weight()).detach().abs().flatten(1).sum(1).max())
        if top * 2.0 ** fracs[-1] >= 1 << 24:
            raise UnsupportedModel(
                "float32 does not hold the sums of its weights exactly",
                where=f"layer '{name}'",
                hint="use fewer weight or input bits",
            )
    if block.recurrent is not None:
        fracs.append(weight_frac(block.recurrent, name))
    if block.neuron is None:
        return fracs[-1]
    wanted = block.neuron.model.input_frac
    if max(fracs[1:], default=frac) > wanted:
        raise UnsupportedModel(
            f"its currents have {max(fracs)} fraction bits, its neurons take {wanted}",
            where=f"layer '{name}'",
            hint="give the neurons' model an input_frac of that of weights plus inputs",
        )
    return 0 if block.neuron.model.output == "spikes" else block.neuron.model.word.frac


def weight_frac(layer: Any, name: str) -> int:
    """k where the layer's weights are multiples of ``2**-k``."""
    scale = float(layer.quant_weight().scale.detach().max())
    frac = -np.log2(scale)
    if frac != round(frac):
        raise UnsupportedModel(
            f"its weights have the scale {scale:g}, no power of two",
            where=f"layer '{name}'",
            hint="use a fixed-point weight quantizer (Int8WeightPerTensorFixedPoint)",
        )
    return round(frac)


def _add(build: StepBuilder, block: Block, name: str, out: str, frame: Any) -> tuple[str, Any]:
    current = _spliced(build, block.synapse, f"{name}.current", out, frame)
    with need("torch").no_grad():
        frame = plain(block.synapse(frame))
    if block.neuron is None:
        return current, frame
    shape = tuple(frame.shape)
    if block.recurrent is not None:
        last = build.state(f"{name}.y", shape)
        back = _spliced(build, block.recurrent, f"{name}.back", last, frame)
        current = build.node("Add", [current, back], f"{name}.sum")
    made = build.neuron(block.neuron.neuron(), name, current, shape, trailing=len(shape) - 2)
    if block.recurrent is not None:
        build.node("Identity", [made], f"{name}.y{NEXT}")
    return made, frame


def _spliced(build: StepBuilder, module: Any, name: str, given: str, frame: Any) -> str:
    """The nodes of Brevitas' export of ``module``, its result called ``name``."""
    graph = export_module(module, frame).graph
    taken = {graph.input[0].name: given, graph.output[0].name: name}

    def called(inside: str) -> str:
        return taken.get(inside, f"{name}/{inside}") if inside else ""

    for tensor in graph.initializer:
        build.constant(called(tensor.name), numpy_helper.to_array(tensor))
    for node in graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant" and "value" in attributes:
            build.constant(called(node.output[0]), numpy_helper.to_array(attributes["value"]))
            continue
        inputs = [called(i) for i in node.input]
        build.node(node.op_type, inputs, called(node.output[0]), node.domain, **attributes)
    return name
