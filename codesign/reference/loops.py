"""Which nodes of a graph form a loop through delays."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from codesign.ir import Graph, Node


def loop_of(graph: Graph, nodes: Iterable[Node], node: Node) -> list[Node]:
    """The nodes that depend on ``node`` and on which it depends, in order; none if it stands in
    no loop. Only delays read what is written after them."""
    if not any(n.op.delays for n in nodes):
        return []
    writers = {name: n for n in nodes for name in n.outputs}
    readers: dict[str, list[Node]] = {}
    for n in nodes:
        for name in n.inputs:
            readers.setdefault(name, []).append(n)
    before = _reach(node, lambda n: [writers[name] for name in n.inputs if name in writers])
    after = _reach(node, lambda n: [r for name in n.outputs for r in readers.get(name, [])])
    names = set(before) & set(after)
    return [n for n in nodes if n.name in names]


def _reach(start: Node, following: Callable[[Node], list[Node]]) -> dict[str, Node]:
    """Nodes reached from ``start`` in one step or more."""
    found: dict[str, Node] = {}
    todo = [start]
    while todo:
        for node in following(todo.pop()):
            if node.name not in found:
                found[node.name] = node
                todo.append(node)
    return found
