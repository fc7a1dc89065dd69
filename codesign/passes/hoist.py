"""Hoist: quantizers trade places with what only moves or selects elements.

``codes -> float chain -> move -> float chain -> quantizer`` has no integer form as it stands. A
move (Rearrange, Reshape, Concat, a maximum) and element-wise functions commute, so the quantizer
goes up through the move, its constants rearranged with it, and the move handles narrow codes.
Where that is impossible the functions above the move sink below it.
"""

from __future__ import annotations

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Real
from codesign.ir import Elementwise, Graph, Node, Op, Value
from codesign.ops.chain import Chain, Step, constants_of
from codesign.ops.combine import Combine
from codesign.ops.concat import Concat
from codesign.ops.max_pool import MaxPool
from codesign.ops.quantizer import Quantizer
from codesign.ops.rearrange import Rearrange
from codesign.ops.reshape import Reshape
from codesign.passes.base import Pass
from codesign.passes.moved_constants import moved, per_channel
from codesign.passes.tabulate import drop_dead, find_chain


class Hoist(Pass):
    """No float move lies between integer codes and a quantizer afterwards."""

    name = "hoist"

    def call(self, graph: Graph) -> Graph:
        while True:
            changed = _first_hoist(graph) or _first_sink(graph)
            if changed is None:
                return graph
            graph = drop_dead(changed)

    def ensures(self, graph: Graph) -> None:
        for node in graph.nodes:
            if is_move(graph, node) and _between(graph, node):
                raise UnsupportedModel(
                    "it works on float values between integer codes and a quantizer, and cannot "
                    "trade places with the operations around it",
                    where=f"node '{node.name}' ({node.op.kind})",
                    hint="put a quantizer (Brevitas QuantIdentity) before it",
                )


def is_move(graph: Graph, node: Node) -> bool:
    """Whether ``node`` moves or selects float32 elements without computing."""
    kinds = Rearrange | Reshape | Concat | MaxPool
    selects = isinstance(node.op, Combine) and node.op.function in ("min", "max")
    return (isinstance(node.op, kinds) or selects) and isinstance(graph.out(node).format, Real)


def _between(graph: Graph, node: Node) -> bool:
    """Whether ``node`` lies after codes and before a quantizer, with only float in between.

    The minimum of two values may stay where :class:`~.lower_combine.LowerCombine` finds an
    integer form of it.
    """
    if isinstance(node.op, Combine):
        return False
    return depends_on_codes(graph, node.output) and leads_to_quantizer(graph, node.output)


def depends_on_codes(graph: Graph, name: str) -> bool:
    """Whether float ``name`` is computed from integer codes."""
    todo, seen = [name], set()
    while todo:
        value = todo.pop()
        if not isinstance(graph.values[value].format, Real):
            return True
        node = graph.producer(value)
        for before in node.inputs if node is not None else ():
            if before not in seen:
                seen.add(before)
                todo.append(before)
    return False


def leads_to_quantizer(graph: Graph, name: str) -> bool:
    """Whether a quantizer reads what is computed in float from ``name``."""
    todo, seen = [name], set()
    while todo:
        for node in graph.consumers(todo.pop()):
            if isinstance(node.op, Quantizer):
                return True
            if isinstance(graph.out(node).format, Real) and node.output not in seen:
                seen.add(node.output)
                todo.append(node.output)
    return False


# Upwards ------------------------------------------------------------------------------------------


def _first_hoist(graph: Graph) -> Graph | None:
    for node in graph.nodes:
        if not isinstance(node.op, Quantizer) or find_chain(graph, node) is not None:
            continue
        found = _chain_below_move(graph, node)
        if found is None or not depends_on_codes(graph, found[0].output):
            continue
        try:
            changed = _hoist(graph, node, *found)
        except UnsupportedModel:
            continue
        if changed is not None:
            return changed
    return None


