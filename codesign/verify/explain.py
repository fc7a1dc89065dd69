"""Explain a difference between PyTorch's sums and exact ones, or call it a mismatch.

Contract 4: sums of products are exact on codes. PyTorch and onnxruntime add float32 products in
an order of their own, so with scales other than powers of two a result may land on the other
side of a decision threshold. Such a difference is explained only if the other code appears
within the float32 summation error bound of the exact sum (Higham, Accuracy and Stability of
Numerical Algorithms, section 4.2); it is counted and reported, never hidden.
"""

from __future__ import annotations

import numpy as np

from codesign.formats import ScaledInt
from codesign.ir import Graph
from codesign.ops.add import Add
from codesign.ops.dense import Dense
from codesign.ops.quant import Quant
from codesign.passes.tabulate import walk_back

UNIT = 2.0**-24  # unit roundoff of float32


class Explainer:
    """Decides, for one tensor of the model-level graph, which other codes are explained.

    The tensor is a quantizer's output, or a float output compared by its float32 bits.
    """

    def __init__(self, graph: Graph, name: str) -> None:
        node = graph.producer(name)
        self._quant = node.op if node is not None and isinstance(node.op, Quant) else None
        start = node.inputs[0] if node is not None and self._quant is not None else name
        found = walk_back(graph, start)
        producer = graph.producer(found[0].name) if found else None
        self.source = ""
        if found is not None and producer is not None and isinstance(producer.op, Dense):
            self.source = producer.inputs[0]
            (self._origin, self._steps), self._dense = found, producer.op
            format = graph.values[self.source].format
            assert isinstance(format, ScaledInt)
            self._input = format

    def explains(self, codes_in: np.ndarray, index: int, theirs: int) -> bool:
        """Whether ``theirs`` at ``index`` lies within float32 summation error.

        ``codes_in``: int64 [K], the layer's input codes, on which both executions agree.
        """
        if not self.source:
            return False
        results = self._reach(codes_in, index)
        value = theirs if self._quant is not None else _from_bits(theirs)
        return min(results) <= value <= max(results)

    def _reach(self, codes_in: np.ndarray, index: int) -> list[float]:
        """Results at the exact sum and at both ends of its error interval."""
        x = codes_in.astype(np.int64) - self._input.zero_point
        weights = self._dense.weights[index]
        format = self._origin.format
        assert isinstance(format, ScaledInt)
        scale = format.scale[index if len(format.scale) > 1 else 0]
        exact = int(weights @ x) * scale
        size = float(np.abs(weights) @ np.abs(x)) * scale + self._bias_size(index)
        error = (len(x) + 8) * UNIT * (size + abs(exact))
        return [self._evaluate(exact + d, index) for d in (-error, 0.0, error)]

    def _bias_size(self, index: int) -> float:
        first = self._steps[0] if self._steps else None
        if not isinstance(first, Add):
            return 0.0
        return abs(float(first.value[index if len(first.value) > 1 else 0]))

    def _evaluate(self, value: float, index: int) -> float:
        """Result of channel ``index`` when its sum is ``value``."""
        x = np.full((1, self._origin.shape[-1]), value, dtype=np.float32)
        for step in self._steps:
            x = step.evaluate(x)
        result = x if self._quant is None else self._quant.evaluate(x)
        return float(np.broadcast_to(result, (1, self._origin.shape[-1]))[0, index])


def _from_bits(bits: int) -> float:
    return float(np.int32(bits).view(np.float32))
