"""The events that event-driven layers get: how many, in each step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codesign.ir import Graph, Node
from codesign.learning.header import split
from codesign.ops.event_learning import EventLearning
from codesign.ops.event_op import EventOp
from codesign.ops.event_pool import EventPool
from codesign.ops.reshape import origin
from codesign.reference import run


def event_counts(graph: Graph, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Node -> int64 [frames, steps] of each event-driven layer and pool of ``graph``.

    ``given``: values with a leading batch axis, as :func:`codesign.reference.run` takes them.
    """
    nodes = [node for node in graph.nodes if isinstance(node.op, EventOp | EventLearning)]
    codes = run(graph, dict(given), keep=[node.inputs[0] for node in nodes])
    made: dict[str, np.ndarray] = {}  # events of what pools hand on, by value
    found = {}
    for node in nodes:
        events = _received(graph, node, codes[node.inputs[0]], made)
        found[node.name] = events.reshape(*events.shape[:2], -1).sum(axis=2, dtype=np.int64)
        if isinstance(node.op, EventPool):
            made[node.output] = node.op.events(graph.ins(node)[0], events)
    return found


def _received(
    graph: Graph, node: Node, codes: np.ndarray, made: Mapping[str, np.ndarray]
) -> np.ndarray:
    """How many events come for each element: one of what is not 0, but a pool's sums come as so
    many events."""
    shape = graph.ins(node)[0].shape
    if isinstance(node.op, EventLearning):  # its header is no spikes
        codes, _, _ = split(codes.reshape(-1, *shape), node.op.rival.classes)
        return (codes != 0).astype(np.int64)
    known = made.get(origin(graph, node.inputs[0]))
    events = (codes != 0).astype(np.int64) if known is None else known
    return events.reshape(-1, *shape)
