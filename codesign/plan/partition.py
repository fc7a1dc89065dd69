"""Partition: what stays on the host (float) and what becomes the circuit (codes)."""

from __future__ import annotations

from dataclasses import dataclass

from codesign.errors import UnsupportedModel
from codesign.formats import Real
from codesign.ir import Graph, Node, Value
from codesign.ops.circuit import CircuitOp
from codesign.ops.matvec import MatVec
from codesign.ops.requant import Requant
from codesign.ops.reshape import Reshape


@dataclass(frozen=True)
class Layer:
    """Consecutive circuit nodes emitted as one module: a MatVec with its Requant, or one node."""

    name: str
    nodes: tuple[Node, ...]
    source: Value
    target: Value

    @property
    def head(self) -> CircuitOp:
        """The operation the layer is named after."""
        op = self.nodes[0].op
        assert isinstance(op, CircuitOp)
        return op


@dataclass(frozen=True)
class Circuit:
    """The integer part of a graph: a chain of layers from ``source`` to ``target`` codes."""

    graph: Graph
    layers: tuple[Layer, ...]
    source: Value
    target: Value


def partition(graph: Graph) -> Circuit:
    """Split ``graph``; ``UnsupportedModel`` when its integer part is no single chain.

    Reshapes of codes vanish: a stream carries elements in row-major order either way.
    """
    circuit = [n for n in graph.nodes if isinstance(n.op, CircuitOp) and _reads_codes(graph, n)]
    if not circuit:
        raise UnsupportedModel(
            "nothing in this model computes on integer codes",
            where=f"model '{graph.name}'",
            hint="quantize the input and the weights (QuantIdentity, QuantLinear in Brevitas)",
        )
    source = _origin(graph, circuit[0].inputs[0])
    current = source
    for node in circuit:
        if _origin(graph, node.inputs[0]) != current:
            raise UnsupportedModel(
                f"'{node.name}' does not follow '{current}': branches are not supported",
                where=f"node '{node.name}'",
                hint="a chain of layers is supported",
            )
        current = node.output
    layers = tuple(_layer(graph, group) for group in _groups(circuit))
    return Circuit(graph, layers, graph.values[source], graph.values[current])


def _reads_codes(graph: Graph, node: Node) -> bool:
    """Whether ``node`` belongs to the circuit: an argmax of float logits stays on the host."""
    return not any(isinstance(value.format, Real) for value in graph.ins(node))


def _origin(graph: Graph, name: str) -> str:
    """``name`` seen through reshapes."""
    node = graph.producer(name)
    while node is not None and isinstance(node.op, Reshape):
        name = node.inputs[0]
        node = graph.producer(name)
    return name


def _groups(nodes: list[Node]) -> list[list[Node]]:
    groups: list[list[Node]] = []
    for node in nodes:
        follows = groups and isinstance(groups[-1][-1].op, MatVec) and isinstance(node.op, Requant)
        if follows:
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


def _layer(graph: Graph, nodes: list[Node]) -> Layer:
    source = graph.values[nodes[0].inputs[0]]
    return Layer(nodes[0].name, tuple(nodes), source, graph.values[nodes[-1].output])
