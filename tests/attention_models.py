"""Small QONNX models of attention, for tests."""

from __future__ import annotations

import numpy as np
import onnx

from tests.branch_models import ATTRS, Branches

UNSIGNED = {**ATTRS, "signed": 0}


def scores(scale: float = 0.25, tokens: int = 3, width: int = 4) -> onnx.ModelProto:
    """``quant(Q @ K^T / 2)`` of two dense layers over the tokens."""
    b = Branches(11)
    x = b.act("x", "a", scale)
    q = b.act(b.dense(x, "query", width, 6), "q", scale)
    k = b.act(b.dense(x, "key", width, 6), "k", scale)
    k = b.node("Transpose", [k], "kt", perm=[0, 2, 1])
    y = b.node("Mul", [b.node("MatMul", [q, k], "qk"), b.const("half", np.float32(0.5))], "scaled")
    return model(b, [tokens, 6], b.act(y, "y", 0.5), [tokens, tokens])


def model(b: Branches, shape: list[int], output: str, out_shape: list[int]) -> onnx.ModelProto:
    """The finished model, its output of several axes."""
    made = b.model(shape, output, 1, False)
    dims = made.graph.output[0].type.tensor_type.shape
    del dims.dim[:]
    for size in (1, *out_shape):
        dims.dim.add().dim_value = size
    return made
