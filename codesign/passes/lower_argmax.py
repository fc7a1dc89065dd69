"""Lower argmax and top-k onto codes, where the float chain before them keeps every order."""

from __future__ import annotations

import numpy as np

from codesign.formats import Real, ScaledInt
from codesign.ir import Graph, Node, Value
from codesign.ops.argmax import ArgMax
from codesign.ops.chain import chain_to
from codesign.ops.mul import Mul
from codesign.ops.requant_build import assemble
from codesign.ops.requant_forms import ROM_WORDS
from codesign.ops.topk import TopK
from codesign.passes.base import Pass
from codesign.passes.tabulate import CHUNK, ENUMERATE, drop_dead, table_rows


class LowerArgMax(Pass):
    """``codes -> float chain -> ArgMax`` becomes ``codes -> ArgMax``; TopK likewise.

    If the chain is the same strictly rising function on every element, which is checked on every
    code that can occur, the codes themselves are compared. Otherwise (a bias, batch norm or scale
    of each channel) a code is replaced by the rank of its float32 value among those of all codes
    and channels: equal values have equal ranks, so ties go as in the model. Where there are too
    many codes for that the argmax stays on the host, exact as before; one that reads codes whose
    order is not the values' reads the values instead.
    """

    name = "lower-argmax"

    def call(self, graph: Graph) -> Graph:
        nodes: list[Node] = []
        values: list[Value] = []
        for node in graph.nodes:
            if not isinstance(node.op, ArgMax | TopK):
                nodes.append(node)
                continue
            origin = _origin(graph, node)
            (source,) = graph.ins(node)
            ranked = _ranked(graph, node) if origin is None else None
            if ranked is not None:
                nodes.append(ranked)
                format = ranked.op.out_format  # type: ignore[attr-defined]
                values.append(Value(ranked.output, source.shape, format))
                origin = ranked.output
            if origin is None and not isinstance(source.format, Real):
                decoded = Value(f"{source.name}_{node.name}_value", source.shape, Real())
                values.append(decoded)
                one = Mul(np.ones(1, dtype=np.float32))  # exact: only decodes
                nodes.append(Node(f"{node.name}_value", one, (source.name,), (decoded.name,)))
                origin = decoded.name
            inputs = node.inputs if origin is None else (origin,)
            nodes.append(Node(node.name, node.op, inputs, node.outputs))
        return drop_dead(graph.with_nodes(nodes, values))


def _ranked(graph: Graph, node: Node) -> Node | None:
    """What makes ranks of the codes behind the float values that ``node`` compares; None where
    there are too many, or values that are no numbers."""
    chain = chain_to(graph, node.inputs[0])
    if chain is None or not isinstance(chain.origin.format, ScaledInt):
        return None
    lo, hi = chain.origin.format.lo, chain.origin.format.hi
    index, inverse = chain.classes()
    if hi - lo >= ROM_WORDS or (hi - lo + 1) * len(index) > CHUNK:
        return None
    codes = np.arange(lo, hi + 1)[:, None].repeat(len(index), axis=1)
    values = chain.pick(index).evaluate(codes).T
    if np.isnan(values).any():
        return None
    levels, ranks = np.unique(values, return_inverse=True)
    if len(levels) > 1 << 24:  # which the operation compares as float32
        return None
    rows = list(table_rows(ranks.reshape(values.shape), lo))
    op = assemble(rows, lo, hi, ScaledInt(0, len(levels) - 1)).spread(inverse)
    name = f"{node.name}_rank"
    return Node(name, op, (chain.origin.name,), (f"{name}_out",))


def _origin(graph: Graph, node: Node) -> str | None:
    """The integer value whose codes are in the order of the float values, or None."""
    chain = chain_to(graph, node.inputs[0])
    if chain is None or not isinstance(chain.origin.format, ScaledInt):
        return None
    lo, hi = chain.origin.format.lo, chain.origin.format.hi
    index, _ = chain.classes()
    if len(index) > 1 or hi - lo >= ENUMERATE:
        return None
    chain = chain.pick(index)
    for start in range(lo, hi, CHUNK):  # pieces that share their ends
        codes = np.arange(start, min(start + CHUNK, hi) + 1)
        if not (np.diff(chain.evaluate(codes[:, None])[:, 0]) > 0).all():
            return None
    return chain.origin.name
