"""Delays outside of loops wait for the frame they belong to."""

from __future__ import annotations

from dataclasses import replace

from codesign.ir import Graph, Node, Value
from codesign.ops.delay import Delay
from codesign.passes.base import Pass
from codesign.reference.loops import loop_of


class WaitingDelays(Pass):
    """A :class:`Delay` in no loop gets ``waits``. One in a loop must offer its initial state at
    once; what reads it outside of that loop gets a delay of its own, which waits: else a circuit
    would put out the first step of a frame before that frame has come."""

    name = "waiting-delays"

    def call(self, graph: Graph) -> Graph:
        nodes: list[Node] = []
        values: list[Value] = []
        renamed: dict[tuple[str, str], str] = {}  # (reader, value) -> what it reads instead
        for node in graph.nodes:
            nodes.append(node)
            if not isinstance(node.op, Delay):
                continue
            inside = {n.name for n in loop_of(graph, graph.nodes, node)}
            waiting = replace(node.op, waits=True)
            if not inside:
                nodes[-1] = replace(node, op=waiting)
                continue
            outside = [n for n in graph.consumers(node.output) if n.name not in inside]
            if not outside:
                continue
            name = _free(graph, f"{node.output}_out")
            values.append(replace(graph.out(node), name=name))
            nodes.append(Node(_free(graph, f"{node.name}_out"), waiting, node.inputs, (name,)))
            renamed |= {(n.name, node.output): name for n in outside}
        ready = [
            replace(n, inputs=tuple(renamed.get((n.name, i), i) for i in n.inputs)) for n in nodes
        ]
        return graph.with_nodes(ready, values)


def _free(graph: Graph, name: str) -> str:
    taken = {*graph.values, *(n.name for n in graph.nodes)}
    while name in taken:
        name += "_"
    return name
