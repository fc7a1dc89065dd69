"""MakeLoadable: layers whose weights are written at run time get the range of every weight."""

from __future__ import annotations

from dataclasses import replace

from codesign.ir import Graph, Node
from codesign.ops.conv import Conv
from codesign.ops.dense import Dense
from codesign.passes.base import Pass


class MakeLoadable(Pass):
    """Dense layers and convolutions become loadable; formats behind them widen with them."""

    name = "make-loadable"

    def call(self, graph: Graph) -> Graph:
        nodes = [
            Node(n.name, replace(n.op, loadable=True), n.inputs, n.outputs)
            if isinstance(n.op, Dense | Conv)
            else n
            for n in graph.nodes
        ]
        return graph.with_nodes(nodes).inferred()
