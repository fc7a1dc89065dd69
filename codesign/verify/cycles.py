"""Cycles of designs whose cycles depend on data: predicted from the spikes, and measured."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from codesign.builddir import BuildDir
from codesign.evidence import CyclePoint, Evidence
from codesign.ir import Graph
from codesign.plan import Circuit
from codesign.plan.activity import by_data, frame_cycles
from codesign.plan.schedule import simulate_flow
from codesign.plan.stored import load_plans
from codesign.reference import run

#: Frames compared, fewer where they hold more spikes than this.
FRAMES = 40
SPIKES = 300_000


def cycle_evidence(
    build: BuildDir,
    graph: Graph,
    circuit: Circuit,
    codes: np.ndarray,
    taps: Mapping[str, np.ndarray],
    name: str,
) -> Evidence | None:
    """Whether the first of ``codes`` take exactly the cycles the event model says; None for a
    design whose cycles do not depend on them, and for a single frame.

    ``taps``: what the design is compared with, int64 [frames, elements] by tensor.
    """
    from codesign.sim.native import run_native

    if not by_data(circuit) or len(codes) < 4:
        return None
    started = time.perf_counter()
    seen = _seen(graph, circuit, codes[:FRAMES])
    frames = _affordable(list(seen.values()))
    seen = {node: array[:frames] for node, array in seen.items()}
    plans, flow = load_plans(build, circuit)
    latency, ii = frame_cycles(circuit, plans, flow, seen)
    part = {tensor: array[:frames] for tensor, array in taps.items()}
    result = run_native(build, codes[:frames], part, threads=1)
    differences = (result.latency != latency) + (result.ii != float(ii)) + result.hang
    return Evidence(
        link="cycles predicted = measured",
        vectors=name,
        frames=frames,
        tensors=[],
        codes=2,
        mismatches=int(differences),
        seconds=time.perf_counter() - started,
        note=f"latency {latency} predicted, {result.latency} measured; {float(ii):.6g} and "
        f"{result.ii:.6g} cycles a frame"
        if result.ii is not None
        else "no interval measured",
    )


def cycle_points(
    build: BuildDir, graph: Graph, circuit: Circuit, codes: np.ndarray
) -> list[CyclePoint]:
    """Spikes and cycles of the first frames, each alone; none where cycles do not depend on it."""
    if not by_data(circuit):
        return []
    seen = _seen(graph, circuit, codes[:FRAMES])
    plans, flow = load_plans(build, circuit)
    points = []
    for frame in range(_affordable(list(seen.values()))):
        alone = {node: array[frame : frame + 1] for node, array in seen.items()}
        walked = simulate_flow(circuit, plans, flow, 1, seen=alone)
        spikes = sum(int(np.count_nonzero(array)) for array in alone.values())
        points.append(CyclePoint(spikes=spikes, cycles=walked.left[-1] - walked.entered[0]))
    return points


def _seen(graph: Graph, circuit: Circuit, codes: np.ndarray) -> dict[str, np.ndarray]:
    """What the layers whose cycles depend on it receive, by node: int64 [frames, ...]."""
    given = {circuit.source.name: codes.reshape(-1, *circuit.source.shape)}
    sources = {layer.nodes[0].name: layer.source for layer in by_data(circuit)}
    found = run(graph, given, keep=[value.name for value in sources.values()])
    return {node: found[value.name].reshape(-1, *value.shape) for node, value in sources.items()}


def seen_by_events(
    graph: Graph, circuit: Circuit, codes: np.ndarray, without: set[str]
) -> dict[str, np.ndarray]:
    """As :func:`_seen`, but for the layers ``without``."""
    others = replace(
        circuit, layers=tuple(x for x in circuit.layers if x.nodes[0].name not in without)
    )
    return _seen(graph, others, codes) if by_data(others) else {}


def _affordable(spikes: list[np.ndarray]) -> int:
    """Frames whose spikes a simulation can walk one by one; at least four, if there are."""
    each = sum(np.count_nonzero(s.reshape(len(s), -1), axis=1) for s in spikes)
    within = int(np.searchsorted(np.cumsum(each), SPIKES))
    return min(len(spikes[0]), max(4, within))
