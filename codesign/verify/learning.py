"""Verify a design that learns: whole training runs in RTL, every word that learning writes, and
the weights as they are read over AXI4-Lite.

Learning begins at the model's weights. Before it, the layers are the model (PyTorch = qonnx =
reference, and that reference = layers that do not learn); from there on the integers of
:mod:`codesign.learning` are what the circuit is compared with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codesign.builddir import BuildDir
from codesign.evidence import (
    EventReport,
    Evidence,
    LearningPoint,
    LearningReport,
    Mismatch,
    VerifyReport,
)
from codesign.ir import Graph
from codesign.ir.serialize import load_graph
from codesign.learning.header import header_rows, with_header
from codesign.manifest import Manifest
from codesign.ops.event_learning import EventLearning
from codesign.plan import Circuit, partition
from codesign.plan.activity import frame_cycles
from codesign.plan.stored import load_plans
from codesign.reference import run
from codesign.reference.learning import (
    LearningRun,
    addresses,
    from_words,
    learning_run,
    to_words,
)
from codesign.sim.native import SimResult, run_native
from codesign.verify.event_report import event_report
from codesign.verify.lessons import Lessons, random_lessons, read_lessons, recorded_lessons

Progress = Callable[[str], None]

#: Frames of the run with stalls, of the one from written weights, and of those that are timed.
STALLED, WRITTEN, TIMED = 300, 100, 24
#: Random frames where there are no others.
RANDOM = 400
#: Points of the curve.
POINTS = 20


@dataclass(frozen=True)
class Pupil:
    """A design that learns, and what it is made of."""

    build: BuildDir
    manifest: Manifest
    graph: Graph
    circuit: Circuit

    @staticmethod
    def open(build: BuildDir) -> Pupil:
        """From its folder."""
        graph = load_graph(build.root / "model")
        return Pupil(build, build.manifest, graph, partition(graph))

    @property
    def classes(self) -> int:
        """Of its learning signals."""
        return self.manifest.learning[0].classes

    @property
    def shape(self) -> tuple[int, int]:
        """(steps, inputs) of its frames, without the header; of an encoder that reads a vector 1
        and its codes."""
        rows, inputs = self.circuit.source.shape
        return rows - header_rows(self.classes, inputs), inputs

    @property
    def span(self) -> tuple[int, int]:
        """Least and greatest code of its frames: 0 and 1, or those that its encoder takes."""
        format = self.circuit.source.format
        return format.lo, format.hi

    @property
    def first(self) -> dict[str, np.ndarray]:
        """The weights that it begins with, by layer."""
        ops = {node.name: node.op for node in self.graph.nodes}
        return {n: op.weights for n, op in ops.items() if isinstance(op, EventLearning)}

    def frames(self, x: np.ndarray, y: np.ndarray, learn: bool) -> np.ndarray:
        """Frames [n, steps, inputs] as they are sent, int64 [n, elements]."""
        told = np.full(len(x), int(learn))
        return with_header(x, told, y, self.classes).reshape(len(x), -1)

    def reference(
        self, frames: np.ndarray, weights: Mapping[str, np.ndarray] | None = None
    ) -> LearningRun:
        """What the integers say."""
        simd = {layer.name: layer.simd for layer in self.manifest.layers}
        return learning_run(self.graph, self.manifest, frames, simd, weights)

    def answers(self, found: LearningRun) -> np.ndarray:
        """The class of each frame, int64: the circuit's output, then the host's part."""
        target = self.circuit.target
        codes = found.codes[target.name]
        given = {target.name: codes.reshape(len(codes), *target.shape)}
        out = run(self.graph, given)[self.graph.outputs[0]].reshape(len(codes), -1)
        return np.asarray(out[:, 0] if out.shape[1] == 1 else out.argmax(axis=1))


def verify_learning(
    build: BuildDir,
    *,
    data: Path | None = None,
    passes: int = 1,
    random_frames: int | None = None,
    seed: int = 1,
    cocotb: bool = True,
    waves: bool = False,
    versions: dict[str, str],
    progress: Progress = lambda _: None,
) -> VerifyReport:
    """Run the proof of a design that learns. ``data``: labelled frames (:mod:`.lessons`), by
    default those recorded with the model, or ``random_frames`` random ones; ``passes`` over them
    are the training run."""
    from codesign.verify.frozen import frozen_benches, model_links

    pupil = Pupil.open(build)
    golden = build.root / "model" / "golden.npz"
    if data is not None:
        lessons = read_lessons(data, pupil.shape, pupil.classes, pupil.span)
    elif golden.exists() and random_frames is None:
        lessons = recorded_lessons(build.root / "model", pupil.shape, pupil.classes)
    else:
        lessons = random_lessons(
            random_frames or RANDOM, pupil.shape, pupil.classes, seed, pupil.span
        )
    progress("the model before it learns")
    evidence = model_links(pupil, lessons)
    found, report, events = _training(pupil, lessons, passes, progress)
    evidence += found
    evidence += _stalled(pupil, lessons, seed, progress)
    evidence += _written(pupil, lessons, seed, progress)
    timed, passing, learning = _cycles(pupil, lessons, progress)
    evidence += timed
    report = report.model_copy(update={"cycles_passing": passing, "cycles_learning": learning})
    benches = []
    if cocotb:
        progress("cocotb benches")
        benches = frozen_benches(pupil, lessons, waves=waves, seed=seed)
    whole = VerifyReport(
        evidence=evidence,
        benches=benches,
        latency=timed_latency(timed),
        ii=learning,
        accuracy=report.after,
        accuracy_frames=report.test_frames,
        learning=report,
        events=events,
        versions=versions,
    )
    build.write("reports/verify.json", whole)
    return whole


def timed_latency(evidence: Sequence[Evidence]) -> int | None:
    """The latency that the last of the timed runs names; None where it failed."""
    words = evidence[-1].note.split() if evidence else []
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None


def _training(
    pupil: Pupil, lessons: Lessons, passes: int, progress: Progress
) -> tuple[list[Evidence], LearningReport, EventReport | None]:
    """Test frames, the training run, the same test frames, all in one simulation."""
    tests = pupil.frames(lessons.test_x, lessons.test_y, False)
    learned = np.tile(pupil.frames(lessons.x, lessons.y, True), (passes, 1))
    frames = np.concatenate([tests, learned, tests])
    progress("reference: training run")
    found = pupil.reference(frames)
    progress("RTL: training run")
    evidence = compared(pupil, frames, found, f"{lessons.name}, training run, back to back")
    right = pupil.answers(found) == np.concatenate(
        [lessons.test_y, np.tile(lessons.y, passes), lessons.test_y]
    )
    tested = len(tests)
    online = right[tested : tested + len(learned)]
    width = max(1, len(online) // POINTS)
    ends = range(width, len(online) + 1, width)
    first = pupil.first
    report = LearningReport(
        data=lessons.name,
        passes=passes,
        frames=len(learned),
        test_frames=tested,
        before=float(right[:tested].mean()),
        after=float(right[-tested:].mean()),
        curve=[LearningPoint(frame=e, accuracy=float(online[e - width : e].mean())) for e in ends],
        cycles_passing=None,
        cycles_learning=None,
        weights=sum(w.size for w in first.values()),
        weights_changed=sum(int((found.weights[n] != w).sum()) for n, w in first.items()),
        words=sum(log.size for log in found.logs.values()),
    )
    source = pupil.circuit.source.name
    codes = {**found.codes, source: frames}
    events = event_report(
        pupil.circuit.graph, pupil.manifest, codes, f"{lessons.name}, training run"
    )
    return evidence, report, events


def _stalled(pupil: Pupil, lessons: Lessons, seed: int, progress: Progress) -> list[Evidence]:
    """Frames of which some learn and some do not, under random stalls."""
    rng = np.random.default_rng(seed)
    some = min(STALLED, len(lessons.x))
    learn = rng.random(some) < 0.75
    frames = np.where(
        learn[:, None],
        pupil.frames(lessons.x[:some], lessons.y[:some], True),
        pupil.frames(lessons.x[:some], lessons.y[:some], False),
    )
    progress("RTL: learning under stalls")
    name = f"{lessons.name}, learning now and then, random stalls"
    return compared(pupil, frames, pupil.reference(frames), name, stall_seed=seed)


def _written(pupil: Pupil, lessons: Lessons, seed: int, progress: Progress) -> list[Evidence]:
    """Random weights over the bus, and learning from there."""
    rng = np.random.default_rng(seed)
    some = min(WRITTEN, len(lessons.x))
    frames = pupil.frames(lessons.x[:some], lessons.y[:some], True)
    weights = {}
    for region in pupil.manifest.learning:
        most = 1 << (region.weight_bits - 1)
        near = min(most - 1, 1 << max(0, region.weight_frac - 1))
        codes = rng.integers(-near, near + 1, (region.inputs, region.outputs))
        corners = np.where(rng.random(codes.shape) < 0.5, most - 1, 1 - most)
        weights[region.layer] = np.where(rng.random(codes.shape) < 0.02, corners, codes)
    progress("RTL: learning from written weights")
    name = f"{lessons.name}, from weights written over AXI4-Lite"
    return compared(pupil, frames, pupil.reference(frames, weights), name, weights, seed=seed)


def compared(
    pupil: Pupil,
    frames: np.ndarray,
    found: LearningRun,
    name: str,
    weights: Mapping[str, np.ndarray] | None = None,
    *,
    seed: int | None = None,
    stall_seed: int | None = None,
) -> list[Evidence]:
    """reference = RTL on ``frames``: codes, logs, and then every weight over the bus. ``weights``
    are written first."""
    regions = pupil.manifest.learning
    writes = [
        pair
        for region in regions if weights is not None
        for pair in zip(addresses(region), to_words(region, weights[region.layer]), strict=True)
    ]  # fmt: skip
    reads = [address for region in regions for address in addresses(region)]
    codes = {**found.codes, **found.logs}
    result = run_native(
        pupil.build, frames, codes, threads=1, writes=writes, reads=reads, stall_seed=stall_seed
    )
    wrong, first, note = _weights(pupil, result, found)
    hang = 1 if result.hang and not result.mismatches else 0
    known = seed if seed is not None else stall_seed
    return [
        Evidence(
            link="reference = RTL",
            vectors=name,
            frames=len(frames),
            tensors=list(codes),
            codes=sum(array.size for array in codes.values()),
            mismatches=result.mismatches + hang,
            seed=known,
            seconds=result.seconds,
            note="the circuit stopped answering" if result.hang else "",
            first=result.first,
        ),
        Evidence(
            link="weights over AXI4-Lite",
            vectors=name,
            frames=len(frames),
            tensors=[region.layer for region in regions],
            codes=sum(region.inputs * region.outputs for region in regions),
            mismatches=wrong + result.load_errors,
            seed=known,
            seconds=0.0,
            note=note,
            first=first,
        ),
    ]


def _weights(
    pupil: Pupil, result: SimResult, found: LearningRun
) -> tuple[int, Mismatch | None, str]:
    """How many weights differ, and the first of them."""
    wrong, first, at = 0, None, 0
    for region in pupil.manifest.learning:
        count = region.weights.words * region.weights.parts
        actual = from_words(region, list(result.read[at : at + count]))
        expected, at = found.weights[region.layer], at + count
        bad = np.argwhere(actual != expected)
        wrong += len(bad)
        if len(bad) and first is None:
            i, j = (int(k) for k in bad[0])
            first = Mismatch(
                tensor=f"{region.layer}.weights",
                frame=result.frames,
                index=i * region.outputs + j,
                expected=int(expected[i, j]),
                actual=int(actual[i, j]),
                against="weights read over AXI4-Lite after the run",
            )
    note = f"{result.load_errors} register accesses failed" if result.load_errors else ""
    return wrong, first, note


def _cycles(
    pupil: Pupil, lessons: Lessons, progress: Progress
) -> tuple[list[Evidence], float | None, float | None]:
    """Cycles predicted from spikes and traces = measured: of frames that do not learn, that do,
    and of both in turn; and what the first two take."""
    progress("cycles")
    some = min(TIMED, len(lessons.x))
    x, y = lessons.x[:some], lessons.y[:some]
    kinds = {
        "without learning": pupil.frames(x, y, False),
        "every third frame learns": np.where(
            (np.arange(some) % 3 == 0)[:, None], pupil.frames(x, y, True), pupil.frames(x, y, False)
        ),
        "learning": pupil.frames(x, y, True),
    }
    evidence, measured = [], {}
    for kind, frames in kinds.items():
        made, measured[kind] = _timed(pupil, frames, f"{lessons.name}, {kind}")
        evidence.append(made)
    return evidence, measured["without learning"], measured["learning"]


def _timed(pupil: Pupil, frames: np.ndarray, name: str) -> tuple[Evidence, float | None]:
    from codesign.verify.cycles import seen_by_events

    started = time.perf_counter()
    found = pupil.reference(frames)
    plans, flow = load_plans(pupil.build, pupil.circuit)
    others = seen_by_events(pupil.graph, pupil.circuit, frames, set(found.seen))
    latency, ii = frame_cycles(pupil.circuit, plans, flow, {**others, **found.seen})
    result = run_native(pupil.build, frames, {**found.codes, **found.logs}, threads=1)
    differences = (result.latency != latency) + (result.ii != float(ii)) + result.hang
    made = Evidence(
        link="cycles predicted = measured",
        vectors=name,
        frames=len(frames),
        tensors=[],
        codes=2,
        mismatches=int(differences) + result.mismatches,
        seconds=time.perf_counter() - started,
        note=f"latency {latency} predicted, {result.latency} measured; {float(ii):.6g} and "
        f"{result.ii if result.ii is not None else float('nan'):.6g} cycles a frame",
    )
    return made, result.ii
