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


def weighted(scale: float = 0.25, tokens: int = 3, width: int = 4, bits: int = 4):
    """``quant(softmax(quant(dense)))`` over the last axis."""
    b = Branches(12)
    y = b.act(b.dense(b.act("x", "a", scale), "fc", width, 6), "y", scale)
    p = b.node("Softmax", [y], "p", axis=-1)
    p = b.quant(p, "pq", 1 / ((1 << bits) - 1), 0, bits, **UNSIGNED)
    return model(b, [tokens, 6], p, [tokens, width])


def head(scale: float = 0.25, tokens: int = 4, width: int = 4, heads: int = 1, bits: int = 8):
    """An attention layer over (tokens, 6): Q, K, V, softmax of the scaled scores, times V."""
    b = Branches(13)
    x = b.act("x", "a", scale)
    q, k, v = (b.act(b.dense(x, n, width, 6), n[0], scale) for n in ("query", "key", "value"))
    if heads > 1:
        shape = b.ints("split", [1, tokens, heads, width // heads])
        q, k, v = (b.node("Reshape", [t, shape], f"{t}_split") for t in (q, k, v))
        q, v = (b.node("Transpose", [t], f"{t}_t", perm=[0, 2, 1, 3]) for t in (q, v))
    perm = [0, 2, 3, 1] if heads > 1 else [0, 2, 1]
    s = b.node("MatMul", [q, b.node("Transpose", [k], "k_t", perm=perm)], "qk")
    s = b.node("Mul", [s, b.const("root", np.float32((width / heads) ** -0.5))], "scaled")
    p = b.node("Softmax", [b.act(s, "s", 0.25, 6)], "p", axis=-1)
    p = b.quant(p, "pq", np.float32(2.0**-bits), 0, bits, **UNSIGNED)
    y = b.node("MatMul", [p, v], "pv")
    if heads > 1:
        y = b.node("Transpose", [y], "y_t", perm=[0, 2, 1, 3])
        y = b.node("Reshape", [y, b.ints("join", [1, tokens, width])], "y_join")
    return model(b, [tokens, 6], b.act(y, "y", scale), [tokens, width])


def normalized(scale: float = 0.25, tokens: int = 3, width: int = 4, bits: int = 4, seed: int = 14):
    """``quant(layernorm(quant(dense)))`` over the last axis, gain and bias a channel."""
    b = Branches(seed)
    y = b.act(b.dense(b.act("x", "a", scale), "fc", width, 6), "y", scale)
    gain = b.const("gain", b.rng.normal(1, 0.3, width))
    y = b.node("LayerNormalization", [y, gain, b.const("bias", b.rng.normal(0, 0.3, width))], "n")
    return model(b, [tokens, 6], b.act(y, "z", 2.0 ** (2 - bits), bits), [tokens, width])
