"""EventSynapses: layers and convolutions between spikes and neurons become event-driven."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from codesign.errors import UsageError
from codesign.ir import Graph, Node
from codesign.ops.convolve import Convolve
from codesign.ops.event_conv import EventConv, convolves_spikes
from codesign.ops.event_dense import EventDense, reads_spikes
from codesign.ops.matvec import MatVec
from codesign.ops.neuron import Neuron
from codesign.passes.base import Pass


class EventSynapses(Pass):
    """``expected``: layer -> spikes a step it is to be planned for; those layers are replaced."""

    name = "event-synapses"

    def __init__(self, expected: Mapping[str, int]) -> None:
        self._expected = dict(expected)

    def call(self, graph: Graph) -> Graph:
        nodes = []
        for node in graph.nodes:
            if node.name in self._expected and isinstance(node.op, MatVec | Convolve):
                form = EventDense if isinstance(node.op, MatVec) else EventConv
                op = form(layer=node.op, expected=self._expected[node.name])  # type: ignore[arg-type]
                node = Node(node.name, op, node.inputs, node.outputs)
            nodes.append(node)
        return graph.with_nodes(nodes)


def expected_spikes(graph: Graph, activity: float) -> dict[str, int]:
    """The layers from spikes to neurons, and ``activity`` of their inputs.

    ``UsageError`` where there is none, or where ``activity`` is no share.
    """
    if not 0 < activity <= 1:
        raise UsageError(f"activity is the share of inputs that spike in a step, got {activity}")
    found = {}
    for node in graph.nodes:
        if not isinstance(node.op, MatVec | Convolve) or node.op.loadable is not None:
            continue
        (x,) = graph.ins(node)
        readers = graph.consumers(node.output)
        spikes = convolves_spikes(node.op, x) if isinstance(node.op, Convolve) else reads_spikes(x)
        if spikes and any(isinstance(reader.op, Neuron) for reader in readers):
            found[node.name] = ceil(activity * (x.elements // x.shape[0]))
    if not found:
        raise UsageError(
            "no dense layer or convolution of this network leads from spikes to neurons",
            hint="leave --activity out: the layers are built folded",
        )
    return found
