"""Tabulate: chain between integer codes and a quantizer -> one exact integer function.

Contract 3: the chain itself is evaluated, op by op in float32, on every code that can occur, or
by bisection where every operation of it is monotone. Nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from codesign.errors import UnsupportedModel, UsageError
from codesign.formats import Real
from codesign.ir import Elementwise, Graph, Node, Value
from codesign.ops.chain import Chain, chain_to
from codesign.ops.on_grid import OnGrid
from codesign.ops.quantizer import Quantizer
from codesign.ops.requant import Requant
from codesign.ops.requant_build import Row, assemble
from codesign.passes.base import Pass

#: Evaluations (codes times distinct channels) a chain may take; some hundred million a second
#: for additions, some ten million for transcendental functions.
ENUMERATE = 1 << 28
#: Evaluations held in memory at once.
CHUNK = 1 << 22


class Tabulate(Pass):
    """Replace each elementwise chain from codes to a quantizer by one :class:`Requant`."""

    name = "tabulate"

    def call(self, graph: Graph) -> Graph:
        nodes, values = [], []
        for node in graph.nodes:
            chain = find_chain(graph, node) if isinstance(node.op, Quantizer) else None
            if chain is None:
                nodes.append(node)
                continue
            op = tabulate(chain, node.name)
            nodes.append(Node(node.name, op, (chain.origin.name,), node.outputs))
            values.append(replace(graph.out(node), format=op.out_format))
        return drop_dead(graph.with_nodes(nodes, values))

    def ensures(self, graph: Graph) -> None:
        for node in graph.nodes:
            if isinstance(node.op, Quantizer) and not isinstance(graph.ins(node)[0].format, Real):
                raise ValueError(f"quantizer '{node.name}' still reads codes")


def find_chain(graph: Graph, node: Node) -> Chain | None:
    """The chain that ends at the quantizer ``node``; None where it starts at a float input or
    at several integer values."""
    assert isinstance(node.op, Quantizer)
    return chain_to(graph, node.inputs[0], node.op)


def walk_back(graph: Graph, name: str) -> tuple[Value, tuple[Elementwise, ...]] | None:
    """The integer value that float ``name`` is computed from by steps in a row, and the steps."""
    chain = chain_to(graph, name)
    if chain is None:
        return None
    steps = [s.op for s in chain.steps if isinstance(s.op, Elementwise)]
    in_a_row = all(s.inputs == (i,) for i, s in enumerate(chain.steps))
    return (chain.origin, tuple(steps)) if in_a_row and len(steps) == len(chain.steps) else None


def tabulate(chain: Chain, name: str) -> Requant:
    """The exact function of ``chain`` over the whole range of its origin."""
    assert chain.quant is not None
    index, inverse = chain.classes()
    few = chain.pick(index)
    try:
        rows = _rows(few, name)
    except UsageError as error:
        raise UnsupportedModel(
            f"the chain before it is not a number for some accumulator value ({error.what})",
            where=f"quantizer '{name}'",
            hint="a root, logarithm or quotient leaves its domain: clip the value first",
        ) from None
    lo, hi = chain.origin.format.lo, chain.origin.format.hi
    levels, format = chain.quant.levels, chain.quant.out_format
    if isinstance(chain.quant, OnGrid):  # its format is what float32 holds: keep what occurs
        ends = [int(f(row.codes)) for row in rows for f in (np.min, np.max)]
        format = replace(format, low=min(ends), high=max(ends))  # type: ignore[type-var]
    op = assemble(rows, lo, hi, format, levels, where=f"quantizer '{name}'")
    return op.spread(inverse)


def _rows(chain: Chain, name: str) -> list[Row]:
    """Each channel's function, by whichever of bisection and enumeration is less work."""
    (channels,) = chain.origin.shape
    lo, hi = chain.origin.format.lo, chain.origin.format.hi
    everything = (hi - lo + 1) * channels
    direction = np.broadcast_to(chain.direction(), (channels,))
    if direction.all() and everything > bisection_work(chain, lo, hi):
        return bisect(chain, direction, lo, hi)
    if everything > ENUMERATE:
        raise UnsupportedModel(
            f"a chain over {hi - lo + 1} accumulator values x {channels} channels "
            "is too large to tabulate: it is not monotone",
            where=f"quantizer '{name}'",
            hint="use fewer weight or activation bits, or a monotone activation",
        )
    return list(enumerate_rows(chain, lo, hi))


def bisection_work(chain: Chain, lo: int, hi: int) -> int:
    """Evaluations :func:`bisect` takes."""
    assert chain.quant is not None
    ends = _ends(chain, lo, hi)
    levels = int(np.abs(_place(chain.quant)(ends[1]) - _place(chain.quant)(ends[0])).sum())
    return levels * max(1, int(hi - lo).bit_length()) + 2 * ends.shape[1]


