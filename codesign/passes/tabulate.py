"""Tabulate: chain between integer codes and a quantizer -> one exact integer function.

Contract 3: the chain itself is evaluated, op by op in float32, on every code that can occur, or
by bisection where every operation of it is monotone. Nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Real
from codesign.ir import Elementwise, Graph, Node, Value
from codesign.ops.quant import Quant
from codesign.ops.requant import Requant
from codesign.passes.base import Pass

#: Codes times channels that are simply enumerated.
ENUMERATE = 1 << 22


class Tabulate(Pass):
    """Replace each elementwise chain from codes to a ``Quant`` by one :class:`Requant`."""

    name = "tabulate"

    def call(self, graph: Graph) -> Graph:
        nodes = []
        for node in graph.nodes:
            chain = find_chain(graph, node) if isinstance(node.op, Quant) else None
            if chain is None:
                nodes.append(node)
                continue
            op = tabulate(chain, node.name)
            nodes.append(Node(node.name, op, (chain.origin.name,), node.outputs))
        return drop_dead(graph.with_nodes(nodes))

    def ensures(self, graph: Graph) -> None:
        for node in graph.nodes:
            if isinstance(node.op, Quant) and not isinstance(graph.ins(node)[0].format, Real):
                raise ValueError(f"quantizer '{node.name}' still reads codes")


@dataclass(frozen=True)
class Chain:
    """An integer value and what happens to it until its quantizer."""

    origin: Value
    steps: tuple[Elementwise, ...]
    quant: Quant

    def evaluate(self, codes: np.ndarray) -> np.ndarray:
        """int64 [n, C] accumulator codes -> int64 [n, C] quantizer codes."""
        return self.evaluate_real(self.origin.format.decode(codes))

    def evaluate_real(self, x: np.ndarray) -> np.ndarray:
        """The same from float32 accumulator values, [n, C]."""
        for step in self.steps:
            x = step.evaluate(x)
        return self.quant.evaluate(x)

    def direction(self) -> np.ndarray:
        """Per channel +1, -1 or 0 (unknown); int64 [C]."""
        total = np.ones(self.origin.shape[-1], dtype=np.int64)
        for step in self.steps:
            total = total * step.direction()
        return total * self.quant.direction()


def find_chain(graph: Graph, node: Node) -> Chain | None:
    """The chain that ends in quantizer ``node``; None when it starts at a float input."""
    assert isinstance(node.op, Quant)
    found = walk_back(graph, node.inputs[0])
    return None if found is None else Chain(*found, node.op)


def walk_back(graph: Graph, name: str) -> tuple[Value, tuple[Elementwise, ...]] | None:
    """The integer value that float ``name`` is computed from, element by element, and how."""
    steps: list[Elementwise] = []
    while isinstance(graph.values[name].format, Real):
        producer = graph.producer(name)
        if producer is None or not isinstance(producer.op, Elementwise):
            return None
        steps.insert(0, producer.op)
        name = producer.inputs[0]
    return graph.values[name], tuple(steps)


def tabulate(chain: Chain, name: str) -> Requant:
    """The exact function of ``chain`` over the whole range of its origin."""
    channels = chain.origin.shape[-1]
    lo, hi = chain.origin.format.lo, chain.origin.format.hi
    if (hi - lo + 1) * channels <= ENUMERATE:
        xs = np.repeat(np.arange(lo, hi + 1, dtype=np.int64)[:, None], channels, axis=1)
        return from_table(chain.evaluate(xs).T, lo, hi, chain.quant)
    if not chain.direction().all():
        raise UnsupportedModel(
            f"a non-monotone chain over {hi - lo + 1} accumulator values x {channels} channels "
            "is too large to tabulate",
            where=f"quantizer '{name}'",
            hint="use fewer weight or activation bits, or a monotone activation",
        )
    return bisect(chain.evaluate, chain.direction(), lo, hi, channels, chain.quant)


def from_table(table: np.ndarray, lo: int, hi: int, quant: Quant) -> Requant:
    """A Requant from the code of every input, int64 [C, hi - lo + 1]."""
    if (table == table[:1]).all():
        table = table[:1]
    delta = np.diff(table, axis=1)
    rising, falling = (delta >= 0).all(1), (delta <= 0).all(1)
    if not (rising | falling).all():
        none = np.zeros(0, dtype=np.int64)
        return Requant(lo, hi, none, none, none.reshape(0, 0), table, quant.out_format)
    step = np.where(rising, 1, -1).astype(np.int64)
    rows = [np.repeat(np.arange(lo + 1, hi + 1), np.abs(d)) for d in delta]
    return _steps(table[:, 0], step, rows, lo, hi, quant)


def bisect(
    f: Callable[[np.ndarray], np.ndarray],
    direction: np.ndarray,
    lo: int,
    hi: int,
    channels: int,
    quant: Quant,
) -> Requant:
    """Thresholds of monotone ``f`` by bisection on all channels and levels at once."""
    ends = f(np.array([[lo], [hi]], dtype=np.int64).repeat(channels, axis=1))
    base, count = ends[0], (ends[1] - ends[0]) * direction
    if (count < 0).any():
        raise ValueError("a chain runs against its own direction")
    levels = int(count.max(initial=0))
    wanted = np.arange(1, levels + 1)[:, None]  # [levels, 1]
    below = np.full((levels, channels), lo, dtype=np.int64)  # f(below) is short of the level
    above = np.full((levels, channels), hi, dtype=np.int64)  # f(above) reaches it
    while (above - below > 1).any():
        middle = (below + above) // 2
        reached = (f(middle) - base) * direction >= wanted
        above, below = np.where(reached, middle, above), np.where(reached, below, middle)
    rows = [above[: count[c], c] for c in range(channels)]
    return _steps(base, np.where(direction > 0, 1, -1), rows, lo, hi, quant)


def _steps(
    base: np.ndarray, step: np.ndarray, rows: list[np.ndarray], lo: int, hi: int, quant: Quant
) -> Requant:
    levels = max((len(r) for r in rows), default=0)
    thresholds = np.full((len(rows), levels), hi + 1, dtype=np.int64)
    for row, reached in zip(thresholds, rows, strict=True):
        row[: len(reached)] = reached
    base, step = base.astype(np.int64), step.astype(np.int64)
    if len(rows) > 1 and all((a == a[:1]).all() for a in (base, step, thresholds)):
        base, step, thresholds = base[:1], step[:1], thresholds[:1]
    table = np.zeros((0, 0), dtype=np.int64)
    return Requant(lo, hi, base, step, thresholds, table, quant.out_format)


def drop_dead(graph: Graph) -> Graph:
    """Without the nodes that no graph output depends on."""
    needed, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            kept.append(node)
            needed |= set(node.inputs)
    return graph.with_nodes(reversed(kept))
