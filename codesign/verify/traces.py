"""The states of neurons, seen: in the circuit only their spikes leave them."""

from __future__ import annotations

from dataclasses import replace

from codesign.ir import Graph, Node, Value
from codesign.ops.neuron import Neuron, NeuronState


def state_name(node: str, state: str) -> str:
    """What the state of a node is called among values."""
    return f"{node}.{state}"


def with_states(graph: Graph) -> Graph:
    """``graph`` with a value for each state of each layer of neurons, after every step."""
    seen, values = [], dict(graph.values)
    for node in graph.nodes:
        if not isinstance(node.op, Neuron):
            continue
        for state in node.op.model.states:
            name, op = state_name(node.name, state.name), NeuronState(node.op, state.name)
            values[name] = Value(name, *op.infer(*graph.ins(node)))
            seen.append(Node(name, op, node.inputs, (name,)))
    return replace(graph, nodes=(*graph.nodes, *seen), values=values)
