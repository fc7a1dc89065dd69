"""Lower argmax onto codes, where the float chain before it keeps the order of every pair."""

from __future__ import annotations

import numpy as np

from codesign.formats import ScaledInt
from codesign.ir import Graph, Node
from codesign.ops.argmax import ArgMax
from codesign.passes.base import Pass
from codesign.passes.tabulate import CHUNK, drop_dead, walk_back


class LowerArgMax(Pass):
    """``codes -> float chain -> ArgMax`` becomes ``codes -> ArgMax``.

    Only if the chain is the same strictly rising function on every channel, which is checked on
    every code that can occur. Otherwise the argmax stays on the host, exact as before.
    """

    name = "lower-argmax"

    def call(self, graph: Graph) -> Graph:
        nodes = []
        for node in graph.nodes:
            origin = _origin(graph, node) if isinstance(node.op, ArgMax) else None
            nodes.append(
                node if origin is None else Node(node.name, node.op, (origin,), node.outputs)
            )
        return drop_dead(graph.with_nodes(nodes))


def _origin(graph: Graph, node: Node) -> str | None:
    found = walk_back(graph, node.inputs[0])
    if found is None:
        return None
    value, steps = found
    format, channels = value.format, value.shape[-1]
    assert isinstance(format, ScaledInt)
    if (format.hi - format.lo + 1) * channels > CHUNK:
        return None
    codes = np.repeat(np.arange(format.lo, format.hi + 1)[:, None], channels, axis=1)
    x = format.decode(codes)
    for step in steps:
        x = np.broadcast_to(step.evaluate(x), codes.shape)
    same = (x == x[:, :1]).all()
    return value.name if same and (np.diff(x[:, 0]) > 0).all() else None
