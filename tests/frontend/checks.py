"""An imported graph run by the reference must equal qonnx's execution of the file, bit by bit."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from codesign import reference
from codesign.evidence import Evidence
from codesign.frontend import Imported, import_qonnx
from codesign.frontend.execute import execute_batch
from codesign.ir import Graph
from codesign.passes import lower
from codesign.reference.boundaries import boundaries
from codesign.verify.chain import compare


def tensors(imported: Imported, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every named tensor as the reference computes it, in the file's layout."""
    graph, names = imported.graph, imported.tensor_names
    keep = [name for name in names if name not in graph.inputs]
    found = reference.run(graph, {graph.inputs[0]: x}, keep=keep)
    out = {}
    for name in keep:
        decoded = graph.values[name].format.decode(found[name])
        order = [0, *(a + 1 for a in imported.tensor_axes[name])]
        out[names[name]] = decoded.transpose(order)
    return out


def agrees(model: ModelProto, x: np.ndarray, **options: object) -> Imported:
    """Import ``model``; every tensor on ``x`` must be qonnx's, shape and bits."""
    imported = import_qonnx(model, **options)
    ours = tensors(imported, x)
    theirs = execute_batch(imported, x, list(ours))
    for name, array in theirs.items():
        assert ours[name].shape == array.shape, name
        assert np.array_equal(ours[name], array), name
    return imported


def judged(
    imported: Imported, x: np.ndarray, torch: dict[str, np.ndarray] | None = None
) -> Evidence:
    """Every boundary of the lowered graph on ``x`` against qonnx's execution of the file (or
    ``torch``'s, by the tensor's name in the file), each computed from the other's codes."""
    graph = lower(imported.graph)
    points = boundaries(graph, imported.tensor_names, imported.tensor_axes)
    ours = reference.run(graph, {graph.inputs[0]: x}, keep=[p.value.name for p in points])
    given = execute_batch(imported, x, [p.tensor for p in points]) if torch is None else torch
    expected = {p.value.name: p.of_value(ours[p.value.name]) for p in points}
    theirs = {p.value.name: p.codes(given[p.tensor]) for p in points if p.tensor in given}
    return compare(
        "test", "x", points, expected, theirs,
        model=imported.graph, graph=graph, inputs=x, seed=None, started=0.0,
    )  # fmt: skip


def explained(
    model: ModelProto, x: np.ndarray, torch: dict[str, np.ndarray] | None = None
) -> tuple[Graph, Evidence]:
    """The lowered graph, and what :func:`judged` found; an assertion fails at a difference that
    is not explained."""
    imported = import_qonnx(model)
    found = judged(imported, x, torch)
    assert not found.mismatches, found.first
    return lower(imported.graph), found


def kinds(imported: Imported) -> list[str]:
    """Kinds of the graph's operations, in order."""
    return [n.op.kind for n in imported.graph.nodes]
