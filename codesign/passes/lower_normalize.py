"""Lower a layer normalisation between integer codes and a quantizer to exact integers.

The root has 30 bits and more whatever the codes are, the quotient :data:`BITS`: what they round
off is below float32's own rounding.
"""

from __future__ import annotations

from fractions import Fraction

from codesign.ir import Graph, Node, Value
from codesign.ops.normalize import Normalize
from codesign.ops.normalize_codes import NormalizeCodes
from codesign.passes.base import Pass
from codesign.passes.from_codes import quantizers_of, refused, replaced, scaled_codes
from codesign.passes.tabulate import drop_dead

#: Bits of the normalised code.
BITS = 32
#: Bits the root of the least deviation that is not zero has.
ROOT = 30


class LowerNormalize(Pass):
    """``codes -> scale -> Normalize`` -> :class:`NormalizeCodes` where quantizers read it."""

    name = "lower-normalize"

    def call(self, graph: Graph) -> Graph:
        for node in graph.nodes:
            if isinstance(node.op, Normalize) and quantizers_of(graph, node):
                graph = _lower(graph, node)
        return drop_dead(graph)


def _lower(graph: Graph, node: Node) -> Graph:
    assert isinstance(node.op, Normalize)
    origin, scale = scaled_codes(graph, node)
    n = origin.shape[-1]
    if n < 2:
        raise refused(node, "it normalises vectors of one element", "they are all zero: leave out")
    # The least sum of squares above zero: one element differs from the others by one.
    shift = max(0, ROOT - (n * (n - 1)).bit_length() // 2)
    offset = round(Fraction(node.op.epsilon) * n**3 * 4**shift / Fraction(scale) ** 2)
    op = NormalizeCodes(shift, max(1, offset), BITS)
    try:
        shape, format = op.infer(origin)
    except ValueError as error:
        raise refused(node, str(error), "quantize its input to fewer bits") from None
    made = Node(node.name, op, (origin.name,), node.outputs)
    return replaced(graph, node, made, Value(node.output, shape, format))
