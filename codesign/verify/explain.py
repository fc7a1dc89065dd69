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
from codesign.ir import Graph, Node
from codesign.ops.add import Add
from codesign.ops.dense import Dense
from codesign.ops.quant import Quant
from codesign.passes.tabulate import Chain, find_chain

UNIT = 2.0**-24  # unit roundoff of float32


class Explainer:
    """Decides, for one quantizer of the model-level graph, which other codes are explained."""

    def __init__(self, graph: Graph, quantizer: Node) -> None:
        assert isinstance(quantizer.op, Quant)
        chain = find_chain(graph, quantizer)
        producer = graph.producer(chain.origin.name) if chain else None
        self.source = ""
        if chain is not None and producer is not None and isinstance(producer.op, Dense):
            self.source = producer.inputs[0]
            self._chain, self._dense = chain, producer.op
            format = graph.values[self.source].format
            assert isinstance(format, ScaledInt)
            self._input = format

    def explains(self, codes_in: np.ndarray, index: int, theirs: int) -> bool:
        """Whether ``theirs`` at ``index`` lies within float32 summation error.

        ``codes_in``: int64 [K], the layer's input codes, on which both executions agree.
        """
        if not self.source:
            return False
        low, high = self._reach(codes_in, index)
        return low <= theirs <= high

    def _reach(self, codes_in: np.ndarray, index: int) -> tuple[int, int]:
        x = codes_in.astype(np.int64) - self._input.zero_point
        weights = self._dense.weights[index]
        format = self._chain.origin.format
        assert isinstance(format, ScaledInt)
        scale = format.scale[index if len(format.scale) > 1 else 0]
        exact = int(weights @ x) * scale
        size = float(np.abs(weights) @ np.abs(x)) * scale + _bias_size(self._chain, index)
        error = (len(x) + 8) * UNIT * (size + abs(exact))
        codes = [_evaluate_at(self._chain, exact + d, index) for d in (-error, 0.0, error)]
        return min(codes), max(codes)


def _bias_size(chain: Chain, index: int) -> float:
    first = chain.steps[0] if chain.steps else None
    if not isinstance(first, Add):
        return 0.0
    return abs(float(first.value[index if len(first.value) > 1 else 0]))


def _evaluate_at(chain: Chain, value: float, index: int) -> int:
    """Code of channel ``index`` when its sum is ``value``."""
    x = np.full((1, chain.origin.shape[-1]), value, dtype=np.float32)
    return int(np.broadcast_to(chain.evaluate_real(x), x.shape)[0, index])