def _chain_below_move(graph: Graph, node: Node) -> tuple[Node, tuple[Step, ...]] | None:
    """The move whose output alone the quantizer ``node`` is computed from, and the steps."""
    steps: list[Step] = []
    numbers: dict[str, int] = {}
    moves: dict[str, Node] = {}

    def visit(value: str) -> int | None:
        if value in numbers:
            return numbers[value]
        source = graph.producer(value)
        if source is None or not isinstance(graph.values[value].format, Real):
            return None
        if is_move(graph, source):
            moves[value] = source
            return 0
        if not isinstance(source.op, Elementwise | Combine):
            return None
        places = [visit(i) for i in source.inputs]
        if any(p is None for p in places):
            return None
        steps.append(Step(source.op, tuple(p for p in places if p is not None)))
        numbers[value] = len(steps)
        return len(steps)

    end = visit(node.inputs[0])
    if end is None or len(moves) != 1:
        return None
    (move,) = moves.values()
    return move, tuple(steps)


def _hoist(graph: Graph, node: Node, move: Node, steps: tuple[Step, ...]) -> Graph | None:
    """The quantizer ``node`` with its ``steps`` on every input of ``move``, then the move."""
    assert isinstance(node.op, Quantizer)
    chain = Chain(graph.out(move), steps, node.op)
    new_move = _move_of_codes(graph, move, chain)
    if new_move is None:
        return None
    edit = _Edit(graph)
    quantized = []
    for number, value in enumerate(graph.ins(move)):
        ops = [_through(graph, move, op, number) for op in (*(s.op for s in steps), node.op)]
        values = [value]
        for step, op in zip(steps, ops, strict=False):
            if op is None:
                return None
            values.append(edit.emit(f"{node.name}_before", op, [values[i] for i in step.inputs]))
        if ops[-1] is None:
            return None
        alone = len(move.inputs) == 1
        name = node.name if alone else f"{node.name}_{number}"
        quantized.append(edit.emit(name, ops[-1], [values[-1]], reuse=node.name))
    dies = _only_reader_is(graph, move, node)
    edit.emit(move.name, new_move, quantized, reuse=move.name if dies else "", out=node.output)
    return edit.finish(node.name)


def _move_of_codes(graph: Graph, move: Node, chain: Chain) -> Op | None:
    """What ``move`` becomes when it moves the quantizer's codes; None if they do not commute."""
    op, out = move.op, graph.out(move)
    if isinstance(op, Rearrange) and op.fills:
        padding = np.broadcast_to(np.float32(op.fill), (1, *out.shape))
        codes = np.broadcast_to(chain.evaluate_real(padding), padding.shape)
        assert chain.quant is not None
        values = chain.quant.out_format.decode(codes)[0][op.index < 0]
        return Rearrange(op.index, float(values[0])) if (values == values[0]).all() else None
    if isinstance(op, MaxPool):
        return op if (chain.direction() > 0).all() else None
    if isinstance(op, Combine):
        way = chain.direction()
        if (way > 0).all():
            return op
        return Combine("max" if op.function == "min" else "min") if (way < 0).all() else None
    return op


def _through(graph: Graph, move: Node, op: Op, number: int) -> Op | None:
    """``op``, which reads the output of ``move``, as it must be on the move's input ``number``."""
    if isinstance(op, Combine) or all(c.size == 1 for c in constants_of(op)):
        return op
    before, after = graph.ins(move)[number].shape, graph.out(move).shape
    if isinstance(move.op, Combine):
        return op
    if isinstance(move.op, MaxPool):
        return op if per_channel(op, after) else None
    places = np.arange(int(np.prod(after)), dtype=np.int64)
    if isinstance(move.op, Concat):
        sizes = [v.shape[move.op.axis] for v in graph.ins(move)]
        start = sum(sizes[:number])
        part = np.arange(start, start + sizes[number])
        return moved(op, after, places.reshape(after).take(part, axis=move.op.axis))
    if isinstance(move.op, Reshape):
        return moved(op, after, places.reshape(before))
    assert isinstance(move.op, Rearrange)
    index = move.op.index.reshape(-1)
    source = np.full(int(np.prod(before)), -1, dtype=np.int64)
    source[index[index >= 0]] = places[index >= 0]
    # An element read several times must meet the same constants each time.
    twin = np.where(index >= 0, source[index], places)
    return moved(op, after, source.reshape(before), same=(places, twin))


