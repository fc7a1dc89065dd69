"""Small QONNX models built node by node, so that tests need neither PyTorch nor Brevitas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"


@dataclass(frozen=True)
class Mlp:
    """Recipe of a random multi-layer perceptron. ``scale``: 'pow2', 'float' or 'channel'."""

    sizes: tuple[int, ...] = (12, 8, 5)
    weight_bits: int = 4
    act_bits: int = 4
    scale: str = "pow2"
    bias: bool = True
    batch_norm: bool = False
    relu: bool = True
    signed_acts: bool = False
    rounding: str = "ROUND"
    argmax: bool = False
    zero_point: int = 0
    quantized_output: bool = False


class Builder:
    """Collects nodes and initializers of one graph."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.inits: list[onnx.TensorProto] = []

    def const(self, name: str, array: object) -> str:
        self.inits.append(numpy_helper.from_array(np.asarray(array, dtype=np.float32), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, domain: str = "", **attrs) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], output, domain=domain, **attrs))
        return output

    def quant(self, x: str, out: str, scale: object, zero: float, bits: int, **attrs) -> str:
        parts = [
            self.const(f"{out}_scale", scale),
            self.const(f"{out}_zero", zero),
            self.const(f"{out}_bits", bits),
        ]
        return self.node("Quant", [x, *parts], out, DOMAIN, **attrs)

    def scale(self, kind: str, channels: int, typical: float) -> np.ndarray:
        if kind == "pow2":
            return np.float32(2.0 ** np.round(np.log2(typical)))
        count = channels if kind == "channel" else 1
        found = (typical * self.rng.uniform(0.5, 1.5, count)).astype(np.float32)
        return found if kind == "channel" else found[0]

    def model(
        self, inputs: int | list[int], output: str, outputs: int, argmax: bool
    ) -> onnx.ModelProto:
        out_type = TensorProto.INT64 if argmax else TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "net",
            [
                helper.make_tensor_value_info(
                    "x", TensorProto.FLOAT, [1, *np.atleast_1d(inputs).tolist()]
                )
            ],
            [helper.make_tensor_value_info(output, out_type, [1, 1 if argmax else outputs])],
            self.inits,
        )
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def mlp(recipe: Mlp, seed: int = 0) -> onnx.ModelProto:
    """A model after ``recipe``; the same seed gives the same bytes."""
    b = Builder(seed)
    signed = recipe.signed_acts
    attrs = {"signed": int(signed), "narrow": 0, "rounding_mode": recipe.rounding}
    act_scale = b.scale("pow2" if recipe.scale == "pow2" else "float", 1, 2.0**-recipe.act_bits)
    x = b.quant("x", "x_q", act_scale, recipe.zero_point, recipe.act_bits, **attrs)
    for index, (k, n) in enumerate(zip(recipe.sizes, recipe.sizes[1:], strict=False)):
        last = index == len(recipe.sizes) - 2
        x = _layer(b, recipe, f"fc{index}", x, k, n, last, attrs)
    if recipe.argmax:
        x = b.node("ArgMax", [x], "winner", axis=1, keepdims=1)
    return b.model(recipe.sizes[0], x, recipe.sizes[-1], recipe.argmax)


def _layer(
    b: Builder, recipe: Mlp, name: str, x: str, k: int, n: int, last: bool, attrs: dict
) -> str:
    scale = b.scale(recipe.scale, n, 2.0 ** -(recipe.weight_bits - 1))
    column = np.reshape(scale, (-1, 1)) if np.ndim(scale) else scale
    raw = b.const(f"{name}.weight", b.rng.normal(0, 0.5, (n, k)))
    weight = b.quant(
        raw, f"{name}_w", column, 0, recipe.weight_bits, signed=1, narrow=1, rounding_mode="ROUND"
    )
    weight = b.node("Transpose", [weight], f"{name}_wt", perm=[1, 0])
    x = b.node("MatMul", [x, weight], f"{name}_mm")
    if recipe.bias:
        step = np.float32(2.0**-8) if recipe.scale == "pow2" else np.float32(1)
        bias = (
            np.round(b.rng.normal(0, 0.3, n) / step) * step if step < 1 else b.rng.normal(0, 0.3, n)
        )
        x = b.node("Add", [x, b.const(f"{name}.bias", bias)], f"{name}_add")
    if recipe.batch_norm:
        x = _batch_norm(b, name, x, n)
    if last and not recipe.quantized_output:
        return x
    if recipe.relu and not last:
        x = b.node("Relu", [x], f"{name}_relu")
    typical = 4.0 / (1 << recipe.act_bits)
    act = b.scale("pow2" if recipe.scale == "pow2" else "float", 1, typical)
    return b.quant(x, f"{name}_q", act, recipe.zero_point, recipe.act_bits, **attrs)


def _batch_norm(b: Builder, name: str, x: str, n: int) -> str:
    parts = [
        b.const(f"{name}_gamma", b.rng.normal(0, 1, n)),
        b.const(f"{name}_beta", b.rng.normal(0, 0.3, n)),
        b.const(f"{name}_mean", b.rng.normal(0, 0.3, n)),
        b.const(f"{name}_var", b.rng.uniform(0.5, 2, n)),
    ]
    return b.node("BatchNormalization", [x, *parts], f"{name}_bn", epsilon=1e-5)
