"""EventSynapses: layers and convolutions between spikes and neurons become event-driven, and the
pooling before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from codesign.errors import UsageError
from codesign.formats import ScaledInt
from codesign.ir import Graph, Node
from codesign.ops.convolve import Convolve
from codesign.ops.event_conv import EventConv, convolves_spikes
from codesign.ops.event_dense import EventDense, reads_spikes
from codesign.ops.event_pool import EventPool, pools_spikes
from codesign.ops.expected import Expected
from codesign.ops.matvec import MatVec
from codesign.ops.max_pool import MaxPool
from codesign.ops.neuron import Neuron
from codesign.ops.requant import Requant
from codesign.ops.reshape import Reshape, origin
from codesign.ops.sum_pool import SumPool
from codesign.passes.base import Pass


class EventSynapses(Pass):
    """``expected``: layer -> the spikes it is to be planned for; those layers are replaced."""

    name = "event-synapses"

    def __init__(self, expected: Mapping[str, Expected]) -> None:
        self._expected = dict(expected)

    def call(self, graph: Graph) -> Graph:
        made = {
            node.name: _event_form(graph, node, self._expected[node.name])
            for node in graph.nodes
            if node.name in self._expected
        }
        written = {name: node.name for node in made.values() for name in node.outputs}
        nodes = [made.get(node.name, node) for node in graph.nodes]
        return graph.with_nodes(n for n in nodes if written.get(n.output, n.name) == n.name)


def _event_form(graph: Graph, node: Node, expected: Expected) -> Node:
    """What takes events and computes the same."""
    if isinstance(node.op, MatVec):
        return replace(node, op=EventDense(expected=expected, layer=node.op))
    if isinstance(node.op, Convolve) and _leads_to_neurons(graph, node):
        return replace(node, op=EventConv(expected=expected, layer=node.op))
    if (pool := pool_of(node)) is None:
        raise TypeError(f"{node.op.kind} '{node.name}' has no event-driven form")
    scaled = _relabelling(graph, node.output)
    format = graph.out(scaled or node).format
    assert isinstance(format, ScaledInt)
    relabelled = None if scaled is None and pool is node.op else format
    op = EventPool(expected=expected, pool=pool, relabelled=relabelled)
    return Node(node.name, op, node.inputs, (scaled or node).outputs)


def pool_of(node: Node) -> MaxPool | SumPool | None:
    """The pooling that ``node`` is: also a convolution that adds each channel up by itself, as NIR
    has sums."""
    op = node.op
    if isinstance(op, MaxPool | SumPool):
        return op
    if not isinstance(op, Convolve) or op.loadable is not None or op.bias.any() or op.pad_code:
        return None
    if op.groups != len(op.weights) or op.weights.shape[-1] != 1 or (op.weights != 1).any():
        return None
    return SumPool(op.weights.shape[1:3], op.strides, op.dilations, op.pads, op.steps)


def _relabelling(graph: Graph, value: str) -> Node | None:
    """What alone reads ``value`` and changes no code of it, only what they mean: how an average
    follows from a sum."""
    readers = graph.consumers(value)
    if len(readers) != 1 or not isinstance(readers[0].op, Requant) or value in graph.outputs:
        return None
    op, known = readers[0].op, graph.values[value].format
    codes = np.arange(known.lo, known.hi + 1)
    made = graph.out(readers[0]).format
    same = all((op.column(codes, row) == codes).all() for row in range(op.period))
    plain = isinstance(made, ScaledInt) and not made.zero_point and made.lo == 0
    return readers[0] if same and plain else None


def event_layers(graph: Graph) -> list[Node]:
    """The layers from spikes to neurons and the pooling that only they read, in graph order;
    ``UsageError`` where there is no such layer."""
    layers = {node.name for node in graph.nodes if is_synapses(graph, node)}
    if not layers:
        raise UsageError(
            "no dense layer or convolution of this network leads from spikes to neurons",
            hint="leave --activity out: the layers are built folded",
        )
    pools: set[str] = set()
    for node in reversed(graph.nodes):
        if _is_pool(graph, node):
            scaled = _relabelling(graph, node.output)
            if _all_in(layers | pools, graph, scaled.output if scaled else node.output):
                pools.add(node.name)
    return [node for node in graph.nodes if node.name in layers | pools]


def is_synapses(graph: Graph, node: Node) -> bool:
    """Whether ``node`` leads from spikes to neurons, with weights that stay."""
    if not isinstance(node.op, MatVec | Convolve) or node.op.loadable is not None:
        return False
    (x,) = graph.ins(node)
    spikes = convolves_spikes(node.op, x) if isinstance(node.op, Convolve) else reads_spikes(x)
    return spikes and _leads_to_neurons(graph, node) and _steps_first(graph, node)


def _leads_to_neurons(graph: Graph, node: Node) -> bool:
    """Whether what ``node`` makes are currents of neurons."""
    return any(isinstance(reader.op, Neuron) for reader in graph.consumers(node.output))


def _is_pool(graph: Graph, node: Node) -> bool:
    """Whether ``node`` pools spikes, not into currents."""
    pool = pool_of(node)
    if pool is None or _leads_to_neurons(graph, node):
        return False
    return pools_spikes(pool, graph.ins(node)[0]) and _steps_first(graph, node)


def _steps_first(graph: Graph, node: Node) -> bool:
    """Whether what travels to ``node`` has its steps as first axis, whatever it is seen as."""
    travels = graph.values[origin(graph, node.inputs[0])]
    return travels.shape[:1] == graph.ins(node)[0].shape[:1]


def _all_in(names: set[str], graph: Graph, value: str) -> bool:
    """Whether ``value`` is read, and only by nodes of these ``names``."""
    if value in graph.outputs:
        return False
    readers = graph.consumers(value)
    return bool(readers) and all(
        _all_in(names, graph, reader.output)
        if isinstance(reader.op, Reshape)
        else reader.name in names
        for reader in readers
    )
