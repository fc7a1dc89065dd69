"""The operations of a model on either side of its circuit, in order, and their names."""

from __future__ import annotations

from collections.abc import Iterable

from codesign.ir import Graph, Node, Value
from codesign.manifest import HostStep
from codesign.ops.reshape import Reshape
from codesign.plan import Circuit


def sources(circuit: Circuit) -> tuple[Value, ...]:
    """What the circuit is given."""
    return (circuit.source,)


def targets(circuit: Circuit) -> tuple[Value, ...]:
    """What the circuit emits."""
    return (circuit.target,)


def before_circuit(circuit: Circuit) -> list[Node]:
    """The nodes that make what the circuit is given of the network's inputs."""
    given = set(circuit.graph.inputs)
    return _between(circuit.graph, given, (value.name for value in sources(circuit)))


def after_circuit(circuit: Circuit) -> list[Node]:
    """The nodes that make the network's outputs of what the circuit emits."""
    given = {value.name for value in targets(circuit)}
    return _between(circuit.graph, given, circuit.graph.outputs)


def input_steps(circuit: Circuit) -> list[HostStep]:
    """:func:`before_circuit` as the manifest holds it."""
    return _named(before_circuit(circuit))


def host_steps(circuit: Circuit) -> list[HostStep]:
    """:func:`after_circuit` as the manifest holds it; codes that mean another number in each
    channel are something to apply as well."""
    nodes = after_circuit(circuit)
    scales = [
        HostStep(name="", operation="scale per channel", reads=[v.name], writes=v.name)
        for v in targets(circuit)
        if not v.format.uniform
    ]
    return scales + _named(nodes)


def _named(nodes: Iterable[Node]) -> list[HostStep]:
    """Without reshapes, which move nothing."""
    return [
        HostStep(name=n.name, operation=n.op.words, reads=list(n.inputs), writes=n.output)
        for n in nodes
        if not isinstance(n.op, Reshape)
    ]


def _between(graph: Graph, given: set[str], wanted: Iterable[str]) -> list[Node]:
    """What computes ``wanted`` from ``given``, in graph order."""
    makes = {name: node for node in graph.nodes for name in node.outputs}
    needed: set[str] = set()
    todo = [name for name in wanted if name not in given]
    while todo:
        node = makes[todo.pop()]
        if node.name not in needed:
            needed.add(node.name)
            todo += [name for name in node.inputs if name not in given]
    return [node for node in graph.nodes if node.name in needed]
