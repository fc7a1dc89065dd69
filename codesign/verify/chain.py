"""Compare executions tensor by tensor; the first difference is named, none is tolerated."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from codesign.builddir import Evidence, Mismatch
from codesign.ir import Graph
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
    consequence. ``model`` is the model-level graph, from which differences are explained.
    """
    shared = [p for p in points if p.value.name in expected and p.value.name in actual]
    frames = len(next(iter(expected.values())))
    clean = np.ones(frames, dtype=bool)
    mismatches = explained = 0
    first: Mismatch | None = None
    for point in shared:
        name = point.value.name
        ours, theirs = expected[name], actual[name]
        bad = (ours != theirs) & clean[:, None]
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
