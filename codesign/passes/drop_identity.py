"""Drop requantizers that change no code: quantizing twice alike is a wire."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codesign.formats import ScaledInt
from codesign.ir import Graph, Node, Value
from codesign.ops.bipolar import Bipolar
from codesign.ops.circuit import CircuitOp
from codesign.ops.reinterpret import Reinterpret
from codesign.ops.requant import Requant
from codesign.passes.base import Pass


class DropIdentity(Pass):
    """A :class:`Requant` that maps every code its input can hold to itself, in the same format,
    becomes a :class:`Reinterpret`.

    The value keeps its name, so that executions are still compared there. A graph that computes
    nothing else keeps it: a circuit has at least one operation.
    """

    name = "drop-identity"

    def call(self, graph: Graph) -> Graph:
        work = sum(isinstance(node.op, CircuitOp) for node in graph.nodes)
        nodes = []
        for node in graph.nodes:
            if work > 1 and isinstance(node.op, Requant) and _is_identity(graph, node, node.op):
                format = graph.out(node).format
                assert isinstance(format, ScaledInt)
                wire = Reinterpret(graph.out(node).shape, format.scale, format.zero_point)
                node, work = replace(node, op=wire), work - 1
            nodes.append(node)
        return graph.with_nodes(nodes)


def _is_identity(graph: Graph, node: Node, op: Requant) -> bool:
    (source,) = graph.ins(node)
    if source.format != op.out_format or not isinstance(source.format, ScaledInt):
        return False
    if op.monotone and not op.levels.size and op.thresholds.shape[1] < op.hi - op.lo:
        return False  # too few steps; nothing as long as the range is looked at in vain
    codes = _codes(graph, source)
    return all((op.column(codes, row) == codes).all() for row in range(op.period))


def _codes(graph: Graph, value: Value) -> np.ndarray:
    """Every code ``value`` can hold, int64; more where that is not known."""
    node = graph.producer(value.name)
    op = node.op if node is not None else None
    if isinstance(op, Requant):
        return np.unique(np.concatenate([_reached(op, row) for row in range(op.period)]))
    if isinstance(op, Bipolar):
        return np.array([-1, 1])
    return np.arange(value.format.lo, value.format.hi + 1, dtype=np.int64)


def _reached(op: Requant, row: int) -> np.ndarray:
    """The codes of one channel: a step function has them all where a step begins."""
    if not op.monotone:
        return op.column(np.arange(op.lo, op.hi + 1), row)
    steps = op.thresholds[row if len(op.thresholds) > 1 else 0]
    return op.column(np.concatenate([[op.lo], steps[steps <= op.hi]]), row)
