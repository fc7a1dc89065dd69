"""Lower a softmax between integer codes and a quantizer to exact integers.

Table and division are as precise as the quantizers behind demand: their error at the least value
any of them tells from zero is below a quarter of float32's own rounding there.
"""

from __future__ import annotations

import math

import numpy as np

from codesign.formats import ScaledInt
from codesign.ir import Graph, Node, Value
from codesign.ops.chain import Chain, chain_to
from codesign.ops.quantizer import Quantizer
from codesign.ops.softmax import Softmax
from codesign.ops.softmax_codes import SoftmaxCodes
from codesign.passes.base import Pass
from codesign.passes.from_codes import quantizers_of, refused, replaced, scaled_codes
from codesign.passes.tabulate import drop_dead

#: Bits kept beyond the least value a quantizer tells from zero: float32's 24 and three more.
MARGIN = 27
#: The least value a quantizer may tell from zero is 2^-LEAST.
LEAST = 16
#: Words of one table of exponentials, and of the two that are multiplied where it has more.
WORDS, PRODUCTS = 1 << 14, 1 << 20
#: A product of two tables is cut, where one table is rounded: a bit more.
CUT = 1


class LowerSoftmax(Pass):
    """``codes -> scale -> Softmax`` -> :class:`SoftmaxCodes` where quantizers read it."""

    name = "lower-softmax"

    def call(self, graph: Graph) -> Graph:
        for node in graph.nodes:
            if isinstance(node.op, Softmax):
                quantizers = quantizers_of(graph, node)
                if quantizers:
                    graph = _lower(graph, node, quantizers)
        return drop_dead(graph)


def _lower(graph: Graph, node: Node, quantizers: list[Node]) -> Graph:
    assert isinstance(node.op, Softmax)
    (x,) = graph.ins(node)
    if node.op.log or node.op.axis != len(x.shape) - 1:
        raise refused(node, "inside a network it works on the last axis, without logarithm",
                       "use Softmax, not LogSoftmax")  # fmt: skip
    origin, scale = scaled_codes(graph, node)
    op = softmax_of(scale, origin.format.hi - origin.format.lo, _least(graph, node, quantizers))
    if op is None:
        raise refused(node, f"its scores take more than {PRODUCTS} values that matter",
                       "quantize the scores (Brevitas QuantIdentity) before it")  # fmt: skip
    shape, format = op.infer(origin)
    made = Node(node.name, op, (origin.name,), node.outputs)
    return replaced(graph, node, made, Value(node.output, shape, format))


def _least(graph: Graph, node: Node, quantizers: list[Node]) -> int:
    """The least ``j`` such that no quantizer tells 2^-j from zero."""
    least = 0
    for reader in quantizers:
        chain = _from(graph, node, reader)
        if chain is None:
            raise refused(node, f"quantizer '{reader.name}' reads more than functions of it",
                           "quantize right behind it")  # fmt: skip
        last = node.output
        shape = (1, *graph.values[last].shape)
        zero = chain.evaluate_real(np.zeros(shape, dtype=np.float32))
        while (chain.evaluate_real(np.full(shape, 2.0**-least, dtype=np.float32)) != zero).any():
            least += 1
            if least > LEAST:
                raise refused(node, f"quantizer '{reader.name}' tells values below 2^-{LEAST} "
                               "from zero", "use a larger scale")  # fmt: skip
    return least


def _from(graph: Graph, node: Node, reader: Node) -> Chain | None:
    """The element-wise functions from the softmax to quantizer ``reader``."""
    value = graph.values[node.output]
    codes = Value(value.name, value.shape, ScaledInt(0, 1, (1.0,)))
    assert isinstance(reader.op, Quantizer)
    return chain_to(graph.with_nodes(graph.nodes, [codes]), reader.inputs[0], reader.op)


def softmax_of(scale: float, span: int, least: int) -> SoftmaxCodes | None:
    """The softmax of codes of this ``scale`` that lie up to ``span`` apart, where the least value
    told from zero is ``2^-least``; None where too many distances matter."""
    bits = MARGIN + least
    table = exponentials(scale, span, bits)
    if len(table) <= WORDS:
        return SoftmaxCodes(table, bits)
    bits += CUT
    count = len(exponentials(scale, span, bits))
    if count > PRODUCTS:
        return None
    below = round(math.log2(count) / 2)
    coarse = exponentials(scale * 2.0**below, count >> below, bits + 2)
    fine = exponentials(scale, (1 << below) - 1, bits + 2)
    return SoftmaxCodes(coarse, bits, fine, bits + 4)


def exponentials(scale: float, span: int, bits: int) -> np.ndarray:
    """``round(2^bits * exp(-scale * d))`` for d = 0.. until it is zero or ``span`` is reached."""
    reach = math.ceil((bits + 1) * math.log(2) / scale) if scale * span > 1e-9 else span
    distance = np.arange(min(span, max(reach, 1)) + 1, dtype=np.float64)
    return np.rint(np.exp(-scale * distance) * 2.0**bits).astype(np.int64)
