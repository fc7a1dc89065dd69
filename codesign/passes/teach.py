"""Teach: dense layers of spiking neurons become layers that learn on the chip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from codesign.errors import UnsupportedModel, UsageError
from codesign.ir import Graph, Node, Value
from codesign.learnfile import LayerRule, LearnFile
from codesign.learning import LearningLayer
from codesign.learning.header import header_rows
from codesign.neurons import Lif
from codesign.ops.delay import Delay
from codesign.ops.encode import Encode
from codesign.ops.event_learning import EventLearning
from codesign.ops.expected import Expected
from codesign.ops.first_spike import SPIKES
from codesign.ops.headed_encode import HeadedEncode
from codesign.ops.matvec import MatVec
from codesign.ops.neuron import Neuron
from codesign.ops.reinterpret import Reinterpret
from codesign.ops.reshape import Reshape
from codesign.passes.base import Pass
from codesign.reference.loops import loop_of


class Teach(Pass):
    """The layers of ``file``, which begin at the circuit's input ``source`` or behind its encoder;
    ``expected``: the spikes that their synapses are planned for, by name. The graph then begins at
    that input: frames of codes with a header (:mod:`codesign.learning.header`)."""

    name = "teach"

    def __init__(self, file: LearnFile, source: str, expected: Mapping[str, Expected]) -> None:
        self._file, self._source, self._expected = file, source, expected

    def call(self, graph: Graph) -> Graph:
        source = graph.values[self._source]
        row = neuron_row(graph, source)
        names = [neurons.name for _, neurons in row]
        missing = [name for name in self._file.layers if name not in names]
        if missing:
            raise UsageError(
                f"the rule names layer '{missing[0]}', the network has "
                f"{', '.join(names) or 'no dense layer of neurons at its input'}",
                hint="'codesign learning-rule' writes a file for a network",
            )
        taught = [pair for pair in row if pair[1].name in self._file.layers]
        if taught != row[: len(taught)]:
            raise UnsupportedModel(
                f"layer '{row[0][1].name}' does not learn, a layer behind it does",
                where=f"layer '{row[0][1].name}'",
                hint="what is said of a frame reaches a layer through those before it: let all "
                "layers up to the last one that learns learn (rate_shift 40 keeps weights)",
            )
        encoder, start = _entry(graph, source)
        rows = header_rows(self._file.classes, start.shape[1])
        name = start.name if encoder is None else encoder.output
        entry = Value(name, (rows + start.shape[0], start.shape[1]), SPIKES)
        nodes, values = self._replaced(graph, taught, entry)
        if encoder is not None:
            assert isinstance(encoder.op, Encode)
            shape = graph.ins(encoder)[0].shape
            op = HeadedEncode(encoder.op, shape, self._file.classes)
            nodes.insert(0, Node(encoder.name, op, (source.name,), encoder.outputs))
            values.append(Value(source.name, op.in_shape, source.format))
        kept = replace(graph, inputs=(source.name,))
        return kept.with_nodes(nodes, values)

    def _replaced(
        self, graph: Graph, taught: list[tuple[Node, Node]], entry: Value
    ) -> tuple[list[Node], list[Value]]:
        made: dict[str, Node] = {}
        gone, values, x = set(), [entry], entry
        for index, (synapses, neurons) in enumerate(taught):
            op = self._op(graph, synapses, neurons, index < len(taught) - 1)
            node = Node(neurons.name, op, (x.name,), neurons.outputs)
            made[neurons.name] = node
            gone.add(synapses.name)
            x = Value(node.output, *op.infer(x))
            values.append(x)
        first = next(n for n, node in enumerate(graph.nodes) if node.name == taught[0][0].name)
        nodes = [made.get(n.name, n) for n in graph.nodes[first:] if n.name not in gone]
        return nodes, values

    def _op(self, graph: Graph, synapses: Node, neurons: Node, passes: bool) -> EventLearning:
        """The layer that learns, with the weights of the model."""
        rule, where = self._file.layers[neurons.name], f"layer '{neurons.name}'"
        matrix, op = synapses.op, neurons.op
        assert isinstance(matrix, MatVec) and isinstance(op, Neuron)
        model = op.model
        if not isinstance(model, Lif):
            raise UnsupportedModel(
                f"neurons of type {type(model).__name__} do not learn on the chip",
                where=where,
                hint="use Lif neurons (LIF and current-based LIF)",
            )
        if op.persistent or matrix.bias.any():
            what = "states that go on from frame to frame" if op.persistent else "a bias as weights"
            raise UnsupportedModel(
                f"a layer with {what} cannot learn",
                where=where,
                hint="reset the states at each window, and give the bias to the neurons",
            )
        try:
            layer, weights = _layer(rule, model, matrix, where)
            rival = rule.signal(layer.outputs, self._file.classes)
            _check_signal(rule, rival.span)
        except ValueError as error:
            raise UsageError(str(error), where=where, hint="see docs/LEARNING.md") from error
        expected = self._expected[synapses.name]
        return EventLearning(layer, rival, weights, op.steps, passes, expected)


def neuron_row(graph: Graph, source: Value) -> list[tuple[Node, Node]]:
    """(synapses, neurons) one after the other from the circuit's input, or its encoder, on."""
    _check_feed_forward(graph)
    encoder, start = _entry(graph, source)
    if len(start.shape) != 2 or start.format != SPIKES:
        what = "the circuit's input is" if encoder is None else "its encoder makes"
        raise UnsupportedModel(
            f"layers that learn read spikes (steps, features); {what} "
            f"{start.shape} {start.format.label()}",
            where=f"value '{start.name}'",
            hint="train with --encoder host, so that spikes are the network's input, or with an "
            "encoder in the circuit that makes spikes of 0 and 1 (rate, latency, delta, binary, "
            "bitwise)",
        )
    found: list[tuple[Node, Node]] = []
    value = start.name
    while True:
        readers = graph.consumers(value)
        if len(readers) != 1 or not isinstance(readers[0].op, MatVec):
            if any(isinstance(r.op, MatVec) for r in readers):
                raise UnsupportedModel(
                    f"'{value}' is read by {len(readers)} nodes: branches do not learn",
                    where=f"node '{readers[0].name}'",
                )
            return found
        (synapses,) = readers
        after = graph.consumers(synapses.output)
        if len(after) != 1 or not isinstance(after[0].op, Neuron):
            return found
        found.append((synapses, after[0]))
        value = after[0].output


