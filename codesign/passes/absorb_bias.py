"""Absorb a shift requantizer's constants into the bias of the matrix before it.

In a shift-add graph a bias travels on carry inputs that exist anyway, so the requantizer's own
adder disappears. The codes do not change: ``x + c`` meets thresholds ``T + c``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from codesign.ir import Graph, Node, Value
from codesign.ops.convolve import Convolve
from codesign.ops.matvec import MatVec
from codesign.ops.requant import Requant
from codesign.ops.requant_fit import fit_shift
from codesign.passes.base import Pass


class AbsorbBias(Pass):
    """For the matrices called ``layers``, where the next node is a shift form."""

    name = "absorb-bias"

    def __init__(self, layers: Collection[str]) -> None:
        self._layers = layers

    def call(self, graph: Graph) -> Graph:
        for node in graph.nodes:
            source = graph.producer(node.inputs[0]) if isinstance(node.op, Requant) else None
            if source is None or source.name not in self._layers:
                continue
            if (
                isinstance(source.op, MatVec | Convolve)
                and len(graph.consumers(source.output)) == 1
            ):
                graph = _absorb(graph, source, node)
        return graph


def _absorb(graph: Graph, source: Node, node: Node) -> Graph:
    matvec, requant = source.op, node.op
    assert isinstance(matvec, MatVec | Convolve) and isinstance(requant, Requant)
    if not requant.monotone or (requant.step < 0).any():
        return graph
    fit = fit_shift(requant)
    if fit is None:
        return graph
    constant = (fit.bias + fit.addend) >> fit.fraction  # whole accumulator steps
    channels = len(matvec.weights)
    if requant.period not in (1, channels):
        return graph
    moved = replace(matvec, bias=matvec.bias + np.broadcast_to(constant, channels))
    shape, format = moved.infer(*graph.ins(source))
    never = requant.thresholds > requant.hi
    shifted = np.broadcast_to(requant.thresholds, (channels, requant.thresholds.shape[1]))
    shifted = np.where(never, format.hi + 1, shifted + np.broadcast_to(constant, channels)[:, None])
    op = replace(
        requant,
        lo=format.lo,
        hi=format.hi,
        base=np.broadcast_to(requant.base, channels),
        step=np.broadcast_to(requant.step, channels),
        thresholds=np.clip(shifted, format.lo, format.hi + 1),
    )
    swap = {
        source.name: Node(source.name, moved, source.inputs, source.outputs),
        node.name: Node(node.name, op, node.inputs, node.outputs),
    }
    nodes = [swap.get(n.name, n) for n in graph.nodes]
    return graph.with_nodes(nodes, [Value(source.output, shape, format)])
