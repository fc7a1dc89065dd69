"""FoldOffset: a constant between a layer's sums and a neuron becomes the layer's bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codesign.ir import Graph, Node, Value
from codesign.ops.add import Add
from codesign.ops.convolve import Convolve
from codesign.ops.matvec import MatVec
from codesign.ops.on_grid import OnGrid
from codesign.passes.base import Pass


class FoldOffset(Pass):
    """Sums, plus a constant, as codes -> sums that start from it; only where every number is a
    whole number of steps, so that no bit changes."""

    name = "fold-offset"

    def call(self, graph: Graph) -> Graph:
        for node in graph.nodes:
            merged = self._merge(graph, node)
            if merged is not None:
                return self.call(merged)
        return graph.inferred()  # what moves the sums on their way has their range, too

    def _merge(self, graph: Graph, node: Node) -> Graph | None:
        add = graph.producer(node.inputs[0]) if isinstance(node.op, OnGrid) else None
        source = graph.producer(add.inputs[0]) if add and isinstance(add.op, Add) else None
        if add is None or source is None or not isinstance(source.op, MatVec | Convolve):
            return None
        alone = all(len(graph.consumers(n.output)) == 1 for n in (source, add))
        assert isinstance(add.op, Add) and isinstance(node.op, OnGrid)
        if not alone or add.op.value.size not in (1, len(source.op.bias)):
            return None
        steps = np.ldexp(add.op.value.reshape(-1).astype(np.float64), node.op.frac)
        if (steps != np.rint(steps)).any() or (source.op.scale != 2.0**-node.op.frac).any():
            return None
        bias = source.op.bias + np.broadcast_to(steps, source.op.bias.shape).astype(np.int64)
        op = replace(source.op, bias=bias)
        shape, format = op.infer(*graph.ins(source))
        if max(-format.lo, format.hi) >= 1 << 24:
            return None  # float32 would round the sum: tabulated, and refused where it does
        fused = Node(source.name, op, source.inputs, node.outputs)
        gone = {node.name, add.name}
        nodes = [fused if n is source else n for n in graph.nodes if n.name not in gone]
        return graph.with_nodes(nodes, [Value(node.output, shape, format)])
