"""The spikes that event-driven layers are planned for: a share of all, or as they were recorded."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np

from codesign.errors import UsageError
from codesign.ir import Graph, Node
from codesign.ops.event_op import elements_of_step
from codesign.ops.event_pool import EventPool
from codesign.ops.expected import Expected
from codesign.ops.requant import Requant
from codesign.ops.reshape import origin
from codesign.passes.base import run_passes
from codesign.passes.event_synapses import (
    EventSynapses,
    event_layers,
    is_synapses,
    pool_of,
)
from codesign.reference.events import event_counts
from codesign.train.golden import load_test_inputs

#: What a user says of spikes: the share of inputs that spike in a step, or that the recording
#: beside the model tells.
Activity = float | Literal["measured"]

#: Recorded frames that are counted, between these two numbers: as many as have ``CODES`` codes.
FRAMES = (20, 400)
CODES = 1 << 26
#: Codes of all values that are held at once, 8 bytes each.
AT_ONCE = 1 << 23


def expected_spikes(
    graph: Graph, activity: Activity, recording: Path | None = None
) -> dict[str, Expected]:
    """What each layer of ``graph`` (lowered) that can be event-driven is planned for, by name.

    ``recording``: the file that :mod:`codesign.train.golden` describes, for ``measured``.
    ``UsageError`` where no layer can, where ``activity`` is neither a share nor ``measured``, and
    where nothing was recorded.
    """
    if activity == "measured":
        return _measured(graph, recording)
    if isinstance(activity, str) or not 0 < activity <= 1:
        raise UsageError(
            f"activity is the share of inputs that spike in a step, got {activity}",
            hint="give a number above 0 and up to 1, or 'measured': as recorded with the model",
        )
    found: dict[str, Expected] = {}
    for node in event_layers(graph):
        found[node.name] = _share(graph, node, activity, found)
    return found


def _share(graph: Graph, node: Node, activity: float, known: Mapping[str, Expected]) -> Expected:
    """Of a share of its inputs, or what a pool makes of its own."""
    (x,) = graph.ins(node)
    before = graph.producer(origin(graph, node.inputs[0]))
    if before is not None and isinstance(before.op, Requant):
        before = graph.producer(before.inputs[0])
    if before is not None and before.name in known and not is_synapses(graph, before):
        pool = pool_of(before)
        assert pool is not None
        op = EventPool(expected=known[before.name], pool=pool)
        return op.expected_out(graph.ins(before)[0])
    return Expected.evenly(ceil(activity * elements_of_step(x)), x.shape[0])


def _measured(graph: Graph, recording: Path | None) -> dict[str, Expected]:
    """The means of the recorded frames, by the integer reference of the network."""
    silent = {
        node.name: Expected.evenly(0, graph.ins(node)[0].shape[0]) for node in event_layers(graph)
    }
    frames = _recorded(graph, recording)
    by_events = run_passes(graph, [EventSynapses(silent)])
    size = sum(value.elements for value in by_events.values.values())
    fewest, most = FRAMES
    wanted = min(len(frames), max(fewest, min(most, CODES // size)))
    at_once = max(1, AT_ONCE // size)
    if any(node.op.carries for node in by_events.nodes):
        # States go on from frame to frame: only the first ones, in one piece, are what will be.
        wanted = at_once = min(wanted, max(fewest, at_once))
        frames = frames[:wanted]
    else:  # labels may be sorted: from all over the recording
        frames = frames[np.arange(wanted) * len(frames) // wanted]
    parts = [
        event_counts(by_events, {graph.inputs[0]: frames[start : start + at_once]})
        for start in range(0, wanted, at_once)
    ]
    return {
        name: Expected.mean_of(np.concatenate([part[name] for part in parts])) for name in silent
    }


def _recorded(graph: Graph, recording: Path | None) -> np.ndarray:
    """The recorded inputs float32 [n, ...] of ``graph``."""
    if recording is None:
        raise UsageError(
            "nothing is recorded of this model: its spikes are not known",
            hint="give a share of spikes (--activity 0.05), or record: 'codesign train' writes "
            "MODEL.golden.npz beside MODEL.onnx, codesign.train.golden.record_golden does for a "
            "module of your own",
        )
    x, shape = load_test_inputs(recording), graph.values[graph.inputs[0]].shape
    if not len(x) or x.size != len(x) * int(np.prod(shape)):
        raise UsageError(
            f"recorded are inputs {x.shape}, the model takes (frames, "
            f"{', '.join(str(n) for n in shape)})",
            where=str(recording),
            hint="record it again with the model as it is, or give a share of spikes",
        )
    return x.reshape(-1, *shape)