def _entry(graph: Graph, source: Value) -> tuple[Node | None, Value]:
    """The encoder that reads the circuit's input, if one does, and the value that layers read."""
    encoder, value = None, source
    while True:
        readers = graph.consumers(value.name)
        if len(readers) != 1 or not isinstance(readers[0].op, Encode | Reshape | Reinterpret):
            return (encoder, value) if encoder else (None, source)
        encoder = readers[0] if isinstance(readers[0].op, Encode) else encoder
        value = graph.out(readers[0])


def _check_feed_forward(graph: Graph) -> None:
    """``UnsupportedModel`` where a step reads what the step before made."""
    for node in graph.nodes:
        if not isinstance(node.op, Delay):
            continue
        loop = loop_of(graph, graph.nodes, node)
        neurons = [n.name for n in loop if isinstance(n.op, Neuron)]
        what = "a recurrent layer" if loop else "a delay"
        raise UnsupportedModel(
            f"networks with {what} do not learn on the chip",
            where=f"layer '{neurons[0]}'" if neurons else f"node '{node.name}'",
            hint="layers that learn are feed-forward: leave out --learn, or loops and delays",
        )


def _layer(
    rule: LayerRule, model: Lif, matrix: MatVec, where: str
) -> tuple[LearningLayer, np.ndarray]:
    """The layer, and the model's weights int64 [inputs, outputs] with the rule's fraction bits."""
    tess, finer = rule.rule(), rule.weight.frac - model.input_frac
    if finer < 0:
        raise UsageError(
            f"the model's weights have {model.input_frac} fraction bits, the rule's word "
            f"{rule.weight.frac}",
            where=where,
            hint=f"give weight.frac at least {model.input_frac}",
        )
    weights = np.asarray(matrix.weights, np.int64).T << finer
    word = tess.weight
    if weights.min() < word.lo or weights.max() > word.hi:
        raise UsageError(
            f"the model's weights are {weights.min()}..{weights.max()} in steps of "
            f"2^-{word.frac}, the rule's word holds {word.lo}..{word.hi}",
            where=where,
            hint="give weight more bits",
        )
    neuron = _rounded(rule, model).with_input_fracs((word.frac,))
    return LearningLayer(neuron, tess, *weights.shape), weights


def _rounded(rule: LayerRule, model: Lif) -> Lif:
    """``model`` with a rounding for sums that are finer than its membrane."""
    coarse = model.synapse.word.frac if model.synapse else model.word.frac
    chosen, own = rule.current_rounding, model.rounding
    if own != "exact":
        if chosen not in ("model", own):
            raise ValueError(f"current_rounding: the model's neurons round '{own}', not '{chosen}'")
        return model
    if chosen == "model" and rule.weight.frac > coarse:
        raise ValueError(
            f"sums of weights of {rule.weight.frac} fraction bits must be rounded to the neurons' "
            f"{coarse}, but these say 'exact': give current_rounding"
        )
    return model if chosen == "model" else replace(model, rounding=chosen)


def _check_signal(rule: LayerRule, span: tuple[int, int]) -> None:
    most = 1 << (rule.signal_bits - 1)
    if span[0] < -most or span[1] >= most:
        raise ValueError(f"the signs make signals {span[0]}..{span[1]}; give signal_bits more bits")
