"""Networks of onnxruntime's own integer operators, between a quantizer and a dequantizer."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

N = helper.make_node
RNG = np.random.default_rng(6)
MS = {"domain": "com.microsoft"}


def qlinear(nodes: list, signed: bool, shape: tuple = (1, 8), **more: object) -> ModelProto:
    kind = np.int8 if signed else np.uint8
    constants = {
        "sx": np.float32(0.037),
        "zx": kind(11),
        "sw": np.float32(0.013),
        "zw": np.int8(0),
        "sa": np.float32(0.061),
        "za": kind(5),
        "sb": np.float32(0.1),
        "zb": kind(90),
        "w": RNG.integers(-100, 100, (8, 8)).astype(np.int8),
        "bias": RNG.integers(-3000, 3000, 8).astype(np.int32),
        **more,
    }
    begin = [N("QuantizeLinear", ["x", "sx", "zx"], ["q"], "q")]
    end = [N("DequantizeLinear", ["r", "sb", "zb"], ["y"], "end")]
    graph = helper.make_graph(
        [*begin, *nodes, *end],
        "qlinear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


MATMUL = N("QLinearMatMul", ["q", "sx", "zx", "w", "sw", "zw", "sa", "za"], ["m"], "m")

#: One for each operation of the IR.
EXAMPLES = {
    "qlinear_unary": lambda: qlinear(
        [MATMUL, N("QLinearSigmoid", ["m", "sa", "za", "sb", "zb"], ["r"], "f", **MS)], False
    ),
    "qlinear_combine": lambda: qlinear(
        [MATMUL, N("QLinearAdd", ["q", "sx", "zx", "m", "sa", "za", "sb", "zb"], ["r"], "f", **MS)],
        False,
    ),
}
