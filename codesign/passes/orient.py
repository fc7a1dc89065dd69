"""Orient: turn falling channels (negative batch-norm gain) into rising ones, at no cost.

A falling function of ``x`` is a rising one of ``-x``, and ``-x`` is the same row of weights with
its sign changed. Rising everywhere means cheaper requantizers: no direction bit per channel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codesign.ir import Graph, Node, Value
from codesign.ops.convolve import Convolve
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
                matrix = source is not None and isinstance(source.op, MatVec | Convolve)
                # Weights that may be replaced keep their signs.
                if source is not None and matrix and alone and source.op.loadable is None:  # type: ignore[attr-defined]
                    graph = _mirror(graph, source, node)
        return graph


def _mirror(graph: Graph, source: Node, node: Node) -> Graph:
    matrix, requant = source.op, node.op
    assert isinstance(matrix, MatVec | Convolve) and isinstance(requant, Requant)
    channels = len(matrix.weights)
    period = common_period(requant, channels)
    if period is None:
        return graph
    sign = _each(requant.step, period)
    if (sign.reshape(-1, channels) != sign[:channels]).any():
        return graph  # places of one channel differ: a row of weights has a single sign
    rows, base = _each(requant.thresholds, period), _each(requant.base, period)
    own = sign[:channels]
    turned = matrix.weights * own.reshape(-1, *[1] * (matrix.weights.ndim - 1))
    flipped = replace(matrix, weights=turned, bias=matrix.bias * own)
    shape, format = flipped.infer(*graph.ins(source))
    reached = (rows <= requant.hi).sum(axis=1)
    falls = sign < 0
    thresholds = np.full_like(rows, format.hi + 1)
    for c in range(period):
        real = rows[c, : reached[c]]
        thresholds[c, : reached[c]] = np.sort(1 - real) if falls[c] else real
    op = replace(
        requant,
        lo=format.lo,
        hi=format.hi,
        base=np.where(falls, base - reached, base),
        step=np.ones(period, dtype=np.int64),
        thresholds=_clip_to(thresholds, format.lo, format.hi),
    )
    swap = {
        source.name: Node(source.name, flipped, source.inputs, source.outputs),
        node.name: Node(node.name, op, node.inputs, node.outputs),
    }
    nodes = [swap.get(n.name, n) for n in graph.nodes]
    return graph.with_nodes(nodes, [Value(source.output, shape, format)])


def common_period(requant: Requant, channels: int) -> int | None:
    """Elements after which parameters and ``channels`` repeat, if one divides the other."""
    period = max(requant.period, channels)
    return None if period % requant.period or period % channels else period


def _each(array: np.ndarray, period: int) -> np.ndarray:
    """Rows of a parameter for every one of ``period`` elements."""
    return np.tile(array, (period // len(array), *[1] * (array.ndim - 1)))


def _clip_to(thresholds: np.ndarray, lo: int, hi: int) -> np.ndarray:
    """Thresholds the new range always or never meets become its ends."""
    return np.clip(thresholds, lo, hi + 1)