def _only_reader_is(graph: Graph, move: Node, node: Node) -> bool:
    """Whether nothing but the quantizer ``node`` depends on ``move``."""
    todo, seen = [move.output], set()
    while todo:
        value = todo.pop()
        if value in graph.outputs:
            return False
        for reader in graph.consumers(value):
            if reader.name == node.name or reader.output in seen:
                continue
            if not isinstance(reader.op, Elementwise | Combine):
                return False
            seen.add(reader.output)
            todo.append(reader.output)
    return True


# Downwards ----------------------------------------------------------------------------------------


def _first_sink(graph: Graph) -> Graph | None:
    """Move one element-wise function from above a move to below it."""
    for move in graph.nodes:
        if not is_move(graph, move) or not _between(graph, move) or len(move.inputs) != 1:
            continue
        above = graph.producer(move.inputs[0])
        if above is None or not isinstance(above.op, Elementwise):
            continue
        try:
            changed = _sink(graph, move, above)
        except UnsupportedModel:
            continue
        if changed is not None:
            return changed
    return None


def _sink(graph: Graph, move: Node, above: Node) -> Graph | None:
    op = _below(graph, move, above.op)
    if op is None:
        return None
    edit = _Edit(graph)
    source = graph.ins(above)[0]
    value = edit.emit(move.name, move.op, [source], reuse=move.name)
    dies = len(graph.consumers(above.output)) == 1
    edit.emit(above.name, op, [value], reuse=above.name if dies else "", out=move.output)
    return edit.finish(move.name)


def _below(graph: Graph, move: Node, op: Op) -> Op | None:
    """``op``, which writes the input of ``move``, as it must be on the move's output."""
    before, after = graph.ins(move)[0].shape, graph.out(move).shape
    if isinstance(move.op, MaxPool):
        assert isinstance(op, Elementwise)
        return op if per_channel(op, before) and (op.direction() > 0).all() else None
    if isinstance(move.op, Rearrange) and move.op.fills:
        return None
    if all(c.size == 1 for c in constants_of(op)):
        return op
    if isinstance(move.op, Rearrange):
        return moved(op, before, move.op.index)
    places = np.arange(int(np.prod(before)), dtype=np.int64)
    return moved(op, before, places.reshape(after))


# Editing ------------------------------------------------------------------------------------------


class _Edit:
    """New nodes in place of one; names stay unique, formats behind them are inferred again."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: list[Node] = []
        self._values: dict[str, Value] = {}

    def emit(
        self, name: str, op: Op, inputs: list[Value], *, reuse: str = "", out: str = ""
    ) -> Value:
        """A node; ``reuse``: the name of a node that disappears, ``out``: its output's name."""
        taken = {n.name for n in (*self._graph.nodes, *self._nodes) if n.name != reuse}
        taken |= {n.name for n in self._nodes}
        name = _fresh(name, taken)
        shape, format = op.infer(*inputs)
        value = Value(out or _fresh(f"{name}_out", {*self._graph.values, *self._values}),
                      shape, format)  # fmt: skip
        self._values[value.name] = value
        self._nodes.append(Node(name, op, tuple(v.name for v in inputs), (value.name,)))
        return value

    def finish(self, place: str) -> Graph:
        """The graph with the new nodes instead of the node called ``place``."""
        nodes: list[Node] = []
        for node in self._graph.nodes:
            nodes += self._nodes if node.name == place else [node]
        return drop_dead(self._graph.with_nodes(nodes, self._values.values())).inferred()


def _fresh(name: str, taken: set[str]) -> str:
    number, found = 2, name
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found
