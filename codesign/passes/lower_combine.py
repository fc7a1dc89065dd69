"""Lower a combination of two integer values before a quantizer to exact integer arithmetic.

``quantizer(chain(a, b))`` is, for each set of constants, a function of two codes. It is evaluated
on all pairs of codes, op by op in float32 (contract 3), and then an integer ``v = l*a + r*b`` (or
a product) is searched of which it is a function: a :class:`Join` gives ``v``, and a
:class:`Requant` the code. Where there is none, a table of both codes serves.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from codesign.errors import UnsupportedModel, UsageError
from codesign.formats import Real
from codesign.ir import Graph, Node, Value
from codesign.ops.combine import DIFFERENCES, Combine, exact_join
from codesign.ops.join import Join
from codesign.ops.pair_chain import PairChain, origins_of, pair_chain_to
from codesign.ops.quantizer import Quantizer
from codesign.ops.requant import Requant
from codesign.ops.requant_build import TABLE_WORDS, Row, assemble
from codesign.ops.table_join import TableJoin
from codesign.passes.base import Pass
from codesign.passes.join_wide import join_wide
from codesign.passes.tabulate import drop_dead, find_chain, table_rows

#: Pairs of codes of one class of channels that are enumerated, and of all classes together.
PAIRS, ALL_PAIRS = 1 << 22, 1 << 26
#: Bits the joined integer may have.
JOIN_BITS = 24
#: Entries of a table of two codes, per class of channels.
TABLE_PAIRS = 1 << 16


class LowerCombine(Pass):
    """``Combine`` -> :class:`Join` where float32 is exact; else together with its quantizer."""

    name = "lower-combine"

    def call(self, graph: Graph) -> Graph:
        graph = _exact(graph)
        for node in graph.nodes:
            if not isinstance(node.op, Quantizer) or find_chain(graph, node) is not None:
                continue
            origins = origins_of(graph, node.inputs[0])
            if origins is None:
                continue
            if len(origins) > 2:
                raise UnsupportedModel(
                    f"{len(origins)} integer values ({', '.join(origins[:4])}) meet in float "
                    "before it",
                    where=f"quantizer '{node.name}'",
                    hint="quantize after each combination of two values",
                )
            graph = _lower(graph, node)
        return drop_dead(graph)


def _exact(graph: Graph) -> Graph:
    """Combinations whose result are codes already: the integer operation itself."""
    nodes = []
    for node in graph.nodes:
        if isinstance(node.op, Combine) and not isinstance(graph.out(node).format, Real):
            a, b = (value.format for value in graph.ins(node))
            join = exact_join(node.op.function, a, b)
            assert join is not None
            node = Node(node.name, join, node.inputs, node.outputs)
        nodes.append(node)
    return graph.with_nodes(nodes)


def _lower(graph: Graph, node: Node) -> Graph:
    quant = node.op
    assert isinstance(quant, Quantizer)
    chain = pair_chain_to(graph, node.inputs[0], quant)
    assert chain is not None
    met = next(n for n, s in zip(chain.names, chain.steps, strict=True) if _meets(chain, s))
    inputs = (chain.left.name, chain.right.name)
    op = join_or_table(chain, f"quantizer '{node.name}'")
    if isinstance(op, TableJoin):
        return _replaced(graph, node, [Node(node.name, op, inputs, node.outputs)], [])
    join, requant = op
    shape, format = join.infer(chain.left, chain.right)
    middle = Value(f"{node.output}_join", shape, format)
    nodes = [
        Node(_free(graph, met, node), join, inputs, (middle.name,)),
        Node(node.name, requant, (middle.name,), node.outputs),
    ]
    return _replaced(graph, node, nodes, [middle])


def _free(graph: Graph, name: str, reader: Node) -> str:
    """``name`` if that node is read by nobody else, so that it disappears."""
    node = next(n for n in graph.nodes if n.name == name)
    todo, seen = [node.output], set()
    while todo:
        value = todo.pop()
        if value in graph.outputs:
            return f"{name}_{reader.name}"
        for after in graph.consumers(value):
            if after.name != reader.name and after.name not in seen:
                if isinstance(after.op, Quantizer):
                    return f"{name}_{reader.name}"
                seen.add(after.name)
                todo.append(after.output)
    return name


def _replaced(graph: Graph, node: Node, nodes: list[Node], values: list[Value]) -> Graph:
    out: list[Node] = []
    for other in graph.nodes:
        out += nodes if other.name == node.name else [other]
    return drop_dead(graph.with_nodes(out, values))


def join_or_table(chain: PairChain, where: str) -> tuple[Join, Requant] | TableJoin:
    """The cheapest exact integer form of ``chain``; ``UnsupportedModel`` when there is none."""
    index, inverse = chain.classes()
    few = [chain.pick(int(element)) for element in index]
    sizes = [v.format.hi - v.format.lo + 1 for v in (chain.left, chain.right)]
    if sizes[0] * sizes[1] > PAIRS or sizes[0] * sizes[1] * len(few) > ALL_PAIRS:
        return _wide(chain, few, inverse, where)
    a, b = (np.arange(v.format.lo, v.format.hi + 1) for v in (chain.left, chain.right))
    a, b = a[:, None, None], b[None, :, None]
    try:
        codes = [part.evaluate(a, b).astype(np.int32) for part in few]
    except UsageError as error:
        raise UnsupportedModel(
            f"what it reads is not a number for some pair of codes ({error.what})",
            where=where,
            hint="a quotient, root or logarithm leaves its domain: clip the values first",
        ) from None
    ideal = [_changes(part, a, b, c) for part, c in zip(few, codes, strict=True)]
    best: tuple[Join, list[Row]] | None = None
    for join in candidates(few[0]):
        rows = _rows(join, a, b, codes)
        if rows is None:
            continue
        low, high = join.range(chain.left.format, chain.right.format)
        if all(len(r.breaks) <= limit for r, limit in zip(rows, ideal, strict=True)):
            best = join, rows
            break
        # A table over the joined integer, if that has fewer entries than one of both codes.
        if best is None and high - low < min(TABLE_WORDS, a.size * b.size):
            best = join, rows
    if best is not None:
        join, rows = best
        low, high = join.range(chain.left.format, chain.right.format)
        quant = chain.quant
        made = assemble(rows, low, high, quant.out_format, quant.levels, where=where)
        return join, made.spread(inverse)
    return _table(chain, codes, inverse, a.size * b.size, where)


def _wide(
    chain: PairChain, few: list[PairChain], inverse: np.ndarray, where: str
) -> tuple[Join, Requant]:
    """Too many pairs to look at each: :func:`join_wide`, or the error."""
    slopes, _ = _lines(few[0])
    found = join_wide(few, multipliers(*slopes))
    if found is None:
        sizes = [v.format.hi - v.format.lo + 1 for v in (chain.left, chain.right)]
        raise UnsupportedModel(
            f"it combines {sizes[0]} codes of '{chain.left.name}' with {sizes[1]} of "
            f"'{chain.right.name}' in {len(few)} kinds of channels: too many pairs to prove exact",
            where=where,
            hint="quantize both inputs of the operation first (in Brevitas, one shared "
            "QuantIdentity), or use power-of-two scales",
        )
    join, rows = found
    low, high = join.range(chain.left.format, chain.right.format)
    made = assemble(rows, low, high, chain.quant.out_format, where=where)
    return join, made.spread(inverse)


def _changes(part: PairChain, a: np.ndarray, b: np.ndarray, codes: np.ndarray) -> int:
    """How often the code changes as the value where the two meet rises."""
    met = next(i for i, step in enumerate(part.steps) if _meets(part, step))
    value = np.broadcast_to(part.values(a, b)[met + 2], codes.shape).reshape(-1)
    ordered = codes.reshape(-1)[np.argsort(value, kind="stable")]
    return int((ordered[1:] != ordered[:-1]).sum())


def _rows(join: Join, a: np.ndarray, b: np.ndarray, codes: list[np.ndarray]) -> list[Row] | None:
    """Each class as a function of the joined integer, or None where it is no such function.

    Integers that no pair gives take the code of the one below, so that no step is added.
    """
    joined = join.evaluate(a, b)
    low = int(joined.min())
    place = (joined - low).reshape(-1)
    rows = []
    for code in (c.reshape(-1) for c in codes):
        table = np.full(int(place.max()) + 1, np.iinfo(np.int32).min, dtype=np.int32)
        table[place] = code
        if (table[place] != code).any():
            return None
        known = np.where(table > np.iinfo(np.int32).min, np.arange(len(table)), 0)
        full = table[np.maximum.accumulate(known)].astype(np.int64)
        (row,) = table_rows(full[None], low)
        rows.append(row)
    return rows


def candidates(part: PairChain) -> Iterator[Join]:
    """Joins worth trying for the single channel ``part``, narrowest result first."""
    met = next(step for step in part.steps if _meets(part, step))
    slopes, _ = _lines(part)
    found: dict[tuple, tuple[int, Join]] = {}

    def add(join: Join) -> None:
        low, high = join.range(part.left.format, part.right.format)
        if (high - low).bit_length() <= JOIN_BITS:
            found[join.function, join.left, join.right] = high - low, join

    if getattr(met.op, "function", "") == "mul":
        for zeros in _zeros(part):
            add(Join("product", *zeros))
    for left, right in multipliers(*slopes):
        add(Join("sum", left, right))
    if part.left.format == part.right.format:
        add(Join("min"))
        add(Join("max"))
    for _, join in sorted(found.values(), key=lambda entry: entry[0]):
        yield join


def multipliers(left: float, right: float) -> list[tuple[int, int]]:
    """Small integers in about the ratio ``left : right``, then better and better ones."""
    if not (np.isfinite(left) and np.isfinite(right) and left and right):
        return [(1, 1), (1, -1)]
    ratio = Fraction(abs(left) / abs(right))
    if not 1 / (1 << JOIN_BITS) < ratio < 1 << JOIN_BITS:
        return []
    found = set()
    for bits in range(JOIN_BITS):
        near = ratio.limit_denominator(1 << bits)
        power = 1 << bits
        found |= {
            (near.numerator, near.denominator),
            (round(ratio * power), power),
            (power, round(power / ratio)),
        }
        flipped = (1 / ratio).limit_denominator(power)
        found.add((flipped.denominator, flipped.numerator))
    signs = (1 if left > 0 else -1), (1 if right > 0 else -1)
    return [(signs[0] * p, signs[1] * q) for p, q in found if p and q]


def _lines(part: PairChain) -> tuple[list[float], list[float]]:
    """Slope and value at code zero of what either code brings to where the two meet, as if that
    were linear."""
    spans = [np.array([v.format.lo, v.format.hi])[:, None] for v in (part.left, part.right)]
    values = part.values(*spans)
    step = next(s for s in part.steps if _meets(part, s))
    slopes, offsets = [0.0, 0.0], [0.0, 0.0]
    for place, number in enumerate(step.inputs):
        (side,) = _owners(part, number)
        sign = -1.0 if place == 1 and getattr(step.op, "function", "") in DIFFERENCES else 1.0
        low, high = (int(code) for code in spans[side][:, 0])
        start, end = values[number].astype(np.float64).reshape(-1)[[0, -1]]
        slopes[side] = sign * float(end - start) / max(1, high - low)
        offsets[side] = sign * float(start) - slopes[side] * low
    return slopes, offsets


def _zeros(part: PairChain) -> list[tuple[int, int]]:
    """Codes that stand for zero where the two meet: by extrapolation, and as the formats say."""
    guess = [-round(offset / slope) if slope and np.isfinite(offset / slope) else 0
             for slope, offset in zip(*_lines(part), strict=True)]  # fmt: skip
    formats = [int(getattr(v.format, "zero_point", 0)) for v in (part.left, part.right)]
    return [(guess[0], guess[1]), (formats[0], formats[1])]


def _owners(part: PairChain, number: int) -> set[int]:
    """Which origins value ``number`` depends on."""
    if number < 2:
        return {number}
    return set().union(*(_owners(part, n) for n in part.steps[number - 2].inputs))


def _meets(part: PairChain, step: object) -> bool:
    """Whether the two origins first meet in ``step``."""
    assert hasattr(step, "inputs")
    owners = [_owners(part, n) for n in step.inputs]
    return len(set().union(*owners)) == 2 and all(len(o) == 1 for o in owners)


def _table(
    chain: PairChain, codes: list[np.ndarray], inverse: np.ndarray, pairs: int, where: str
) -> TableJoin:
    if pairs > TABLE_PAIRS or len(inverse) not in (1, chain.left.shape[-1]):
        raise UnsupportedModel(
            f"no integers l, r of {JOIN_BITS} bits make it a function of l*'{chain.left.name}' + "
            f"r*'{chain.right.name}', and a table of {pairs} pairs of codes is too large",
            where=where,
            hint="quantize both inputs of the operation first (in Brevitas, one shared "
            "QuantIdentity), or use power-of-two scales",
        )
    table = np.stack([c[..., 0] for c in codes]).astype(np.int64)
    return TableJoin(table[inverse] if len(table) > 1 else table, chain.quant.out_format)
