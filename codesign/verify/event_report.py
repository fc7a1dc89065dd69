"""The events that layers were planned for, beside those they got."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codesign.evidence import EventLoad, EventReport
from codesign.ir import Graph
from codesign.manifest import Manifest
from codesign.reference.events import event_counts


def event_report(
    graph: Graph, manifest: Manifest, codes: Mapping[str, np.ndarray], vectors: str
) -> EventReport | None:
    """None for a design without event-driven layers. ``codes``: int64 [frames, elements] of the
    input of ``graph`` (a circuit's) and of what its layers write, by tensor."""
    activity = manifest.activity
    if activity is None:
        return None
    shapes = {name: value.shape for name, value in graph.values.items()}
    given = {name: a.reshape(-1, *shapes[name]) for name, a in codes.items() if name in shapes}
    counts = event_counts(graph, given)
    layers = [
        EventLoad(layer=name, expected=expected, seen=float(counts[name].mean()))
        for name, expected in activity.expected.items()
    ]
    frames = len(next(iter(codes.values())))
    return EventReport(vectors=vectors, frames=frames, origin=activity.describe(), layers=layers)
