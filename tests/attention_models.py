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


def normalized(scale=0.25, tokens=3, width=4, bits=4, apart=False) -> onnx.ModelProto:
    """``quant(layernorm(quant(dense)))`` over the last axis, gain and bias a channel. ``apart``:
    as the nodes that exporters wrote before opset 17."""
    b = Branches(14)
    y = b.act(b.dense(b.act("x", "a", scale), "fc", width, 6), "y", scale)
    gain = b.const("gain", b.rng.normal(1, 0.3, width))
    bias = b.const("bias", b.rng.normal(0, 0.3, width))
    if apart:
        axis = b.ints("axis", [-1])
        d = b.node("Sub", [y, b.node("ReduceMean", [y, axis], "mean")], "centred")
        v = b.node("ReduceMean", [b.node("Pow", [d, b.const("two", 2.0)], "pow"), axis], "var")
        v = b.node("Sqrt", [b.node("Add", [v, b.const("eps", 1e-5)], "safe")], "deviation")
        y = b.node("Mul", [b.node("Div", [d, v], "unit"), gain], "gained")
        y = b.node("Add", [y, bias], "n")
    else:
        y = b.node("LayerNormalization", [y, gain, bias], "n")
    return model(b, [tokens, 6], b.act(y, "z", 2.0 ** (2 - bits), bits), [tokens, width])


def encoder(tokens: int = 4, width: int = 8, heads: int = 2, bits: int = 6):
    """A transformer's encoder block (tokens, width): attention, residual, norm, MLP, residual,
    norm; every tensor quantized."""
    b = Branches(15)
    x = b.act("x", "a", 0.25)
    q, k, v = (b.act(b.dense(x, n, width, width), n[0], 0.25) for n in ("query", "key", "value"))
    shape = b.ints("split", [1, tokens, heads, width // heads])
    q, k, v = (b.node("Reshape", [t, shape], f"{t}_split") for t in (q, k, v))
    q, v = (b.node("Transpose", [t], f"{t}_t", perm=[0, 2, 1, 3]) for t in (q, v))
    k = b.node("Transpose", [k], "k_t", perm=[0, 2, 3, 1])
    s = b.node("MatMul", [q, k], "qk")
    s = b.node("Mul", [s, b.const("root", np.float32((width / heads) ** -0.5))], "scaled")
    p = b.quant(b.node("Softmax", [s], "p", axis=-1), "pq", 2.0**-bits, 0, bits, **UNSIGNED)
    y = b.node("Transpose", [b.node("MatMul", [p, v], "pv")], "y_t", perm=[0, 2, 1, 3])
    y = b.act(b.node("Reshape", [y, b.ints("join", [1, tokens, width])], "y_join"), "y_q", 0.25)
    y = b.act(b.dense(y, "proj", width, width), "proj_q", 0.25)
    x = _normed(b, b.node("Add", [x, y], "res1"), "norm1", width, bits)
    y = b.act(b.node("Gelu", [b.dense(x, "up", 2 * width, width)], "gelu"), "up_q", 0.25)
    y = b.act(b.dense(y, "down", width, 2 * width), "down_q", 2.0 ** (3 - bits), bits)
    x = _normed(b, b.node("Add", [x, y], "res2"), "norm2", width, bits)
    return model(b, [tokens, width], x, [tokens, width])


def _normed(b: Branches, x: str, name: str, width: int, bits: int) -> str:
    gain = b.const(f"{name}_gain", b.rng.normal(1, 0.3, width))
    bias = b.const(f"{name}_bias", b.rng.normal(0, 0.3, width))
    y = b.node("LayerNormalization", [x, gain, bias], name)
    return b.act(y, f"{name}_q", 2.0 ** (3 - bits), bits)
