"""What is verified, and the codes that its reference computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codesign.builddir import BuildDir
from codesign.errors import UsageError
from codesign.frontend import Imported, import_qonnx
from codesign.ir import Graph
from codesign.ir.serialize import load_graph
from codesign.manifest import Manifest
from codesign.plan import Circuit, partition
from codesign.reference import run
from codesign.reference.boundaries import Boundary, boundaries
from codesign.reference.states import with_states
from codesign.verify.vectors import VectorSet
from codesign.weights import Weights, pack_weights


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


def reference_codes(subject: Subject, vectors: VectorSet) -> dict[str, np.ndarray]:
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


def taps_of(subject: Subject, expected: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {tap.port.tensor: expected[tap.port.tensor] for tap in subject.manifest.taps}
