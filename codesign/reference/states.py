"""The states of neurons, seen: in the circuit only their spikes leave them."""

from __future__ import annotations

from dataclasses import replace

from codesign.ir import Graph, Node, Value
from codesign.ops.event_learning import EventLearning, LearningState
from codesign.ops.neuron import Neuron, NeuronState, state_name


def state_values(node: Node, ins: list[Value]) -> list[Value]:
    """A value for each state of ``node``, all steps of it; none unless it is of neurons."""
    return [Value(node.output, *node.op.infer(*ins)) for node in _observers(node, ins)]


def with_states(graph: Graph) -> Graph:
    """``graph`` with the states of its neurons as further values, which nothing reads."""
    seen = [observer for node in graph.nodes for observer in _observers(node, graph.ins(node))]
    values = {node.output: Value(node.output, *node.op.infer(*graph.ins(node))) for node in seen}
    return replace(graph, nodes=(*graph.nodes, *seen), values={**graph.values, **values})


def _observers(node: Node, ins: list[Value]) -> list[Node]:
    if isinstance(node.op, EventLearning):
        states = node.op.layer.neuron.states
        return [
            Node(name, LearningState(node.op, s.name), node.inputs, (name,))
            for s in states
            for name in [state_name(node.name, s.name)]
        ]
    if not isinstance(node.op, Neuron):
        return []
    names = {s.name: state_name(node.name, s.name) for s in node.op.model.states}
    return [
        Node(name, NeuronState(node.op, state), node.inputs, (name,))
        for state, name in names.items()
    ]
