"""Orient: turn falling channels (negative batch-norm gain) into rising ones, at no cost.

A falling function of ``x`` is a rising one of ``-x``, and ``-x`` is the same row of weights with
its sign changed. Rising everywhere means cheaper requantizers: no direction bit per channel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codesign.ir import Graph, Node, Value
from codesign.ops.matvec import MatVec
from codesign.ops.requant import Requant
from codesign.passes.base import Pass


class Orient(Pass):
    """Negate the weight rows whose requantizer falls, and mirror that requantizer."""

    name = "orient"

    def call(self, graph: Graph) -> Graph:
        for node in graph.nodes:
            if isinstance(node.op, Requant) and (node.op.step < 0).any():
                source = graph.producer(node.inputs[0])
                alone = len(graph.consumers(node.inputs[0])) == 1
                if source is not None and isinstance(source.op, MatVec) and alone:
                    graph = _mirror(graph, source, node)
        return graph


def _mirror(graph: Graph, source: Node, node: Node) -> Graph:
    matvec, requant = source.op, node.op
    assert isinstance(matvec, MatVec) and isinstance(requant, Requant)
    channels = len(matvec.weights)
    sign = np.broadcast_to(requant.step, channels)
    rows = np.broadcast_to(requant.thresholds, (channels, requant.thresholds.shape[1]))
    base = np.broadcast_to(requant.base, channels)
    flipped = MatVec(matvec.weights * sign[:, None], matvec.bias * sign, matvec.scale)
    shape, format = flipped.infer(*graph.ins(source))
    reached = (rows <= requant.hi).sum(axis=1)
    falls = sign < 0
    thresholds = np.full_like(rows, format.hi + 1)
    for c in range(channels):
        real = rows[c, : reached[c]]
        thresholds[c, : reached[c]] = np.sort(1 - real) if falls[c] else real
    op = replace(
        requant,
        lo=format.lo,
        hi=format.hi,
        base=np.where(falls, base - reached, base),
        step=np.ones(channels, dtype=np.int64),
        thresholds=_clip_to(thresholds, format.lo, format.hi),
    )
    swap = {
        source.name: Node(source.name, flipped, source.inputs, source.outputs),
        node.name: Node(node.name, op, node.inputs, node.outputs),
    }
    nodes = [swap.get(n.name, n) for n in graph.nodes]
    return graph.with_nodes(nodes, [Value(source.output, shape, format)])


def _clip_to(thresholds: np.ndarray, lo: int, hi: int) -> np.ndarray:
    """Thresholds the new range always or never meets become its ends."""
    return np.clip(thresholds, lo, hi + 1)
