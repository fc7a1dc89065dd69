"""Lower dense layers to circuits: zero points become a bias, exact float biases become integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codesign.formats import Real, ScaledInt
from codesign.ir import Graph, Node, Value
from codesign.ops.add import Add
from codesign.ops.convolve import Convolve
from codesign.ops.dense import Dense
from codesign.ops.matvec import MatVec
from codesign.ops.weight_range import LoadableWeights, weight_range
from codesign.passes.base import Pass


class LowerDense(Pass):
    """``Dense`` on codes -> :class:`MatVec`, with the input's zero point as a constant."""

    name = "lower-dense"

    def call(self, graph: Graph) -> Graph:
        nodes, values = [], []
        for node in graph.nodes:
            if isinstance(node.op, Dense):
                source = graph.ins(node)[0]
                op = _lower(node.op, source)
                shape, format = op.infer(source)
                values.append(Value(node.output, shape, format))
                node = Node(node.name, op, node.inputs, node.outputs)
            nodes.append(node)
        return graph.with_nodes(nodes, values)


def _lower(op: Dense, source: Value) -> MatVec:
    format = source.format
    assert isinstance(format, ScaledInt)
    bias = -format.zero_point * op.weights.sum(axis=1)
    scale = np.atleast_1d(op.weight_scale).astype(np.float64) * np.float64(format.scale[0])
    loadable = None
    if op.loadable:
        loadable = LoadableWeights(*weight_range(op.weights, op.limits), format.zero_point)
    return MatVec(op.weights, bias, scale, loadable)


class FoldBias(Pass):
    """Add an integer-valued bias inside the circuit where no quantizer follows.

    Done only when it changes no bit: the bias is a whole number of accumulator steps and every
    sum is exact in float32 (below 2^24 steps of a power-of-two scale). Where a quantizer
    follows, the bias disappears into its thresholds anyway.
    """

    name = "fold-bias"

    def call(self, graph: Graph) -> Graph:
        for node in graph.nodes:
            merged = self._merge(graph, node)
            if merged is not None:
                return self.call(merged)
        return graph

    def _merge(self, graph: Graph, node: Node) -> Graph | None:
        source = graph.producer(node.inputs[0]) if isinstance(node.op, Add) else None
        if source is None or not isinstance(source.op, MatVec | Convolve):
            return None
        if len(graph.consumers(source.output)) != 1 or graph.consumers(node.output):
            return None
        assert isinstance(node.op, Add)
        if node.op.value.size not in (1, len(source.op.bias)):
            return None
        steps = node.op.value.reshape(-1).astype(np.float64) / source.op.scale
        mantissa, _ = np.frexp(source.op.scale)
        lo, hi = graph.out(source).format.lo, graph.out(source).format.hi
        reach = max(-lo, hi) + np.abs(steps).max()
        if (steps != np.round(steps)).any() or (mantissa != 0.5).any() or reach >= 1 << 24:
            return None
        bias = source.op.bias + np.broadcast_to(steps, source.op.bias.shape).astype(np.int64)
        op = replace(source.op, bias=bias)
        shape, format = op.infer(*graph.ins(source))
        assert not isinstance(format, Real)
        fused = Node(source.name, op, source.inputs, node.outputs)
        nodes = [fused if n is source else n for n in graph.nodes if n is not node]
        return graph.with_nodes(nodes, [Value(node.output, shape, format)])
