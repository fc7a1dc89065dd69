"""Small QONNX models with branches and moves, for tests: one per operation of that kind."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.models import DOMAIN, Builder

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


class Convolutions(Branches):
    """Branches of 3x3 convolutions on images of 6 x 6 pixels, channels first."""

    def conv(self, x: str, name: str, channels: tuple[int, int], size: int = 3) -> str:
        """A padded layer with a bias; ``channels``: in, out."""
        shape = (channels[1], channels[0], size, size)
        weight = self.const(f"{name}.weight", self.rng.normal(0, 0.4, shape))
        weight = self.quant(weight, f"{name}_w", 0.125, 0, 4, **ATTRS)
        bias = self.const(f"{name}.bias", self.rng.normal(0, 0.3, channels[1]))
        attrs = {"kernel_shape": [size, size], "pads": [size // 2] * 4}
        return self.node("Conv", [x, weight, bias], f"{name}_c", **attrs)

    def done(self, y: str, channels: int, *shape: int) -> onnx.ModelProto:
        """The model from an image of ``channels`` to ``y`` of ``shape``."""
        info = helper.make_tensor_value_info
        float32 = onnx.TensorProto.FLOAT
        image = info("x", float32, [1, channels, 6, 6])
        outputs = [info(y, float32, [1, *shape])]
        graph = helper.make_graph(self.nodes, "net", [image], outputs, self.inits)
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def skip() -> onnx.ModelProto:
    """A U-Net of one level: pooled, upsampled and put beside the finer image; unlike scales."""
    b = Convolutions(1)
    fine = b.act(b.conv(b.act("x", "xq"), "c1", (2, 4)), "fine", 0.3)
    down = b.node("MaxPool", [fine], "down", kernel_shape=[2, 2], strides=[2, 2])
    coarse = b.act(b.conv(down, "c2", (4, 6)), "coarse", 0.21)
    factors = b.const("factors", [1, 1, 2, 2])
    up = b.node(
        "Resize",
        [coarse, "", factors],
        "up",
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )
    both = b.act(b.node("Concat", [fine, up], "both", axis=1), "both_q", 0.25)
    return b.done(b.act(b.conv(both, "c3", (10, 3), 1), "y", 0.5), 2, 3, 6, 6)


def residual_block() -> onnx.ModelProto:
    """A ResNet block whose two branches have scales of their own, then pooling and a layer."""
    b = Convolutions(2)
    a = b.act(b.conv(b.act("x", "xq"), "c1", (2, 4)), "a", 0.3)
    side = b.act(b.node("Relu", [b.conv(a, "c2", (4, 4))], "c2_r"), "c2_q", 0.3)
    side = b.act(b.conv(side, "c3", (4, 4)), "c3_q", 0.21)
    met = b.act(b.node("Relu", [b.node("Add", [a, side], "sum")], "sum_r"), "sum_q", 0.25)
    flat = b.node("Flatten", [b.act(b.node("GlobalAveragePool", [met], "gap"), "gap_q")], "flat")
    return b.done(b.act(b.dense(flat, "fc", 5, 4), "y", 0.5), 2, 5)
