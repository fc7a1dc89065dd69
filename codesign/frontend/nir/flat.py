"""A NIR graph without nesting: its nodes by full name, edges, one input and one output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.frontend.names import printable
from codesign.frontend.window import MAX_ELEMENTS

MAX_NODES = 10_000


@dataclass(frozen=True)
class Flat:
    """``nodes``: all but graphs, inputs and outputs. ``edges`` go between them, ``input`` and
    ``output``, which are names too."""

    nodes: dict[str, Any]
    edges: tuple[tuple[str, str], ...]
    input: str
    output: str
    shape: tuple[int, ...]


def flatten(graph: Any) -> Flat:
    """``graph`` (a ``nir.NIRGraph``) flat; Inputs and Outputs of subgraphs become edges.

    Raises :class:`UnsupportedModel` where a graph has other than one input and one output, or an
    edge names a node that is not there.
    """
    nodes, edges, given, result = _inline(graph, "")
    shape = _shape(nodes[given].input_type["input"], given)
    junctions = [n for n, x in nodes.items() if type(x).__name__ in ("Input", "Output")]
    for name in junctions:
        if name not in (given, result):
            before = [a for a, b in edges if b == name]
            after = [b for a, b in edges if a == name]
            edges = [e for e in edges if name not in e]
            edges += [(a, b) for a in before for b in after]
    kept = {n: x for n, x in nodes.items() if n not in junctions}
    if len(kept) > MAX_NODES:
        what = f"{len(kept)} nodes, the limit is {MAX_NODES}"
        raise UnsupportedModel(what, where="NIR graph", hint="split the network")
    return Flat(kept, tuple(dict.fromkeys(edges)), given, result, shape)


def _shape(held: Any, name: str) -> tuple[int, ...]:
    """Of the input, from what its node holds."""
    found = np.ravel(np.asarray(held))
    whole = found.dtype.kind in "iuf" and (found == np.rint(found)).all()
    if not found.size or not whole or found.min() < 1 or np.prod(found, dtype=float) > MAX_ELEMENTS:
        what = f"an input of shape {printable(str(found.tolist()))}"
        hint = (
            f"give the sizes of its axes, each at least 1, at most {MAX_ELEMENTS} elements in all"
        )
        raise UnsupportedModel(what, where=printable(name), hint=hint)
    return tuple(int(n) for n in found)


def _inline(graph: Any, prefix: str) -> tuple[dict[str, Any], list[tuple[str, str]], str, str]:
    """Nodes, edges, and the names of input and output of a graph, all with ``prefix``."""
    where = f"graph '{printable(prefix[:-1])}'" if prefix else "NIR graph"
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    ends: dict[str, tuple[str, str]] = {}
    for name, node in graph.nodes.items():
        full = prefix + str(name)
        if type(node).__name__ == "NIRGraph":
            inner, more, given, result = _inline(node, f"{full}.")
            _no_clash(nodes, inner, where)
            nodes |= inner
            edges += more
            ends[name] = (given, result)
        else:
            _no_clash(nodes, {full: node}, where)
            nodes[full] = node
            ends[name] = (full, full)
    for source, target in graph.edges:
        for end in (source, target):
            if end not in ends:
                hint = "write the graph again"
                what = f"an edge names node '{printable(str(end))}', which is not there"
                raise UnsupportedModel(what, where=where, hint=hint)
        edges.append((ends[source][1], ends[target][0]))
    return nodes, edges, _only(graph, "Input", prefix, where), _only(graph, "Output", prefix, where)


def _no_clash(nodes: dict[str, Any], more: dict[str, Any], where: str) -> None:
    both = nodes.keys() & more.keys()
    if both:
        what = f"two nodes are called '{printable(sorted(both)[0])}'"
        raise UnsupportedModel(what, where=where, hint="rename one: names join with dots")


def _only(graph: Any, kind: str, prefix: str, where: str) -> str:
    found = [str(n) for n, node in graph.nodes.items() if type(node).__name__ == kind]
    if len(found) != 1:
        hint = "a network has one input and one output: concatenate, or export the parts"
        raise UnsupportedModel(f"{len(found)} nodes of type {kind}", where=where, hint=hint)
    return prefix + found[0]
