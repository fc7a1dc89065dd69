"""reference = RTL: codes, cycles and protocol, in the native simulation and in cocotb."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from codesign.evidence import BenchResult, EventReport, Evidence, SpikingReport
from codesign.ops.neuron import Neuron
from codesign.verify.chain import Codes
from codesign.verify.cycles import cycle_evidence, cycle_points, most_spikes
from codesign.verify.event_report import event_report
from codesign.verify.spiking import busiest, spiking_report
from codesign.verify.subject import Subject, taps_of
from codesign.verify.vectors import VectorSet

if TYPE_CHECKING:
    from codesign.sim.native import SimResult

#: cocotb runs at most about this many clock cycles a bench: protocol and a sample of the data.
COCOTB_CYCLES = 40_000
#: Frames the benches send where every wire of every cycle is kept: megabytes each.
WAVE_FRAMES = 16


def hardware_links(
    subject: Subject,
    vectors: VectorSet,
    expected: dict[str, np.ndarray],
    threads: int,
    seed: int,
    stalls: bool,
) -> tuple[list[Evidence], int | None, float | None]:
    """reference = RTL on every frame; with ``stalls``, again on some under random ones."""
    from codesign.sim.native import run_native

    if any(node.op.carries for node in subject.graph.nodes):
        threads = 1  # each thread begins at a reset
    taps = taps_of(subject, expected)
    plain = run_native(subject.build, vectors.codes, taps, threads=threads, writes=subject.needed)
    if not stalls:
        return [_rtl_evidence(vectors, plain, taps, "back to back", vectors.seed)], None, None
    some = min(len(vectors.codes), 2000)
    part = {name: codes[:some] for name, codes in taps.items()}
    stalled = run_native(
        subject.build,
        vectors.codes[:some],
        part,
        threads=threads,
        stall_seed=seed,
        writes=subject.writes,
    )
    links = [
        _rtl_evidence(vectors, plain, taps, "back to back", vectors.seed),
        _rtl_evidence(vectors, stalled, part, "random stalls on both sides", seed),
    ]
    return links, plain.latency, plain.ii


def cycle_links(subject: Subject, vectors: VectorSet, expected: Codes) -> list[Evidence]:
    """Where cycles depend on data: predicted = measured."""
    taps = {tap.port.tensor: expected[tap.port.tensor] for tap in subject.manifest.taps}
    made = cycle_evidence(
        subject.build, subject.graph, subject.circuit, vectors.codes, taps, vectors.name
    )
    return [made] if made is not None else []


def spiking_part(subject: Subject, vectors: VectorSet, expected: Codes) -> SpikingReport | None:
    """Activity, work and traces; None for a network without neurons."""
    from codesign.sim.native import run_native

    graph = subject.circuit.graph
    if not any(isinstance(node.op, Neuron) for node in graph.nodes):
        return None
    codes = {**expected, subject.circuit.source.name: vectors.codes}
    shown = busiest(graph, codes)
    one = slice(shown, shown + 1)
    taps = {name: array[one] for name, array in taps_of(subject, dict(expected)).items()}
    seen = run_native(
        subject.build, vectors.codes[one], taps, threads=1, writes=subject.needed, record=True
    )
    sent = {subject.circuit.source.name: vectors.codes[shown]}
    report = spiking_report(graph, codes, vectors.name, shown, {**seen.first_frame, **sent})
    found = {
        "cycles": cycle_points(subject, vectors.codes),
        "most_spikes": most_spikes(subject.circuit),
    }
    return report and report.model_copy(update=found)


def event_part(subject: Subject, vectors: VectorSet, expected: Codes) -> EventReport | None:
    """What event-driven layers were planned for, and got; None without such layers."""
    codes = {**expected, subject.circuit.source.name: vectors.codes}
    return event_report(subject.circuit.graph, subject.manifest, codes, vectors.name)


def _rtl_evidence(
    vectors: VectorSet, result: SimResult, codes: Codes, note: str, seed: int | None
) -> Evidence:
    hang = 1 if result.hang and not result.mismatches else 0
    return Evidence(
        link="reference = RTL",
        vectors=f"{vectors.name}, {note}",
        frames=result.frames,
        tensors=list(codes),
        codes=sum(c.size for c in codes.values()),
        mismatches=result.mismatches + hang + result.load_errors,
        seed=seed,
        seconds=result.seconds,
        note=_trouble(result),
        first=result.first,
    )


def _trouble(result: SimResult) -> str:
    """What went wrong beside codes."""
    if result.load_errors:
        return f"{result.load_errors} register accesses failed or read back other data"
    return "the circuit stopped answering" if result.hang else ""


def cocotb_benches(
    subject: Subject,
    codes: np.ndarray,
    taps: dict[str, np.ndarray],
    *,
    waves: bool,
    seed: int,
) -> list[BenchResult]:

    from codesign.sim.runner import run_cocotb

    frames = min(len(codes), max(4, COCOTB_CYCLES // max(1, subject.manifest.ii)))
    if waves:
        frames = min(frames, WAVE_FRAMES)
    part = {name: array[:frames] for name, array in taps.items()}
    return run_cocotb(
        subject.build,
        codes[:frames],
        part,
        waves=waves,
        seed=seed,
        writes=subject.needed,
    ).benches
