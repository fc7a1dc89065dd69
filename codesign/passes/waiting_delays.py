"""Delays outside of loops wait for the frame they belong to."""

from __future__ import annotations

from dataclasses import replace

from codesign.ir import Graph, Node, Value
from codesign.ops.delay import Delay
from codesign.ops.reshape import Reshape
from codesign.passes.base import Pass
from codesign.reference.loops import loop_of


class WaitingDelays(Pass):
    """A :class:`Delay` in no loop gets ``waits``. One in a loop must offer its first step at
    once; what reads it outside of that loop gets a delay of its own, which waits: else a circuit
    would put out the first step of a frame before that frame has come. If it delays what another
    one in a loop does, that one gets such a double, too."""

    name = "waiting-delays"

    def call(self, graph: Graph) -> Graph:
        doubles = _Doubles(graph)
        nodes: list[Node] = []
        renamed: dict[tuple[str, str], str] = {}  # (reader, value) -> what it reads instead
        for node in graph.nodes:
            nodes.append(node)
            if not isinstance(node.op, Delay):
                continue
            inside = {n.name for n in loop_of(graph, graph.nodes, node)}
            if not inside:
                nodes[-1] = replace(node, op=replace(node.op, waits=True))
                continue
            outside = [n for n in graph.consumers(node.output) if n.name not in inside]
            if outside:
                name = doubles.of(node)
                renamed |= {(n.name, node.output): name for n in outside}
            nodes += doubles.new()
        ready = [
            replace(n, inputs=tuple(renamed.get((n.name, i), i) for i in n.inputs)) for n in nodes
        ]
        return graph.with_nodes(ready, doubles.values)


class _Doubles:
    """Delays that wait, in place of some in loops."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._names: dict[str, str] = {}  # delay -> what its double writes
        self._new: list[Node] = []
        self.values: list[Value] = []

    def of(self, node: Node) -> str:
        """What the double of ``node`` writes."""
        if node.name not in self._names:
            assert isinstance(node.op, Delay)
            name = self._names[node.name] = _free(self._graph, f"{node.output}_out")
            source = self._delay_before(node)
            read = node.inputs if source is None else (self.of(source),)
            label = _free(self._graph, f"{node.name}_out")
            self.values.append(replace(self._graph.out(node), name=name))
            self._new.append(Node(label, replace(node.op, waits=True), read, (name,)))
        return self._names[node.name]

    def new(self) -> list[Node]:
        """Those made since the last call, each behind what it reads."""
        made, self._new = self._new, []
        return made

    def _delay_before(self, node: Node) -> Node | None:
        """The delay in a loop whose output ``node`` reads, perhaps in another shape."""
        before = self._graph.producer(node.inputs[0])
        while before is not None and isinstance(before.op, Reshape):
            before = self._graph.producer(before.inputs[0])
        if before is None or not isinstance(before.op, Delay):
            return None
        return before if loop_of(self._graph, self._graph.nodes, before) else None


def _free(graph: Graph, name: str) -> str:
    taken = {*graph.values, *(n.name for n in graph.nodes)}
    while name in taken:
        name += "_"
    return name
