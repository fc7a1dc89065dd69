"""Compare executions tensor by tensor; the first difference is named, none is tolerated."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from codesign.builddir import Evidence, Mismatch
from codesign.ir import Graph
from codesign.reference.loops import loop_of
from codesign.verify.boundaries import Boundary
from codesign.verify.explain import Explainer

Codes = Mapping[str, np.ndarray]  # value name -> int64 [n, elements]


def compare(
    link: str,
    vectors: str,
    points: list[Boundary],
    expected: Codes,
    actual: Codes,
    *,
    model: Graph,
    seed: int | None,
    started: float,
) -> Evidence:
    """One link of the chain: every code of every boundary in ``points`` both sides have.

    A frame is judged at its first differing boundary; what follows in that frame is a
    consequence. Of a recurrent loop only the first differing step counts, for the same reason.
    ``model`` is the model-level graph, from which differences are explained.
    """
    shared = [p for p in points if p.value.name in expected and p.value.name in actual]
    frames = len(next(iter(expected.values())))
    clean = np.ones(frames, dtype=bool)
    judged = first_steps(model, shared, expected, actual)
    mismatches = explained = 0
    first: Mismatch | None = None
    for point in shared:
        name = point.value.name
        ours, theirs = expected[name], actual[name]
        bad = (ours != theirs) & clean[:, None]
        if name in judged:
            steps, step = judged[name]
            of = np.arange(bad.shape[1]) // (bad.shape[1] // steps)
            bad &= of == step[:, None]
        explain = Explainer(model, name, point.value)
        for frame, index in np.argwhere(bad):
            code = int(theirs[frame, index])
            known = all(s in expected for s in explain.sources)
            sources = {s: expected[s][frame] for s in explain.sources} if known else {}
            if known and explain.explains(sources, int(frame), int(index), code):
                explained += 1
                continue
            mismatches += 1
            first = first or Mismatch(
                tensor=point.tensor,
                frame=int(frame),
                index=int(index),
                expected=int(ours[frame, index]),
                actual=code,
                against=link,
            )
        clean &= ~bad.any(axis=1)
    return Evidence(
        link=link,
        vectors=vectors,
        frames=frames,
        tensors=[p.tensor for p in shared],
        codes=sum(expected[p.value.name].size for p in shared),
        mismatches=mismatches,
        explained=explained,
        seed=seed,
        seconds=time.perf_counter() - started,
        first=first,
    )


def first_steps(
    model: Graph, points: list[Boundary], expected: Codes, actual: Codes
) -> dict[str, tuple[int, np.ndarray]]:
    """For each boundary inside a loop: its steps, and the first step of every frame, int64 [n],
    in which any boundary of that loop differs (``steps`` where none does)."""
    found: dict[str, tuple[int, np.ndarray]] = {}
    for node in model.nodes:
        if not node.op.delays:
            continue
        steps = model.out(node).shape[0]
        inside = {name for member in loop_of(model, model.nodes, node) for name in member.outputs}
        names = [p.value.name for p in points if p.value.name in inside]
        if not names or names[0] in found:
            continue
        frames = len(expected[names[0]])
        bad = np.zeros((frames, steps), dtype=bool)
        for name in names:
            differs = expected[name] != actual[name]
            bad |= differs.reshape(frames, steps, -1).any(axis=2)
        first = np.where(bad.any(axis=1), bad.argmax(axis=1), steps)
        found |= dict.fromkeys(names, (steps, first))
    return found
