"""A small layer behind each quantizer and each function of one value: model to RTL."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests import qlinear_models
from tests.models import DOMAIN, Builder

QUANT = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
#: exponent bits, mantissa bits, bias, maximum of E2M1: sixteen values that are not equally spaced
E2M1 = (2, 1, 1, 6)


def layer(end: Callable[[Builder, str], str], seed: int = 5) -> onnx.ModelProto:
    """A 6-4 layer of 4-bit weights on 4-bit inputs, then ``end``."""
    b = Builder(seed)
    x = b.quant("x", "x_q", 0.125, 0, 4, **QUANT)
    weight = b.const("fc.weight", b.rng.normal(0, 0.5, (6, 4)))
    weight = b.quant(weight, "fc_w", 0.125, 0, 4, **QUANT)
    x = b.node("MatMul", [x, weight], "fc_mm")
    return b.model(6, end(b, x), 4, False)


def _quantized(op: str, *constants: object) -> Callable[[Builder, str], str]:
    """``op`` with constant inputs, then a 4-bit quantizer."""

    def end(b: Builder, x: str) -> str:
        inputs = [b.const(f"c{i}", c) for i, c in enumerate(constants)]
        return b.quant(b.node(op, [x, *inputs], "f"), "y", 0.2, 0, 4, **QUANT)

    return end


def _float_quant(b: Builder, x: str) -> str:
    ports = [b.const(f"p{i}", value) for i, value in enumerate((0.1, *E2M1))]
    return b.node("FloatQuant", [x, *ports], "y", DOMAIN, rounding_mode="ROUND", saturation=1,
                  has_inf=0, has_nan=0, has_subnormal=1)  # fmt: skip


def _trunc(b: Builder, x: str) -> str:
    x = b.quant(x, "wide", 0.0625, 0, 6, **QUANT)
    ports = [b.const(f"p{i}", value) for i, value in enumerate((0.0625, 0, 6, 4))]
    return b.node("Trunc", [x, *ports], "y", DOMAIN, rounding_mode="FLOOR")


def _multithreshold(b: Builder, x: str) -> str:
    table = b.const("t", np.sort(b.rng.normal(0, 0.4, (4, 7)), axis=1))
    return b.node("MultiThreshold", [x, table], "y", DOMAIN, out_dtype="INT4", out_scale=1.0,
                  out_bias=-4.0)  # fmt: skip


def _bipolar(b: Builder, x: str) -> str:
    x = b.node("BipolarQuant", [x, b.const("one", 1.0)], "sign", DOMAIN)
    weight = b.const("fc2.weight", b.rng.normal(0, 0.5, (4, 3)))
    weight = b.node("BipolarQuant", [weight, b.const("w_scale", 0.5)], "fc2_w", DOMAIN)
    return b.quant(b.node("MatMul", [x, weight], "fc2_mm"), "y", 0.5, 0, 3, **QUANT)


def _silu(b: Builder, x: str) -> str:
    return b.quant(
        b.node("Mul", [x, b.node("Sigmoid", [x], "gate")], "silu"), "y", 0.1, 0, 4, **QUANT
    )


def wide_sigmoid(b: Builder, x: str) -> str:
    """A function of many steps over an accumulator too wide for a table, another per channel."""
    weight = b.const("fc2.weight", b.rng.normal(0, 60, (4, 4)))
    x = b.quant(x, "wide", 0.001, 0, 10, **QUANT)
    weight = b.quant(weight, "fc2_w", 1, 0, 8, **QUANT)
    x = b.node("MatMul", [x, weight], "fc2_mm")
    x = b.node("Mul", [x, b.const("gain", [0.05, 0.08, -0.03, 0.06])], "gained")
    return b.quant(b.node("Sigmoid", [x], "f"), "y", 0.004, 0, 9, **QUANT)


def reinterpreted() -> onnx.ModelProto:
    """Two integer matrix products: the codes between them are read without their scale."""
    rng = np.random.default_rng(3)
    constants = {
        "s": np.float32(0.05), "z": np.uint8(7), "ws": np.float32(0.01), "wz": np.int8(0),
        "ys": np.float32(0.02), "w": rng.integers(-9, 9, (6, 4)).astype(np.int8),
        "v": rng.integers(-9, 9, (4, 3)).astype(np.int8),
    }  # fmt: skip
    make = helper.make_node
    nodes = [
        make("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        make("QLinearMatMul", ["q", "s", "z", "w", "ws", "wz", "ys", "z"], ["m"], "m"),
        make("QLinearMatMul", ["m", "ys", "z", "v", "ws", "wz", "ys", "z"], ["n"], "n"),
        make("DequantizeLinear", ["n", "ys", "z"], ["y"], "y"),
    ]
    graph = helper.make_graph(
        nodes,
        "integers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _softplus(b: Builder, x: str) -> str:
    """As torch decomposes it: linear beyond a threshold."""
    soft = b.node("Log", [b.node("Add", [b.node("Exp", [x], "e"), b.const("one", 1.0)], "p")], "l")
    above = b.node("Greater", [x, b.const("limit", 0.8)], "above")
    return b.quant(b.node("Where", [above, x, soft], "f"), "y", 0.2, 0, 4, **QUANT)


EXAMPLES: dict[str, Callable[[], onnx.ModelProto]] = {
    "bipolar": lambda: layer(_bipolar),
    "float_quant": lambda: layer(_float_quant),
    "trunc": lambda: layer(_trunc),
    "multithreshold": lambda: layer(_multithreshold),
    "unary": lambda: layer(_silu),
    "clip": lambda: layer(_quantized("Clip", -0.3, 0.7)),
    "prelu": lambda: layer(_quantized("PRelu", [0.1, 0.3, -0.5, 1.5])),
    "power": lambda: layer(_quantized("Pow", 2.0)),
    "reinterpret": reinterpreted,
    "compare": lambda: layer(_softplus),
    "select": lambda: layer(_softplus),
    **qlinear_models.EXAMPLES,
}
