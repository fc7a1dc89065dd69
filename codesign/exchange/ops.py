"""The operators for qonnx, which finds them here: the module is named as the domain."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, helper
from onnx.shape_inference import infer_shapes
from qonnx.core.datatype import DataType
from qonnx.custom_op.base import CustomOp

from codesign.exchange.attributes import Numbers, Rule
from codesign.exchange.coders import encoder_rules, execute_encoder, out_shape, read_encoder
from codesign.exchange.decoder import (
    decoded_shape,
    decoder_rules,
    execute_decoder,
    read_decoder,
)
from codesign.exchange.domain import error, printable
from codesign.exchange.execute import execute
from codesign.exchange.function import signature
from codesign.exchange.node import attributes_of, ports_of, sample_of, schema_at
from codesign.exchange.step import port, shape_of
from codesign.neurons import Word

__all__ = [
    "Alpha",
    "BesselDecoder",
    "CountEncoder",
    "DeltaEncoder",
    "DirectEncoder",
    "Egru",
    "LatencyEncoder",
    "Lif",
    "RateEncoder",
    "Snu",
]


#: Longer ranges are not handed to qonnx, which wants every number; reading the node checks them.
LISTED = 1 << 17


class NeuronOp(CustomOp):
    """Any neuron of the domain, version 1."""

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        """All attributes are required."""
        attributes = attributes_of(self.onnx_node)
        return _types({"version": range(1, 2), **schema_at(self.onnx_node).rules(attributes)})

    def make_shape_compatible_op(self, model: Any) -> NodeProto:
        """Every result has the shape of the inputs. One node must say it of all of them, and stay
        as it is through the inference: an ``If`` with the same constants on both sides."""
        node, ports = self.onnx_node, ports_of(self.onnx_node)
        known = (model.get_tensor_shape(name) for name in (*ports.inputs, *ports.states))
        shape = next((s for s in known if s is not None), None) or _shape_before(node, model)
        made = helper.make_node("If", [node.input[0]], list(node.output))
        for side in ("then_branch", "else_branch"):
            made.attribute.append(helper.make_attribute(side, _constants(node, side, shape)))
        return made

    def infer_node_datatype(self, model: Any) -> None:
        """The words of the output and of the states."""
        neuron, ports = sample_of(self.onnx_node), ports_of(self.onnx_node)
        model.set_tensor_datatype(ports.out, _datatype(neuron.out))
        for state, name in zip(neuron.states, ports.next_states, strict=True):
            model.set_tensor_datatype(name, _datatype(state.word))

    def execute_node(self, context: dict[str, np.ndarray], graph: GraphProto) -> None:
        """One step, in integers."""
        node, ports = self.onnx_node, ports_of(self.onnx_node)
        constant = {t.name for t in graph.initializer}
        constant |= {o for n in graph.node if n.op_type == "Constant" for o in n.output}
        computed = set(ports.parameters.values()) - constant  # the error names them
        given = {name: context[name] for name in node.input if name not in computed}
        context.update(execute(node, given))

    def verify_node(self) -> list[str]:
        """Raises :class:`codesign.errors.UnsupportedModel` for what is wrong with the node."""
        ports_of(self.onnx_node)
        return ["the attributes and ports of the node are as they must be"]


class Alpha(NeuronOp):
    """:class:`codesign.neurons.Alpha`."""


class Lif(NeuronOp):
    """:class:`codesign.neurons.Lif`."""


class Snu(NeuronOp):
    """:class:`codesign.neurons.Snu`."""


class Egru(NeuronOp):
    """:class:`codesign.neurons.Egru`."""


class TimeOp(CustomOp):
    """An encoder or decoder of the domain, version 1: one input, one output."""

    @abstractmethod
    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """What it makes of a tensor of ``shape``, the batch among them."""

    @abstractmethod
    def _execute(self, context: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Its output, by name."""

    def make_shape_compatible_op(self, model: Any) -> NodeProto:
        """A constant of its shape."""
        node = self.onnx_node
        shape = model.get_tensor_shape(node.input[0]) or _shape_before(node, model)
        return self.make_const_shape_op(list(self._shape(tuple(shape))))

    def execute_node(self, context: dict[str, np.ndarray], graph: GraphProto) -> None:
        """All steps, in integers."""
        context.update(self._execute(context))

    def verify_node(self) -> list[str]:
        """Raises :class:`codesign.errors.UnsupportedModel` for what is wrong with the node."""
        signature(self.onnx_node)
        return ["the attributes and ports of the node are as they must be"]


