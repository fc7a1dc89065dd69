"""A design that learns before it does: it is the model, and behaves as any other circuit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from codesign.evidence import BenchResult, Evidence, Mismatch
from codesign.frontend import import_qonnx
from codesign.passes import lower
from codesign.plan import partition
from codesign.reference.boundaries import boundaries
from codesign.reference.states import with_states
from codesign.verify.golden import golden_vectors
from codesign.verify.lessons import Lessons
from codesign.verify.software import software_links
from codesign.verify.subject import Subject, reference_codes
from codesign.verify.vectors import VectorSet, host_floats

if TYPE_CHECKING:
    from codesign.verify.learning import Pupil

#: Frames that the model, PyTorch and qonnx are compared on, and those of the benches.
COMPARED, BENCHED = 400, 40


def model_links(pupil: Pupil, lessons: Lessons) -> list[Evidence]:
    """PyTorch = reference (what was recorded), qonnx = reference, and that reference = layers that
    do not learn, on the test frames."""
    root = pupil.build.root / "model"
    imported = import_qonnx(root / "model.onnx")
    graph = lower(imported.graph)
    circuit = partition(graph)
    whole = with_states(graph)
    points = boundaries(whole, imported.tensor_names, imported.tensor_axes)
    subject = Subject(pupil.build, pupil.manifest, whole, circuit, imported, points)
    x = lessons.test_x[:COMPARED]
    floats = host_floats(circuit, x.reshape(len(x), -1))
    sets = [
        *golden_vectors(root / "golden.npz", circuit)[:1],
        VectorSet(lessons.name, x.reshape(len(x), -1), floats, lessons.test_y[:COMPARED]),
    ]
    links = []
    for vectors in sets:
        expected = reference_codes(subject, vectors)
        links += software_links(subject, vectors, expected, lambda _: None)
    links.append(_same(pupil, sets[-1], expected))
    return links


def _same(pupil: Pupil, vectors: VectorSet, expected: dict[str, np.ndarray]) -> Evidence:
    """The model's reference against layers that are told not to learn."""
    started = time.perf_counter()
    x = vectors.codes.reshape(-1, *pupil.shape)
    found = pupil.reference(pupil.frames(x, np.zeros(len(x), np.int64), False))
    wrong, codes, first = 0, 0, None
    for name, ours in expected.items():
        if name not in found.codes:
            continue
        head = found.codes[name].shape[1] - ours.shape[1]  # of what is handed on to learn
        theirs = found.codes[name][:, head:]
        bad = np.argwhere(ours != theirs)
        wrong, codes = wrong + len(bad), codes + ours.size
        if len(bad) and first is None:
            frame, index = (int(k) for k in bad[0])
            first = Mismatch(
                tensor=name,
                frame=frame,
                index=index,
                expected=int(ours[frame, index]),
                actual=int(theirs[frame, index]),
                against="layers that do not learn",
            )
    return Evidence(
        link="model = layers before they learn",
        vectors=vectors.name,
        frames=len(x),
        tensors=[name for name in expected if name in found.codes],
        codes=codes,
        mismatches=wrong,
        seconds=time.perf_counter() - started,
        first=first,
    )


def frozen_benches(pupil: Pupil, lessons: Lessons, *, waves: bool, seed: int) -> list[BenchResult]:
    """The cocotb benches, with resets in mid-frame, on frames that do not learn: a reset leaves
    the weights of a frame that does half changed."""
    from codesign.sim.runner import run_cocotb

    x, y = lessons.test_x[:BENCHED], lessons.test_y[:BENCHED]
    frames = pupil.frames(x, y, False)
    codes = pupil.reference(frames).codes
    taps = {tap.port.tensor: codes[tap.port.tensor] for tap in pupil.manifest.taps}
    taps[pupil.manifest.output.tensor] = codes[pupil.manifest.output.tensor]
    return run_cocotb(pupil.build, frames, taps, waves=waves, seed=seed).benches
