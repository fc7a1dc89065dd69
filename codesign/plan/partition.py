"""Partition: what stays on the host (float) and what becomes the circuit (codes)."""

from __future__ import annotations

from dataclasses import dataclass

from codesign.errors import UnsupportedModel
from codesign.formats import Real
from codesign.ir import Graph, Node, Value
from codesign.ops.circuit import CircuitOp
from codesign.ops.rearrange import Rearrange
from codesign.ops.requant import Requant
from codesign.ops.reshape import Reshape, origin


@dataclass(frozen=True)
class Layer:
    """Consecutive circuit nodes emitted as one module: an operation, and the Requant behind it.

    ``sources``: the values it reads, in the order of its first node's inputs, seen through
    reshapes; ``target``: what it writes.
    """

    name: str
    nodes: tuple[Node, ...]
    sources: tuple[Value, ...]
    target: Value

    @property
    def head(self) -> CircuitOp:
        """The operation the layer is named after."""
        op = self.nodes[0].op
        assert isinstance(op, CircuitOp)
        return op

    @property
    def source(self) -> Value:
        """The first value it reads."""
        return self.sources[0]

    @property
    def ports(self) -> tuple[str, ...]:
        """Names of its input streams."""
        return (
            ("i",) if len(self.sources) == 1 else tuple(f"i{n}" for n in range(len(self.sources)))
        )


@dataclass(frozen=True)
class Circuit:
    """The integer part of a graph: layers in execution order, from ``source`` to ``target``."""

    graph: Graph
    layers: tuple[Layer, ...]
    source: Value
    target: Value

    def readers(self, value: Value) -> list[tuple[Layer, str]]:
        """The layers that read ``value`` and the ports they read it on."""
        return [
            (layer, port)
            for layer in self.layers
            for source, port in zip(layer.sources, layer.ports, strict=True)
            if source.name == value.name
        ]


def partition(graph: Graph) -> Circuit:
    """Split ``graph``; ``UnsupportedModel`` when its integer part is not one piece between one
    input and one output.

    Reshapes of codes vanish: a stream carries elements in row-major order either way.
    """
    nodes = [n for n in graph.nodes if isinstance(n.op, CircuitOp) and reads_codes(graph, n)]
    nodes = _without_last_move(graph, _without_first_move(graph, nodes))
    if not nodes:
        raise UnsupportedModel(
            "nothing in this model computes on integer codes",
            where=f"model '{graph.name}'",
            hint="quantize the input and the weights (QuantIdentity, QuantLinear in Brevitas)",
        )
    written = {name for node in nodes for name in node.outputs}
    source = _only_source(graph, nodes, written)
    target = _only_target(graph, nodes, written)
    layers = tuple(_layer(graph, group) for group in _groups(graph, nodes, target))
    return Circuit(graph, layers, graph.values[source], graph.values[target])


def reads_codes(graph: Graph, node: Node) -> bool:
    """Whether ``node`` belongs to the circuit: an argmax of float logits stays on the host, as a
    concatenation of codes does that no format holds together."""
    around = (*graph.ins(node), graph.out(node))
    return not any(isinstance(value.format, Real) for value in around)


def _without_first_move(graph: Graph, nodes: list[Node]) -> list[Node]:
    """``nodes`` without a move of the network input, where that is codes already: the host sends
    them in the order wanted."""
    port = graph.inputs[0]
    first = [n for n in nodes if port in (origin(graph, name) for name in n.inputs)]
    if len(first) != 1 or not isinstance(first[0].op, Rearrange) or len(nodes) == 1:
        return nodes
    return [n for n in nodes if n is not first[0]]


def _without_last_move(graph: Graph, nodes: list[Node]) -> list[Node]:
    """``nodes`` without permutations and copies at the very end: the host moves its result
    itself, hardware would hold the frame for it. What drops elements stays."""
    last = nodes[-1] if nodes else None
    if last is None or not isinstance(last.op, Rearrange) or len(nodes) == 1:
        return nodes
    read = {origin(graph, name) for node in nodes for name in node.inputs}
    leaves = last.output not in read and origin(graph, last.inputs[0]) not in {
        origin(graph, name) for node in nodes[:-1] for name in node.inputs
    }
    grows = len(set(last.op.index.reshape(-1)) - {-1}) == graph.ins(last)[0].elements
    return _without_last_move(graph, nodes[:-1]) if leaves and grows else nodes


def _only_source(graph: Graph, nodes: list[Node], written: set[str]) -> str:
    read = {origin(graph, name): node for node in nodes for name in node.inputs}
    outside = [name for name in read if name not in written]
    if len(outside) == 1:
        return outside[0]
    late = next((n for n in outside if _follows(graph, n, written)), None)
    if late is not None:
        raise UnsupportedModel(
            f"'{late}' is quantized from values computed in float after the circuit began",
            where=f"node '{read[late].name}'",
            hint="a chain of element-wise operations from codes to a quantizer is tabulated; "
            "put quantizers around what lies between",
        )
    raise UnsupportedModel(
        f"the network input is quantized {len(outside)} times: {', '.join(sorted(outside)[:4])}",
        where=f"node '{read[outside[1]].name}'",
        hint="quantize the input once and share it (one QuantIdentity in Brevitas)",
    )


def _follows(graph: Graph, name: str, written: set[str]) -> bool:
    """Whether ``name`` depends on a value the circuit writes."""
    todo, seen = [name], set()
    while todo:
        node = graph.producer(todo.pop())
        for before in node.inputs if node is not None else ():
            if before in written:
                return True
            if before not in seen:
                seen.add(before)
                todo.append(before)
    return False


def _only_target(graph: Graph, nodes: list[Node], written: set[str]) -> str:
    inside = {id(node) for node in nodes}
    read = [name for n in graph.nodes if id(n) not in inside and not isinstance(n.op, Reshape)
            for name in n.inputs]  # fmt: skip
    leaving = {origin(graph, name) for name in (*read, *graph.outputs)} & written
    if len(leaving) > 1:
        names = ", ".join(sorted(leaving)[:4])
        raise UnsupportedModel(
            f"the output is computed in float from {len(leaving)} integer tensors: {names}",
            where=f"model '{graph.name}'",
            hint="quantize before they are combined, or export one output",
        )
    return leaving.pop()


def _groups(graph: Graph, nodes: list[Node], target: str) -> list[list[Node]]:
    """Each operation with the requantizer that alone reads it."""
    groups: dict[str, list[Node]] = {}  # by what the group writes
    for node in nodes:
        name = node.inputs[0]
        alone = isinstance(node.op, Requant) and len(graph.consumers(name)) == 1 and name != target
        if alone and name in groups and not isinstance(groups[name][-1].op, Requant):
            groups[node.output] = [*groups.pop(name), node]
        else:
            groups[node.output] = [node]
    return _in_order(list(groups.values()), nodes)


def _in_order(groups: list[list[Node]], nodes: list[Node]) -> list[list[Node]]:
    place = {node.name: index for index, node in enumerate(nodes)}
    return sorted(groups, key=lambda group: place[group[-1].name])


def _layer(graph: Graph, nodes: list[Node]) -> Layer:
    sources = tuple(graph.values[origin(graph, name)] for name in nodes[0].inputs)
    return Layer(nodes[0].name, tuple(nodes), sources, graph.values[nodes[-1].output])
