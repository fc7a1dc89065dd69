"""The typed graph: frozen values, nodes and graphs, and the check that they fit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from codesign.formats import Format
from codesign.ir.op import Op


@dataclass(frozen=True)
class Value:
    """A tensor: its name, its shape without the batch axis, and what its codes mean."""

    name: str
    shape: tuple[int, ...]
    format: Format

    @property
    def elements(self) -> int:
        """Elements in one frame."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True)
class Node:
    """An operation between named values."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def output(self) -> str:
        """The only output; most operations have just one."""
        (name,) = self.outputs
        return name


@dataclass(frozen=True)
class State:
    """A value carried from one step to the next: ``read`` at a step's start is ``write`` of the
    step before, or ``initial`` (a code) at the first."""

    read: str
    write: str
    initial: int


@dataclass(frozen=True)
class Graph:
    """Nodes in execution order over named values. Immutable: passes return a new one."""

    name: str
    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    states: tuple[State, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    def ins(self, node: Node) -> list[Value]:
        """Input values of ``node``."""
        return [self.values[name] for name in node.inputs]

    def out(self, node: Node) -> Value:
        """The output value of ``node``."""
        return self.values[node.output]

    def producer(self, value: str) -> Node | None:
        """The node that writes ``value``; None for graph inputs."""
        return next((n for n in self.nodes if value in n.outputs), None)

    def consumers(self, value: str) -> list[Node]:
        """The nodes that read ``value``."""
        return [n for n in self.nodes if value in n.inputs]

    def with_nodes(self, nodes: Iterable[Node], values: Iterable[Value] = ()) -> Graph:
        """The graph over ``nodes``, with ``values`` added or replaced and unused ones dropped."""
        nodes = tuple(nodes)
        merged = {**self.values, **{v.name: v for v in values}}
        used = {*self.inputs, *self.outputs}
        for node in nodes:
            used.update(node.inputs, node.outputs)
        kept = {name: value for name, value in merged.items() if name in used}
        return replace(self, nodes=nodes, values=kept)

    def inferred(self) -> Graph:
        """Infer the shape and format of every value again, in graph order: a change of one value
        changes those that are made of it."""
        values = dict(self.values)
        for node in self.nodes:
            shape, format = node.op.infer(*(values[name] for name in node.inputs))
            old = values[node.output]
            if (shape, format) != (old.shape, old.format):
                values[node.output] = replace(old, shape=shape, format=format)
        return replace(self, values=values)


def verify(graph: Graph) -> None:
    """Raise ``ValueError`` unless names resolve, order is topological (but for delays, which close
    loops) and each value has one writer whose inferred shape and format are those recorded."""
    written = set(graph.inputs) | {s.read for s in graph.states}
    for node in graph.nodes:
        for name in node.inputs:
            if name not in written and not node.op.delays:
                raise ValueError(f"node '{node.name}' reads '{name}' before it is written")
        for name in node.outputs:
            if name in written:
                raise ValueError(f"value '{name}' is written twice (node '{node.name}')")
            written.add(name)
        shape, format = node.op.infer(*graph.ins(node))
        out = graph.out(node)
        if (out.shape, out.format) != (shape, format):
            raise ValueError(
                f"node '{node.name}' yields {shape} {format}, recorded {out.shape} {out.format}"
            )
    read = [*graph.outputs, *(name for node in graph.nodes for name in node.inputs)]
    missing = [name for name in read if name not in written]
    if missing:
        raise ValueError(f"value '{missing[0]}' is never written")
