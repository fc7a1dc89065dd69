"""Nodes that onnxruntime may saturate are given to it in a form that it cannot."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from codesign.frontend.unsigned_weights import with_unsigned_weights
from tests.qlinear_models import MATMUL, MS, N, qlinear

RNG = np.random.default_rng(11)


def integer_model(op: str, zero: bool) -> ModelProto:
    """``op`` on uint8 [1, 3, 5, 5] or [1, 6]; without zero points if not ``zero``."""
    x, w = {"ConvInteger": ((1, 3, 5, 5), (2, 3, 3, 3)), "MatMulInteger": ((1, 6), (6, 4))}[op]
    constants = {"w": RNG.integers(-128, 128, w).astype(np.int8)}
    if zero:
        constants |= {"zx": np.uint8(7), "zw": np.int8(-3)}
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "w", *(["zx", "zw"] if zero else [])], ["y"])],
        "integers",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, x)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def outputs(model: ModelProto, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return np.asarray(session.run(None, {"x": x})[0])


def int8_weights(model: ModelProto) -> list[str]:
    """Nodes with an int8 tensor among what they read."""
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    return [
        node.op_type
        for node in model.graph.node
        if any(kinds.get(name) == TensorProto.INT8 for name in node.input)
    ]


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("op", ["MatMulInteger", "ConvInteger"])
def test_integer_sums_stay_and_are_exact(op: str, zero: bool) -> None:
    model = integer_model(op, zero)
    moved = with_unsigned_weights(model)
    assert int8_weights(model) and not int8_weights(moved)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = RNG.integers(0, 256, shape).astype(np.uint8)
    got = outputs(moved, x)
    if op == "MatMulInteger":
        w = numpy_helper.to_array(model.graph.initializer[0]).astype(np.int64)
        zx, zw = (7, -3) if zero else (0, 0)
        assert np.array_equal(got, (x.astype(np.int64) - zx) @ (w - zw))
    else:  # signed sums of one window, by hand
        w = numpy_helper.to_array(model.graph.initializer[0]).astype(np.int64)
        zx, zw = (7, -3) if zero else (0, 0)
        assert got[0, 1, 2, 0] == ((x[0, :, 2:5, 0:3].astype(np.int64) - zx) * (w[1] - zw)).sum()


@pytest.mark.parametrize("signed", [False, True])
def test_only_beside_unsigned_activations(signed: bool) -> None:
    gemm = N("QGemm", ["m", "sa", "za", "w", "sw", "zw", "bias", "sb", "zb"], ["r"], "g", **MS)
    model = qlinear([MATMUL, gemm], signed)
    before = model.SerializeToString()
    moved = with_unsigned_weights(model)
    assert model.SerializeToString() == before
    assert bool(int8_weights(moved)) == signed


def test_without_such_nodes_the_model_itself() -> None:
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    model = helper.make_model(graph)
    assert with_unsigned_weights(model) is model
