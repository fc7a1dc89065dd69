"""PyTorch = reference and qonnx = reference."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from codesign.evidence import Evidence
from codesign.formats import Real
from codesign.reference.boundaries import Boundary
from codesign.verify.chain import compare
from codesign.verify.subject import Subject
from codesign.verify.vectors import VectorSet

Progress = Callable[[str], None]


def software_links(
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
