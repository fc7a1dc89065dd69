"""ONNX's own quantizers and integer operators: codes equal onnxruntime's."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from codesign.errors import UnsupportedModel
from codesign.frontend import import_qonnx
from codesign.frontend.unsigned_weights import with_unsigned_weights
from codesign.passes import lower
from codesign.reference import run
from tests.frontend.checks import explained

N = helper.make_node
RNG = np.random.default_rng(3)


def model(nodes: list, constants: dict, shape: tuple = (1, 6), kind: int = 1) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "qdq",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            t if hasattr(t, "dims") else numpy_helper.from_array(np.asarray(t), n)
            for n, t in constants.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def check(proto: ModelProto, x: np.ndarray, exact: bool = True) -> None:
    """Our float outputs = onnxruntime's, frame by frame (or, unless ``exact``, every tensor that
    differs is explained); the circuit's = ours."""
    graph = import_qonnx(proto).graph
    lowered = lower(graph)
    ours = run(graph, {graph.inputs[0]: x})[graph.outputs[0]]
    values = graph.values[graph.outputs[0]].format.decode(ours)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        with_unsigned_weights(proto).SerializeToString(), options
    )
    theirs = np.concatenate([session.run(None, {"x": f[None]})[0] for f in x])
    if values.ndim == 4:
        values = values.transpose(0, 3, 1, 2)
    assert values.shape == theirs.shape
    if exact:
        assert np.array_equal(values, theirs)
    else:
        explained(proto, x)
    got = run(lowered, {lowered.inputs[0]: x})[lowered.outputs[0]]
    assert np.array_equal(got, ours)


def hard(shape: tuple, scale: float) -> np.ndarray:
    """Codes, ties, one ulp from ties, far out, and tiny."""
    codes = RNG.integers(-300, 300, (90, *shape))
    x = (codes * np.float32(scale)).astype(np.float32)
    half = np.float32(scale) / 2
    x[30:50] += half
    x[50:70] = np.nextafter(x[50:70] + half, np.float32(np.inf))
    x[70:85] = np.nextafter(x[70:85] + half, np.float32(-np.inf))
    x[85], x[86], x[87], x[88], x[89] = 1e6, -1e6, 1e-30, -1e-30, -0.0
    return x


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int4", "uint4"])
@pytest.mark.parametrize("scale", [0.25, 0.1, 0.0371])
@pytest.mark.parametrize("offset", [0, 3])
def test_quantize_then_dequantize(kind: str, scale: float, offset: int) -> None:
    zero = helper.make_tensor("zp", getattr(TensorProto, kind.upper()), [], [offset])
    nodes = [
        N("QuantizeLinear", ["x", "s", "zp"], ["q"], "q"),
        N("DequantizeLinear", ["q", "s", "zp"], ["d"], "d"),
        N("Relu", ["d"], ["r"], "r"),
        N("QuantizeLinear", ["r", "s2", "zp"], ["q2"], "q2"),
        N("DequantizeLinear", ["q2", "s2", "zp"], ["y"], "y"),
    ]
    proto = model(nodes, {"s": np.float32(scale), "s2": np.float32(scale * 3), "zp": zero})
    check(proto, hard((6,), scale))


