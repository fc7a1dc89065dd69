"""Which events travel in a design, and in which order: all that its cycles depend on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from codesign.ops.event_op import EventOp
from codesign.plan.partition import Circuit
from codesign.spikes.arrivals import Arrivals

#: What layers whose cycles depend on data receive: node -> int64 codes [frames, ...].
Seen = Mapping[str, Any]
UNSEEN: Seen = MappingProxyType({})
#: The events of each value that is read as such, by its name.
Traffic = Mapping[str, Arrivals]


def traffic_of(circuit: Circuit, seen: Seen, frames: int) -> Traffic:
    """The events of ``frames`` frames: those of ``seen``; of a layer that is not in it, the spikes
    it is planned for.

    What a layer makes of events comes in the order in which that layer gives it.
    """
    found: dict[str, Arrivals] = {}
    for layer in circuit.layers:
        if not layer.head.takes_events:
            continue
        source, node = layer.source, layer.nodes[0].name
        if source.name not in found:
            found[source.name] = layer.head.arrivals(source, seen.get(node), frames)
        if isinstance(layer.head, EventOp) and layer.head.gives_events:
            found[layer.target.name] = layer.head.passes(source, found[source.name])
    return found
