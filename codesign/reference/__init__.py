"""Runs a graph on integer codes with numpy: the reference every backend is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from codesign.ir import Graph


def run(
    graph: Graph,
    inputs: dict[str, np.ndarray],
    *,
    keep: Iterable[str] = (),
    chunk: int = 4096,
    progress: Callable[[int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Execute ``graph`` on a batch.

    ``inputs``: value name -> array with a leading batch axis. Any values may be given: nodes
    whose outputs are already there are skipped, so a run can start at the circuit's own input.
    Returns the graph outputs and the values named in ``keep``. ``progress`` is told the frames
    done after each chunk.
    """
    wanted = [*dict.fromkeys([*graph.outputs, *keep])]
    frames = len(next(iter(inputs.values())))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for start in range(0, max(frames, 1), chunk):
        env = {name: array[start : start + chunk] for name, array in inputs.items()}
        for node in _needed(graph, set(env), set(wanted)):
            env[node.output] = node.op.execute(graph.ins(node), *(env[n] for n in node.inputs))
        for name in wanted:
            parts[name].append(env[name])
        if progress:
            progress(len(next(iter(env.values()))))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _needed(graph: Graph, given: set[str], wanted: set[str]) -> list:
    missing, kept = wanted - given, []
    for node in reversed(graph.nodes):
        if missing & set(node.outputs):
            kept.append(node)
            missing = (missing | set(node.inputs)) - given - set(node.outputs)
    if missing:
        raise ValueError(f"no value given for '{sorted(missing)[0]}'")
    return kept[::-1]
