"""Compare executions tensor by tensor; the first difference is named, none is tolerated."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from codesign.evidence import Evidence, Mismatch
from codesign.ir import Graph
from codesign.reference.boundaries import Boundary
from codesign.reference.explain import Explainer
from codesign.verify.forced import Forced

Codes = Mapping[str, np.ndarray]  # value name -> int64 [n, elements]


def compare(
    link: str,
    vectors: str,
    points: list[Boundary],
    expected: Codes,
    actual: Codes,
    *,
    model: Graph,
    graph: Graph,
    inputs: np.ndarray,
    seed: int | None,
    started: float,
) -> Evidence:
    """One link of the chain: every code of every boundary in ``points`` both sides have.

    Frames with any difference are judged boundary by boundary, each computed by ``graph`` (the
    lowered one, of which ``expected`` are the results on ``inputs``) from the codes the other
    execution had before it; ``expected`` of a mismatch is that result. ``model`` is the
    model-level graph, from which differences are explained.
    """
    shared = [p for p in points if p.value.name in expected and p.value.name in actual]
    names = [p.value.name for p in shared]
    frames = len(next(iter(expected.values())))
    differs = np.zeros(frames, dtype=bool)
    for name in names:
        differs |= (expected[name] != actual[name]).any(axis=1)
    if differs.any() and any(node.op.carries for node in graph.nodes):
        differs[:] = True  # each frame depends on those before
    rows = np.flatnonzero(differs)
    mismatches, explained = 0, dict[str, int]()
    first: Mismatch | None = None
    if rows.size:
        theirs = {name: actual[name][rows] for name in names}
        given = np.asarray(inputs)[rows].reshape(-1, *graph.values[graph.inputs[0]].shape)
        forced = Forced(graph, given, theirs, {name: expected[name][rows] for name in names})
    for point in shared if rows.size else []:
        name = point.value.name
        ours = point.of_value(forced(name))
        bad = ours != theirs[name]
        known = _explained(Explainer(model, name, point.value), forced, bad, theirs[name])
        if (bad & known).any():
            explained[point.tensor] = int((bad & known).sum())
        bad &= ~known
        mismatches += int(bad.sum())
        if bad.any() and first is None:
            row, index = (int(i) for i in np.argwhere(bad)[0])
            first = Mismatch(
                tensor=point.tensor,
                frame=int(rows[row]),
                index=index,
                expected=int(ours[row, index]),
                actual=int(theirs[name][row, index]),
                against=link,
            )
    return Evidence(
        link=link,
        vectors=vectors,
        frames=frames,
        tensors=[p.tensor for p in shared],
        codes=sum(expected[name].size for name in names),
        mismatches=mismatches,
        explained_in=explained,
        seed=seed,
        seconds=time.perf_counter() - started,
        first=first,
    )


def _explained(
    explainer: Explainer, forced: Forced, bad: np.ndarray, theirs: np.ndarray
) -> np.ndarray:
    """Which of the differences ``bad`` [n, elements] lie within float32's errors."""
    some = np.flatnonzero(bad.any(axis=1))
    known = np.zeros_like(bad)
    sources = forced.sources(explainer.sources) if some.size else None
    if sources:
        sources = {name: codes[some] for name, codes in sources.items()}
        known[some] = explainer.explains(sources, theirs[some])
    return known
