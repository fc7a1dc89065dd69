"""Passes: ``Graph -> Graph``, with what they need and what they promise checked around them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from codesign.errors import CodesignError
from codesign.ir import Graph, verify


class PassError(Exception):
    """A pass broke its contract: a bug here, not a user's mistake. Lists the passes run."""


class Pass(ABC):
    """One rewrite. ``requires`` and ``ensures`` raise ``ValueError`` naming what is wrong."""

    name: str

    def requires(self, graph: Graph) -> None:  # noqa: B027 - most passes need nothing
        """Check what the pass relies on."""

    @abstractmethod
    def call(self, graph: Graph) -> Graph:
        """The rewritten graph."""

    def ensures(self, graph: Graph) -> None:  # noqa: B027
        """Check what later passes rely on."""


def run_passes(graph: Graph, passes: Sequence[Pass]) -> Graph:
    """Run ``passes`` in order, verifying the graph before and after each."""
    done: list[str] = []
    for item in passes:
        try:
            item.requires(graph)
            graph = item.call(graph)
            verify(graph)
            item.ensures(graph)
        except CodesignError:
            raise
        except ValueError as error:
            history = " > ".join(done) or "none"
            raise PassError(f"pass '{item.name}': {error} (after: {history})") from error
        done.append(item.name)
    return graph
