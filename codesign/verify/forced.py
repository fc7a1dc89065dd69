"""The reference on the codes another execution had, so that every difference is judged alone.

Where float32 moved one code across a threshold, everything behind it differs too. Each boundary
is therefore computed from what the other execution had before it ("teacher forcing"): a difference
that remains was made between these boundaries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from codesign.formats import Real
from codesign.ir import Graph
from codesign.reference import run


class Forced:
    """``graph`` (lowered) on some frames: ``inputs`` [n, ...] of the network, and the codes
    ``theirs`` [n, elements] of the boundaries. A code that no format holds is a mismatch of its
    own; behind it ``ours`` are taken instead."""

    def __init__(
        self,
        graph: Graph,
        inputs: np.ndarray,
        theirs: Mapping[str, np.ndarray],
        ours: Mapping[str, np.ndarray],
    ) -> None:
        self._graph, self._frames = graph, len(inputs)
        self._given: dict[str, np.ndarray] = {graph.inputs[0]: inputs}
        for name, codes in theirs.items():
            value = graph.values[name]
            if not isinstance(value.format, Real):
                held = (codes >= value.format.lo) & (codes <= value.format.hi)
                good = np.where(held, codes, ours[name])
                self._given[name] = good.reshape(-1, *value.shape)
        self._cut_loops()

    def _cut_loops(self) -> None:
        """What a loop carries from step to step is known as well."""
        delays = [n for n in self._graph.nodes if n.op.delays]
        found = run(self._graph, self._given, keep=[n.inputs[0] for n in delays]) if delays else {}
        for node in delays:
            late = node.op.execute(self._graph.ins(node), found[node.inputs[0]])
            self._given[node.output] = late

    def __call__(self, name: str) -> np.ndarray:
        """Value ``name``, computed from the other execution's codes of all other boundaries."""
        given = {k: array for k, array in self._given.items() if k != name}
        return run(self._graph, given, keep=[name])[name]

    def sources(self, names: Iterable[str]) -> dict[str, np.ndarray] | None:
        """Codes [n, elements] of ``names`` as the other execution had them; None where the
        lowered graph has no such value."""
        found = {}
        for name in names:
            if name not in self._graph.values:
                return None
            array = self._given[name] if name in self._given else self(name)
            found[name] = array.reshape(self._frames, -1)
        return found
