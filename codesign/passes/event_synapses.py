"""EventSynapses: dense layers between spikes and neurons become event-driven."""

from __future__ import annotations

from collections.abc import Mapping

from codesign.ir import Graph, Node
from codesign.ops.event_dense import EventDense
from codesign.ops.matvec import MatVec
from codesign.passes.base import Pass


class EventSynapses(Pass):
    """``expected``: layer -> spikes a step it is to be planned for; those layers are replaced."""

    name = "event-synapses"

    def __init__(self, expected: Mapping[str, int]) -> None:
        self._expected = dict(expected)

    def call(self, graph: Graph) -> Graph:
        nodes = []
        for node in graph.nodes:
            if node.name in self._expected and isinstance(node.op, MatVec):
                op = EventDense(node.op, self._expected[node.name])
                op.infer(*graph.ins(node))
                node = Node(node.name, op, node.inputs, node.outputs)
            nodes.append(node)
        return graph.with_nodes(nodes)


def spike_layers(graph: Graph) -> dict[str, int]:
    """Dense layers that read spikes -> their inputs."""
    found = {}
    for node in graph.nodes:
        if not isinstance(node.op, MatVec):
            continue
        (x,) = graph.ins(node)
        spikes = x.format.lo == 0 and x.format.hi <= 255 and len(x.shape) == 2
        if spikes and node.op.loadable is None and _between_neurons(graph, node):
            found[node.name] = x.shape[-1]
    return found


def _between_neurons(graph: Graph, node: Node) -> bool:
    from codesign.ops.neuron import Neuron

    return any(isinstance(reader.op, Neuron) for reader in graph.consumers(node.output))
