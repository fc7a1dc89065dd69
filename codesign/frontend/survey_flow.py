"""Which layer of a Scan's body feeds which, in the same step or through a carried tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from onnx import GraphProto, NodeProto

from codesign.exchange import is_neuron
from codesign.frontend.context import Context
from codesign.frontend.names import printable


@dataclass(frozen=True)
class Carried:
    """A tensor that a step hands on, states of neurons left out.

    ``tensor``: as the body reads it; ``source``: the tensor that it was ``steps`` steps before;
    ``written_by``, ``read_by``: the layers of neurons (or scan inputs) on either side, none in a
    network without neurons; ``through``: the nodes that read it; ``recurrent``: whether it comes
    back to where it came from, else it is only late. ``format``: "" where it was not imported.
    """

    tensor: str
    source: str
    steps: int
    written_by: tuple[str, ...]
    through: tuple[str, ...]
    read_by: tuple[str, ...]
    recurrent: bool
    shape: tuple[int, ...] = ()
    format: str = ""


class Flow:
    """The graph of one step; states ``of_neurons`` belong to their node."""

    def __init__(self, graph: GraphProto, states: int, of_neurons: set[int]) -> None:
        self._graph, self._states = graph, states
        self._others = [index for index in range(states) if index not in of_neurons]
        self._port = {graph.input[index].name: index for index in self._others}
        self._makers = {name: node for node in graph.node for name in node.output if name}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                self._readers.setdefault(name, []).append(node)
        self._written = {graph.output[index].name for index in self._others}
        self._spiking = any(map(is_neuron, graph.node))
        self._given = {port.name for port in graph.input[states:]}
        self._next: dict[str, list[str]] = {}  # written -> as what the next step reads it
        for index in self._others:
            self._next.setdefault(graph.output[index].name, []).append(graph.input[index].name)

    def layer(self, node: NodeProto) -> str:
        """What a layer is called: as its node, or as what it writes."""
        return printable(node.name or node.output[0])

    # --- within a step

    def fed_by(self, node: NodeProto, inputs: int) -> tuple[str, ...]:
        """Names of what reaches the first ``inputs`` inputs of ``node`` within a step."""
        found = self._walk(list(node.input[:inputs]), self._back)
        return tuple(self._names(found))

    def _back(self, name: str) -> tuple[list[str], str | NodeProto | None]:
        """(what to ask next, the end that was reached)."""
        if name in self._port or name in self._given:
            return [], name
        node = self._makers.get(name)
        if node is None:
            return [], None
        return ([], node) if is_neuron(node) else (list(node.input), None)

    def _walk(
        self, start: list[str], ask: Callable[[str], tuple[list[str], str | NodeProto | None]]
    ) -> list[str | NodeProto]:
        """The ends that are reached from the tensors ``start``, each once."""
        todo, seen, ends = list(reversed(start)), set(start), {}
        while todo:
            more, end = ask(todo.pop())
            if end is not None:
                ends[end if isinstance(end, str) else end.output[0]] = end
            new = [name for name in dict.fromkeys(more) if name and name not in seen]
            seen.update(new)
            todo += reversed(new)
        return list(ends.values())

    # --- from step to step

    def carried(self, inner: Context) -> tuple[Carried, ...]:
        """All that is carried and read by more than the next stage of a delay."""
        return tuple(
            self._carried(index, inner) for index in self._others if not self._stage(index)
        )

    def _stage(self, index: int) -> bool:
        """Whether the state is only handed on to another one."""
        names = self._along(self._graph.input[index].name)
        leaves = {o.name for o in self._graph.output[self._states :]}
        used = any(n.op_type != "Identity" for name in names for n in self._readers.get(name, []))
        return not used and bool(names & self._written) and not names & leaves

    def _along(self, name: str) -> set[str]:
        """``name`` and what is nothing but it."""
        found, todo = {name}, [name]
        while todo:
            for node in self._readers.get(todo.pop(), []):
                if node.op_type == "Identity" and node.output[0] not in found:
                    found.add(node.output[0])
                    todo.append(node.output[0])
        return found

    def _source(self, index: int) -> tuple[str, int]:
        """(tensor, how many steps before) of what the state holds."""
        seen, name = {index}, self._graph.output[index].name
        while True:
            node = self._makers.get(name)
            if node is not None and node.op_type == "Identity":
                name = node.input[0]
            elif name in self._port and self._port[name] not in seen:
                seen.add(self._port[name])
                name = self._graph.output[self._port[name]].name
            else:
                return name, len(seen)

    def _carried(self, index: int, inner: Context) -> Carried:
        port = self._graph.input[index].name
        source, steps = self._source(index)
        through = [n for name in sorted(self._along(port)) for n in self._readers.get(name, [])]
        through = [n for n in through if n.op_type != "Identity"]
        made = inner.tensors.get(port)
        return Carried(
            printable(port),
            printable(source),
            steps,
            tuple(self._names(self._walk([source], self._back))) if self._spiking else (),
            tuple(dict.fromkeys(map(self.layer, through))),
            tuple(self._names(self._neurons_after(port))),
            self._recurs(port),
            () if made is None else made.shape,
            "" if made is None else made.value.format.label(),
        )

    def _names(self, ends: Iterable[str | NodeProto]) -> list[str]:
        return [printable(e) if isinstance(e, str) else self.layer(e) for e in ends]

    def _neurons_after(self, port: str) -> list[str | NodeProto]:
        def ask(name: str) -> tuple[list[str], str | NodeProto | None]:
            nodes = self._readers.get(name, [])
            for node in nodes:
                if is_neuron(node):
                    ends[node.output[0]] = node
            return [o for n in nodes if not is_neuron(n) for o in n.output if o], None

        ends: dict[str, NodeProto] = {}
        self._walk([port], ask)
        return list(ends.values())

    def _recurs(self, port: str) -> bool:
        """Whether a state depends on itself: a round through steps leads back to it."""
        todo, seen = [port], set()
        while todo:
            name = todo.pop()
            ahead = [o for node in self._readers.get(name, []) for o in node.output if o]
            ahead += self._next.get(name, [])
            if port in ahead:
                return True
            todo += [found for found in dict.fromkeys(ahead) if found not in seen]
            seen.update(ahead)
        return False

    def minor(self) -> set[str]:
        """Tensors that only repeat others: stages within a delay, what is written as it is."""
        found = {self._graph.input[index].name for index in self._others if self._stage(index)}
        made = {name for name in self._written if name in self._makers}
        return found | {name for name in made if self._makers[name].op_type == "Identity"}