@pytest.mark.parametrize("per_axis", [False, True])
@pytest.mark.parametrize("form", ["codes", "float"])
def test_dense_layer(per_axis: bool, form: str) -> None:
    scale = np.float32([0.01, 0.02, 0.005, 0.03]) if per_axis else np.float32(0.01)
    zero = np.zeros(scale.shape, np.int8)
    weights = RNG.integers(-127, 128, (4, 6)).astype(np.int8)
    nodes = [
        N("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        N("DequantizeLinear", ["q", "s", "z"], ["d"], "d"),
        N("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "wd", axis=0),
        N("DequantizeLinear", ["b", "bs"], ["bd"], "bd", axis=0),
        N("Gemm", ["d", "wd", "bd"], ["g"], "g", transB=1),
        N("QuantizeLinear", ["g", "s", "z"], ["q2"], "q2"),
        N("DequantizeLinear", ["q2", "s", "z"], ["y"], "y"),
    ]
    constants = {
        "s": np.float32(0.125),
        "z": np.uint8(7),
        "w": weights,
        "ws": scale,
        "wz": zero,
        "b": RNG.integers(-900, 900, 4).astype(np.int32),
        "bs": (scale * np.float32(0.125)),
    }
    if form == "float":
        real = weights * (scale[:, None] if per_axis else scale)
        constants["w"] = real.astype(np.float32)
        nodes[2] = N("QuantizeLinear", ["w", "ws", "wz"], ["wq"], "wq", axis=0)
        nodes.insert(3, N("DequantizeLinear", ["wq", "ws", "wz"], ["wd"], "wd", axis=0))
    check(model(nodes, constants), hard((6,), 0.125), exact=False)


def test_four_bit_weights() -> None:
    weights = helper.make_tensor("w", TensorProto.INT4, [6, 4], RNG.integers(-8, 8, 24).tolist())
    nodes = [
        N("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        N("DequantizeLinear", ["q", "s", "z"], ["d"], "d"),
        N("DequantizeLinear", ["w", "s"], ["wd"], "wd"),
        N("MatMul", ["d", "wd"], ["g"], "g"),
        N("QuantizeLinear", ["g", "s", "z"], ["q2"], "q2"),
        N("DequantizeLinear", ["q2", "s", "z"], ["y"], "y"),
    ]
    check(model(nodes, {"s": np.float32(0.25), "z": np.int8(-3), "w": weights}), hard((6,), 0.25))


@pytest.mark.parametrize("signed", [False, True])
def test_qlinear_matmul(signed: bool) -> None:
    kind = np.int8 if signed else np.uint8
    nodes = [
        N("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        N("QLinearMatMul", ["q", "s", "z", "w", "ws", "wz", "ys", "z"], ["m"], "m"),
        N("QLinearMatMul", ["m", "ys", "z", "v", "ws", "wz", "ys", "z"], ["m2"], "m2"),
        N("DequantizeLinear", ["m2", "ys", "z"], ["y"], "y"),
    ]
    constants = {
        "s": np.float32(0.037),
        "z": kind(9),
        "w": RNG.integers(-120, 120, (6, 5)).astype(np.int8),
        "v": RNG.integers(-120, 120, (5, 4)).astype(np.int8),
        "ws": np.float32(0.011),
        "wz": np.int8(0),
        "ys": np.float32(0.093),
    }
    check(model(nodes, constants), hard((6,), 0.037))


@pytest.mark.parametrize("bias", [False, True])
def test_qlinear_conv(bias: bool) -> None:
    nodes = [
        N("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        N(
            "QLinearConv",
            ["q", "s", "z", "w", "ws", "wz", "ys", "z", *(["b"] if bias else [])],
            ["m"],
            "m",
            pads=[1, 1, 1, 1],
        ),
        N("DequantizeLinear", ["m", "ys", "z"], ["y"], "y"),
    ]
    constants = {
        "s": np.float32(0.037),
        "z": np.uint8(121),
        "w": RNG.integers(-120, 120, (3, 2, 3, 3)).astype(np.int8),
        "ws": np.float32([0.011, 0.002, 0.03]),
        "wz": np.zeros(3, np.int8),
        "ys": np.float32(0.3),
        "b": RNG.integers(-2000, 2000, 3).astype(np.int32),
    }
    check(model(nodes, constants, (1, 2, 4, 4)), hard((2, 4, 4), 0.037))


def test_matmul_integer() -> None:
    nodes = [
        N("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        N("MatMulInteger", ["q", "w", "z"], ["m"], "m"),
        N("Cast", ["m"], ["c"], "c", to=TensorProto.FLOAT),
        N("Mul", ["c", "f"], ["g"], "g"),
        N("QuantizeLinear", ["g", "s", "z"], ["q2"], "q2"),
        N("DequantizeLinear", ["q2", "s", "z"], ["y"], "y"),
    ]
    constants = {
        "s": np.float32(0.05),
        "z": np.uint8(17),
        "f": np.float32(0.0013),
        "w": RNG.integers(-120, 120, (6, 4)).astype(np.int8),
    }
    check(model(nodes, constants), hard((6,), 0.05))


def test_conv_integer() -> None:
    nodes = [
        N("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        N("ConvInteger", ["q", "w", "z"], ["m"], "m", strides=[2, 1]),
        N("Cast", ["m"], ["c"], "c", to=TensorProto.FLOAT),
        N("Mul", ["c", "f"], ["g"], "g"),
        N("QuantizeLinear", ["g", "s", "z"], ["q2"], "q2"),
        N("DequantizeLinear", ["q2", "s", "z"], ["y"], "y"),
    ]
    constants = {
        "s": np.float32(0.05),
        "z": np.uint8(17),
        "f": np.float32(0.0013),
        "w": RNG.integers(-120, 120, (4, 2, 3, 2)).astype(np.int8),
    }
    check(model(nodes, constants, (1, 2, 5, 4)), hard((2, 5, 4), 0.05))


def test_refusals() -> None:
    both = {"s": np.float32(0.5), "z": np.uint8(0)}
    quantize = N("QuantizeLinear", ["x", "s", "z"], ["q"], "q")
    dynamic = [
        N("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], "dyn"),
        N("DequantizeLinear", ["q", "s", "z"], ["y"], "y"),
    ]
    with pytest.raises(UnsupportedModel, match="computed from each input"):
        import_qonnx(model(dynamic, {}))
    with pytest.raises(UnsupportedModel, match="codes are read by 'Relu'"):
        import_qonnx(model([quantize, N("Relu", ["q"], ["y"], "r")], both))
    several = {"s": np.float32([1, 2]), "z": np.uint8([0, 1])}
    with pytest.raises(UnsupportedModel, match="zero points differ"):
        import_qonnx(
            model([quantize, N("DequantizeLinear", ["q", "s", "z"], ["y"], "d")], several, (1, 2))
        )
