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
from codesign.plan.activity import FRAMES as ALIKE
from codesign.plan.activity import by_data, frame_cycles
from codesign.plan.stored import load_plans
from codesign.reference import run
from codesign.verify.subject import Subject, reference_codes, taps_of
from codesign.verify.vectors import VectorSet

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


def cycle_points(subject: Subject, codes: np.ndarray) -> list[CyclePoint]:
    """Spikes and measured cycles of the first frames, and of the silent one where 0 is a code.

    Each is sent alone, then again and again, as :func:`codesign.plan.activity.activity_of` counts
    a silent and a dense one. None where cycles do not depend on spikes, or where states go on from
    frame to frame, so that no frame comes again.
    """
    circuit = subject.circuit
    if not by_data(circuit) or any(node.op.carries for node in subject.graph.nodes):
        return []
    seen = _seen(circuit.graph, circuit, codes[:FRAMES])
    frames = _affordable([array.repeat(ALIKE, axis=0) for array in seen.values()])
    sent = [codes[k] for k in range(-(-frames // ALIKE))]
    port = subject.manifest.input
    kinds = ["frame"] * len(sent) + ["silent"] * (port.lo <= 0 <= port.hi)
    sent = [*sent, np.zeros_like(codes[0])][: len(kinds)]
    found = [_measured(subject, one, kind) for one, kind in zip(sent, kinds, strict=True)]
    return [point for point in found if point is not None]


def _measured(subject: Subject, frame: np.ndarray, kind: str) -> CyclePoint | None:
    """One frame in the circuit, alone and again and again; None if the circuit fails on it."""
    from codesign.sim.native import run_native

    expected = taps_of(subject, reference_codes(subject, VectorSet(kind, frame[None])))
    again = {name: np.repeat(array, ALIKE, axis=0) for name, array in expected.items()}
    result = run_native(
        subject.build, np.tile(frame, (ALIKE, 1)), again, threads=1, writes=subject.needed
    )
    if not result.ok or result.latency is None or result.ii is None:
        return None
    seen = _seen(subject.circuit.graph, subject.circuit, frame[None])
    spikes = sum(int(np.count_nonzero(array)) for array in seen.values())
    return CyclePoint(
        spikes=spikes,
        cycles=result.latency,
        interval=result.ii,
        kind=kind,  # type: ignore[arg-type]
    )


def most_spikes(circuit: Circuit) -> int:
    """Spikes of a frame in which every input of the event-driven layers has one."""
    return sum(layer.source.elements for layer in by_data(circuit))


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
