"""Designs whose cycles depend on their data: what frames of given spikes take, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from codesign.ir.plan import Plan
from codesign.manifest import Activity
from codesign.ops.event_learning import EventLearning
from codesign.ops.event_op import EventOp
from codesign.plan.dataflow import Dataflow
from codesign.plan.partition import Circuit, Layer
from codesign.plan.schedule import exit_lanes, simulate_flow
from codesign.plan.traffic import Seen

#: Frames simulated to tell the interval of frames alike.
FRAMES = 6


def by_data(circuit: Circuit) -> list[Layer]:
    """The layers whose cycles depend on what they read."""
    return [layer for layer in circuit.layers if layer.head.data_dependent]


def activity_of(circuit: Circuit, plans: Mapping[str, Plan], flow: Dataflow) -> Activity | None:
    """The two ends of what the design can take; None where data do not matter."""
    layers = by_data(circuit)
    if not layers:
        return None
    planned = {
        layer.name: layer.head.expected
        for layer in layers
        if isinstance(layer.head, EventOp | EventLearning)
    }
    frames = max(one.frames for one in planned.values())
    ends = [frame_cycles(circuit, plans, flow, _all_alike(layers, spikes))[1] for spikes in (0, 1)]
    return Activity(
        silent_ii=round(ends[0]),
        dense_ii=round(ends[1]),
        expected={name: one.mean for name, one in planned.items()},
        origin="measured" if frames else "share",
        frames=frames,
    )


def _all_alike(layers: list[Layer], spikes: int) -> dict[str, np.ndarray]:
    return {
        layer.nodes[0].name: np.full((FRAMES, *layer.source.shape), spikes * layer.source.format.hi)
        for layer in layers
    }


def frame_cycles(
    circuit: Circuit, plans: Mapping[str, Plan], flow: Dataflow, seen: Seen
) -> tuple[int, Fraction]:
    """(latency of the first frame sent alone, cycles between frames in the later half but
    the last) of the frames in ``seen``: what the native harness measures of them."""
    beats = -(-circuit.target.elements // exit_lanes(circuit, plans))
    frames = len(next(iter(seen.values())))
    alone = {name: codes[:1] for name, codes in seen.items()}
    run = simulate_flow(circuit, plans, flow, 1, seen=alone)
    latency = run.left[-1] - run.entered[0]
    rest = {name: codes[1:] for name, codes in seen.items()}
    run = simulate_flow(circuit, plans, flow, frames - 1, seen=rest)
    ends, first = run.left[beats - 1 :: beats], frames // 2 - 1
    last = max(frames - 3, first + 1)
    return latency, Fraction(ends[last] - ends[first], last - first)
