"""Small QONNX models with branches and moves, for tests: one per operation of that kind."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.models import Builder

ATTRS = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}


class Branches(Builder):
    """A builder with 4-bit activations and dense layers of 4-bit weights."""

    def act(self, x: str, name: str, scale: float = 0.25, bits: int = 4) -> str:
        """``x`` quantized."""
        return self.quant(x, name, scale, 0, bits, **ATTRS)

    def dense(self, x: str, name: str, rows: int, columns: int) -> str:
        """A bias-free layer from ``columns`` to ``rows``."""
        weight = self.const(f"{name}.weight", self.rng.normal(0, 0.5, (columns, rows)))
        weight = self.quant(weight, f"{name}_w", 0.125, 0, 4, **ATTRS)
        return self.node("MatMul", [x, weight], f"{name}_mm")

    def ints(self, name: str, values: list[int]) -> str:
        """An int64 constant."""
        self.inits.append(numpy_helper.from_array(np.asarray(values, dtype=np.int64), name))
        return name


def residual(function: str = "Add", scales: tuple[float, float, float] = (0.25, 0.25, 0.25)):
    """``quant(a op quant(fc(a)))`` and a last layer; ``scales`` of a, of the branch, of the sum."""
    b = Branches(3)
    a = b.act("x", "a", scales[0])
    side = b.act(b.dense(a, "side", 6, 6), "side_q", scales[1])
    met = b.node(function, [a, side], "met")
    y = b.act(met, "met_q", scales[2])
    return b.model(6, b.act(b.dense(y, "fc", 4, 6), "y", 0.5), 4, False)


def concatenated() -> onnx.ModelProto:
    """Two layers of different width and scale side by side, then one quantizer."""
    b = Branches(4)
    a = b.act("x", "a")
    left = b.node("Relu", [b.dense(a, "left", 4, 6)], "left_r")
    right = b.dense(a, "right", 6, 6)
    y = b.act(b.node("Concat", [left, right], "both", axis=1), "both_q", 0.5)
    return b.model(6, b.act(b.dense(y, "fc", 4, 10), "y", 0.5), 4, False)


def sliced() -> onnx.ModelProto:
    """Every other element of a layer, backwards."""
    b = Branches(5)
    y = b.act(b.dense(b.act("x", "a"), "first", 8, 6), "first_q")
    names = [b.ints("starts", [7]), b.ints("ends", [-9]), b.ints("axes", [1]), b.ints("st", [-2])]
    y = b.node("Slice", [y, *names], "some")
    y = b.node("Relu", [y], "some_r")
    return b.model(6, b.act(y, "y", 0.5), 4, False)


def ratio() -> onnx.ModelProto:
    """A quotient of two values, the divisor away from zero: no integer formula, a table."""
    b = Branches(6)
    a = b.act("x", "a", 0.3)
    side = b.node("Relu", [b.dense(a, "side", 6, 6)], "side_r")
    side = b.node("Add", [b.act(side, "side_q", 0.21), b.const("one", 1.5)], "side_1")
    y = b.act(b.node("Div", [a, side], "met"), "met_q", 0.11)
    return b.model(6, b.act(b.dense(y, "fc", 4, 6), "y", 0.5), 4, False)


def ranked() -> onnx.ModelProto:
    """The three largest of a layer's results."""
    b = Branches(7)
    y = b.act(b.dense(b.act("x", "a"), "fc", 5, 6), "y", 0.5)
    k = b.ints("k", [3])
    b.nodes.append(helper.make_node("TopK", [y, k], ["values", "winners"], "top", axis=-1))
    return b.model(6, "winners", 3, True)