class EncoderOp(TimeOp):
    """(batch, F) becomes (batch, steps, F), a signal (batch, steps, F) (batch, steps, 2F)."""

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        """All attributes are required."""
        return _types(encoder_rules(self.onnx_node.op_type))

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return out_shape(self.onnx_node, read_encoder(self.onnx_node).encoder, shape)

    def _execute(self, context: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return execute_encoder(self.onnx_node, context)

    def infer_node_datatype(self, model: Any) -> None:
        """Spikes, or the codes that are repeated."""
        encoder = read_encoder(self.onnx_node).encoder
        word = _word(*encoder.out_span, encoder.out_frac)
        model.set_tensor_datatype(self.onnx_node.output[0], _datatype(word))


class RateEncoder(EncoderOp):
    """:class:`codesign.spikes.coders.Rate`."""


class LatencyEncoder(EncoderOp):
    """:class:`codesign.spikes.coders.Latency`."""


class DirectEncoder(EncoderOp):
    """:class:`codesign.spikes.coders.Direct`."""


class CountEncoder(EncoderOp):
    """:class:`codesign.spikes.coders.Count`."""


class DeltaEncoder(EncoderOp):
    """:class:`codesign.spikes.coders.Delta`."""


class BesselDecoder(TimeOp):
    """:class:`codesign.spikes.bessel.Bessel`: (batch, steps, ...) stays what it is."""

    def get_nodeattr_types(self) -> dict[str, tuple[Any, ...]]:
        """All attributes are required."""
        return _types(decoder_rules({}))

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return decoded_shape(self.onnx_node, read_decoder(self.onnx_node).decoder, shape)

    def _execute(self, context: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return execute_decoder(self.onnx_node, context)

    def infer_node_datatype(self, model: Any) -> None:
        """Smoothed codes."""
        decoder = read_decoder(self.onnx_node).decoder
        word = _word(*decoder.out_span(*decoder.span), decoder.out_frac)
        model.set_tensor_datatype(self.onnx_node.output[0], _datatype(word))


def _word(lo: int, hi: int, frac: int) -> Word:
    """The narrowest word of codes ``lo..hi``."""
    bits = max((~lo).bit_length() if lo < 0 else 1, hi.bit_length())
    return Word(bits + (lo < 0), frac, lo < 0, "wrap")


def _types(rules: Mapping[str, Rule]) -> dict[str, tuple[Any, ...]]:
    """Rules as qonnx writes them."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, rule in rules.items():
        if isinstance(rule, Numbers):
            found[name] = ("ints", True, [])
            continue
        kind: tuple[Any, ...] = ("s", True, "") if isinstance(rule, tuple) else ("i", True, 0)
        listed = not isinstance(rule, type) and len(rule) <= LISTED
        found[name] = (*kind, set(rule)) if listed else kind  # type: ignore[arg-type]
    return found


def _shape_before(node: NodeProto, model: Any) -> list[int]:
    """The shape of the first input, inferred from the nodes before, which qonnx has made standard
    ones already."""
    inferred = infer_shapes(model.model).graph
    infos = {i.name: i for i in (*inferred.value_info, *inferred.input, *inferred.output)}
    name = node.input[0]
    if name not in infos:
        what = f"the shape of its input '{printable(name)}' is not known"
        raise error(node, what, "give the states or the inputs of the graph their shapes")
    return list(shape_of(infos[name]))


def _constants(node: NodeProto, side: str, shape: list[int]) -> GraphProto:
    made, ports = [], []
    for number, _ in enumerate(node.output):
        name = f"{node.output[0]}_{side}_{number}"
        made.append(helper.make_node("RandomNormal", [], [name], dtype=1, shape=shape))
        ports.append(port(name, shape))
    return helper.make_graph(made, side, [], ports)


def _datatype(word: Word) -> Any:
    """The narrowest qonnx type that has every code; unsigned fractions need one bit more."""
    if word.frac == 0:
        if word.bits == 1 and not word.signed:
            return DataType["BINARY"]
        return DataType[f"{'INT' if word.signed else 'UINT'}{word.bits}"]
    bits = word.bits + (not word.signed)
    whole = bits - word.frac
    return DataType[f"FIXED<{bits},{whole}>"] if 0 <= whole < bits else DataType["FLOAT32"]
