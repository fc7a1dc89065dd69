"""MakeLoadable: layers whose weights are written at run time get the range of every weight."""

from __future__ import annotations

from dataclasses import replace

from codesign.ir import Graph, Node, Value
from codesign.ops.conv import Conv
from codesign.ops.dense import Dense
from codesign.passes.base import Pass


class MakeLoadable(Pass):
    """Dense layers and convolutions become loadable; formats behind them widen with them."""

    name = "make-loadable"

    def call(self, graph: Graph) -> Graph:
        nodes: list[Node] = []
        values: dict[str, Value] = dict(graph.values)
        for node in graph.nodes:
            if isinstance(node.op, Dense | Conv):
                op = replace(node.op, loadable=True)
                node = Node(node.name, op, node.inputs, node.outputs)
            nodes.append(node)
            if len(node.outputs) == 1:
                shape, format = node.op.infer(*(values[name] for name in node.inputs))
                values[node.output] = Value(node.output, shape, format)
        return graph.with_nodes(nodes, values.values())
