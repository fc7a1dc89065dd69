"""Recurrent edges: which spikes arrive one step later.

NIR's equations hold at every instant, so a loop has no delay; in steps of time it needs one. It
is put where the spikes of neurons go back to neurons that are no farther from the input.
"""

from __future__ import annotations

from collections import deque

from codesign.errors import UnsupportedModel
from codesign.frontend.names import printable
from codesign.frontend.nir.flat import Flat

NEURONS = ("CubaLI", "CubaLIF", "I", "IF", "LI", "LIF", "Threshold")


def delayed_edges(flat: Flat) -> frozenset[tuple[str, str]]:
    """Edges out of neurons on which a value arrives one step later.

    Raises :class:`UnsupportedModel` for one that leads both back and forward: then it is not
    clear whose delay it is.
    """
    after: dict[str, list[str]] = {name: [] for name in (*flat.nodes, flat.input, flat.output)}
    for source, target in flat.edges:
        # what enters a delay comes out later: no loop through it is without delay
        if type(flat.nodes.get(target)).__name__ != "Delay":
            after[source].append(target)
    rank = _distances(flat.input, after)
    neurons = {n for n, node in flat.nodes.items() if type(node).__name__ in NEURONS}
    found = set()
    for source in neurons:
        back_to_source = leading_to(source, after)
        for target in after[source]:
            reached = _next_neurons(target, after, neurons, flat.output)
            back = {n for n in reached & back_to_source if rank.get(n, 0) <= rank.get(source, 0)}
            if back and back != reached:
                raise UnsupportedModel(
                    f"the edge from '{printable(source)}' to '{printable(target)}' leads both back "
                    "and forward",
                    where="NIR graph",
                    hint="give the recurrent connection weights of its own",
                )
            if back:
                found.add((source, target))
    return frozenset(found)


def _distances(start: str, after: dict[str, list[str]]) -> dict[str, int]:
    rank, queue = {start: 0}, deque([start])
    while queue:
        name = queue.popleft()
        for target in after[name]:
            if target not in rank:
                rank[target] = rank[name] + 1
                queue.append(target)
    return rank


def leading_to(goal: str, after: dict[str, list[str]]) -> set[str]:
    """All nodes from which ``goal`` is reached, itself included."""
    before: dict[str, list[str]] = {name: [] for name in after}
    for source, targets in after.items():
        for target in targets:
            before[target].append(source)
    return set(_distances(goal, before))


def _next_neurons(
    name: str, after: dict[str, list[str]], neurons: set[str], output: str
) -> set[str]:
    """The first neurons (or the output) on every way from ``name`` on, itself included."""
    found, seen, todo = set(), set(), [name]
    while todo:
        at = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        if at in neurons or at == output:
            found.add(at)
        else:
            todo += after[at]
    return found
