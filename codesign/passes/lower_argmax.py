"""Lower argmax onto codes, where the float chain before it keeps the order of every pair."""

from __future__ import annotations

import numpy as np

from codesign.formats import Real, ScaledInt
from codesign.ir import Elementwise, Graph, Node
from codesign.ops.argmax import ArgMax
from codesign.passes.base import Pass
from codesign.passes.tabulate import ENUMERATE, drop_dead


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
    steps: list[Elementwise] = []
    name = node.inputs[0]
    while isinstance(graph.values[name].format, Real):
        producer = graph.producer(name)
        if producer is None or not isinstance(producer.op, Elementwise):
            return None
        steps.insert(0, producer.op)
        name = producer.inputs[0]
    format, channels = graph.values[name].format, graph.values[name].shape[-1]
    assert isinstance(format, ScaledInt)
    if (format.hi - format.lo + 1) * channels > ENUMERATE:
        return None
    codes = np.repeat(np.arange(format.lo, format.hi + 1)[:, None], channels, axis=1)
    x = format.decode(codes)
    for step in steps:
        x = np.broadcast_to(step.evaluate(x), codes.shape)
    same = (x == x[:, :1]).all()
    return name if same and (np.diff(x[:, 0]) > 0).all() else None
