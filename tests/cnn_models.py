"""QONNX models with convolutions and whatever else, built node by node (no PyTorch needed)."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"


class Net:
    """Builds one graph. Every method returns the name of the tensor it adds.

    Scales are powers of two unless given, so that float32 sums are exact whatever their order.
    """

    def __init__(self, shape: tuple[int, ...], *, seed: int = 0, opset: int = 19, batch: int = 1):
        self.rng = np.random.default_rng(seed)
        self.shape = (batch, *shape)
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.inits: list[onnx.TensorProto] = []
        self._count = 0

    def name(self, wish: str) -> str:
        """A tensor name not used before."""
        self._count += 1
        return f"{wish}_{self._count}"

    def const(self, array: object, wish: str = "const") -> str:
        """An initializer; Python floats become float32."""
        array = np.asarray(array)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        name = self.name(wish)
        self.inits.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, *inputs: str, domain: str = "", outputs: int = 1, **attrs: object):
        """A node; one output name, or a list of them."""
        names = [self.name(op.lower()) for _ in range(outputs)]
        node = helper.make_node(op, list(inputs), names, names[0], domain=domain, **attrs)
        self.nodes.append(node)
        return names[0] if outputs == 1 else names

    def quant(
        self, x: str, bits: int = 4, scale: object = 0.25, zero: object = 0, *,
        signed: bool = True, narrow: bool = False, rounding: str = "ROUND",
    ) -> str:  # fmt: skip
        """A Quant node."""
        parts = [self.const(np.float32(p)) for p in (scale, zero, bits)]
        flags = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": rounding}
        return str(self.node("Quant", x, *parts, domain=DOMAIN, **flags))

    def weights(self, *shape: int, bits: int = 4, scale: object = 0.125) -> str:
        """Random quantized weights."""
        raw = self.const(self.rng.normal(0, 0.4, shape), "weight")
        return self.quant(raw, bits, scale, narrow=True)

    def conv(
        self, x: str, channels: int, out: int, kernel: tuple[int, ...], *, bias: bool = False,
        group: int = 1, scale: object = 0.125, op: str = "Conv", **attrs: object,
    ) -> str:  # fmt: skip
        """Conv or ConvTranspose with random weights."""
        shape = (out, channels // group) if op == "Conv" else (channels, out // group)
        inputs = [x, self.weights(*shape, *kernel, scale=scale)]
        if bias:
            inputs.append(self.const(np.round(self.rng.normal(0, 8, out)) / 8, "bias"))
        return str(self.node(op, *inputs, kernel_shape=list(kernel), group=group, **attrs))

    def dense(self, x: str, inputs: int, out: int) -> str:
        """MatMul with random weights [K, N]."""
        return str(self.node("MatMul", x, self.weights(inputs, out)))

    def batch_norm(self, x: str, channels: int) -> str:
        """BatchNormalization in evaluation mode, its parameters powers of two."""
        gamma = 2.0 ** self.rng.integers(-1, 2, channels) * self.rng.choice([-1.0, 1.0], channels)
        beta, mean = (np.round(self.rng.normal(0, 4, channels)) / 4 for _ in range(2))
        var = 4.0 ** self.rng.integers(-1, 2, channels) - 2.0**-10
        parts = [self.const(p) for p in (gamma, beta, mean, var)]
        return str(self.node("BatchNormalization", x, *parts, epsilon=2.0**-10))

    def model(self, output: str) -> onnx.ModelProto:
        """The finished model, input ``x``, output ``output``."""
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.inits,
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def inputs(self, frames: int = 5) -> np.ndarray:
        """float32 inputs on a fine grid, some beyond the range of :meth:`quant`."""
        grid = self.rng.integers(-48, 48, (frames * self.shape[0], *self.shape[1:]))
        return (grid / 16).astype(np.float32)


def cnn(
    *, size: int = 10, channels: int = 1, widths: tuple[int, ...] = (4, 6), classes: int = 5,
    seed: int = 0, last: bool = False, pool: str = "MaxPool",
) -> onnx.ModelProto:  # fmt: skip
    """An ordinary image classifier: (conv, batch norm, relu, quant, pool)*, flatten, dense.

    ``last``: the file's tensors are channels-last, with Transposes around the convolutions.
    """
    shape = (size, size, channels) if last else (channels, size, size)
    net = Net(shape, seed=seed)
    x = net.quant("x")
    for width in widths:
        x = net.node("Transpose", x, perm=[0, 3, 1, 2]) if last else x
        x = net.conv(x, channels, width, (3, 3), pads=[1, 1, 1, 1])
        x = net.node("Transpose", x, perm=[0, 2, 3, 1]) if last else x
        if not last:
            x = net.batch_norm(x, width)
        x = net.quant(net.node("Relu", x), 4, 0.5, signed=False)
        x = net.node("Transpose", x, perm=[0, 3, 1, 2]) if last else x
        x = net.node(pool, x, kernel_shape=[2, 2], strides=[2, 2])
        x = net.node("Transpose", x, perm=[0, 2, 3, 1]) if last else x
        if pool == "AveragePool":
            x = net.quant(x, 4, 0.5, signed=False)
        channels, size = width, size // 2
    x = net.node("Flatten", x)
    return net.model(net.dense(x, channels * size * size, classes))