def _ends(chain: Chain, lo: int, hi: int) -> np.ndarray:
    codes = np.array([[lo], [hi]], dtype=np.int64).repeat(chain.origin.shape[0], axis=1)
    return chain.evaluate(codes)


def enumerate_rows(chain: Chain, lo: int, hi: int) -> Iterator[Row]:
    """Every code of every channel."""
    (channels,) = chain.origin.shape
    step = max(1, CHUNK // (hi - lo + 1))
    for start in range(0, channels, step):
        part = np.arange(start, min(start + step, channels))
        yield from table_rows(_in_pieces(chain.pick(part) if channels > 1 else chain, lo, hi), lo)


def _in_pieces(chain: Chain, lo: int, hi: int) -> np.ndarray:
    """Codes int64 [C, hi - lo + 1]."""
    (channels,) = chain.origin.shape
    size = max(1, CHUNK // channels)
    parts = []
    for start in range(lo, hi + 1, size):
        codes = np.arange(start, min(start + size, hi + 1), dtype=np.int64)
        parts.append(chain.evaluate(np.repeat(codes[:, None], channels, axis=1)).T)
    return np.concatenate(parts, axis=1)


def table_rows(table: np.ndarray, lo: int) -> Iterator[Row]:
    """Rows of a table of codes, int64 [C, n], whose first column is input ``lo``."""
    for codes in table:
        at = np.flatnonzero(codes[1:] != codes[:-1])
        yield Row(at + lo + 1, codes[np.concatenate([[0], at + 1])])


def from_table(table: np.ndarray, lo: int, hi: int, quant: Quantizer) -> Requant:
    """A Requant from the code of every input, int64 [C, hi - lo + 1]."""
    return assemble(list(table_rows(table, lo)), lo, hi, quant.out_format, quant.levels)


def bisect(chain: Chain, direction: np.ndarray, lo: int, hi: int) -> list[Row]:
    """Rows of a monotone chain by bisection on all channels and places at once."""
    assert chain.quant is not None
    place = _place(chain.quant)
    ends = _ends(chain, lo, hi)
    base, count = place(ends[0]), (place(ends[1]) - place(ends[0])) * direction
    if (count < 0).any():
        raise ValueError("a chain runs against its own direction")
    channels = len(base)
    owner = np.repeat(np.arange(channels), count)  # one entry per channel and place
    wanted = np.concatenate([np.arange(1, n + 1) for n in count]) if len(owner) else owner
    above = _search(chain, place, owner, wanted, (base, direction), lo, hi)
    starts = np.concatenate([[0], np.cumsum(count)])
    rows = []
    for c in range(channels):
        mine = above[starts[c] : starts[c + 1]]
        breaks, last = np.unique(mine[::-1], return_index=True)
        reached = base[c] + direction[c] * (len(mine) - last)
        codes = np.concatenate([[base[c]], reached])
        rows.append(Row(breaks, codes if chain.quant.levels is None else chain.quant.levels[codes]))
    return rows


def _search(
    chain: Chain,
    place: Callable[[np.ndarray], np.ndarray],
    owner: np.ndarray,
    wanted: np.ndarray,
    line: tuple[np.ndarray, np.ndarray],
    lo: int,
    hi: int,
) -> np.ndarray:
    """Least input at which channel ``owner[i]`` is ``wanted[i]`` places beyond its base."""
    found = []
    base, direction = line
    for start in range(0, len(owner), CHUNK):
        part = slice(start, start + CHUNK)
        who, goal = owner[part], wanted[part]
        picked = chain.pick(who) if len(base) > 1 else chain
        below, above = np.full(len(who), lo), np.full(len(who), hi)
        while (above - below > 1).any():
            middle = (below + above) // 2
            codes = middle[None, :] if len(base) > 1 else middle[:, None]
            got = place(picked.evaluate(codes).reshape(-1))
            reached = (got - base[who]) * direction[who] >= goal
            above, below = np.where(reached, middle, above), np.where(reached, below, middle)
        found.append(above)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _place(quant: Quantizer) -> Callable[[np.ndarray], np.ndarray]:
    """From code to the number of the code among the quantizer's levels (itself if regular)."""
    levels = quant.levels
    if levels is None:
        return lambda codes: codes
    return lambda codes: np.searchsorted(levels, codes)


def drop_dead(graph: Graph) -> Graph:
    """Without the nodes that no graph output depends on."""
    writers = {name: node for node in graph.nodes for name in node.outputs}
    kept: set[int] = set()
    todo = list(graph.outputs)  # not in graph order: a delay reads what is written after it
    while todo:
        node = writers.get(todo.pop())
        if node is not None and id(node) not in kept:
            kept.add(id(node))
            todo += node.inputs
    return graph.with_nodes(node for node in graph.nodes if id(node) in kept)
