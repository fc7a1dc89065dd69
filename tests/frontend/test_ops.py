"""Model-level operations on codes and float32."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from codesign.errors import UnsupportedModel
from codesign.formats import Real, ScaledInt
from codesign.ir import Value
from codesign.ops.add import Add, Sub
from codesign.ops.argmax import ArgMax
from codesign.ops.batchnorm import BatchNorm, fma
from codesign.ops.dense import Dense, sign_split_range
from codesign.ops.mul import Div, Mul
from codesign.ops.relu import Relu
from codesign.ops.reshape import Reshape

RNG = np.random.default_rng(0)


def test_dense_is_exact_with_a_zero_point() -> None:
    weights = RNG.integers(-128, 128, (5, 33))
    x = Value("x", (33,), ScaledInt(0, 255, (0.5,), 7))
    op = Dense(weights, np.full(5, 0.25))
    codes = RNG.integers(0, 256, (50, 33))
    assert np.array_equal(op.execute([x], codes), (codes - 7) @ weights.T)
    shape, format = op.infer(x)
    assert shape == (5,)
    assert format.scale == (0.125,)


def test_dense_range_is_reached_on_both_sides() -> None:
    weights = RNG.integers(-3, 4, (4, 3))
    x = Value("x", (3,), ScaledInt(-2, 5, (1.0,), 1))
    op = Dense(weights, np.ones(1))
    grid = np.stack(np.meshgrid(*[np.arange(-2, 6)] * 3), -1).reshape(-1, 3)
    sums = op.execute([x], grid)
    _, format = op.infer(x)
    assert (format.lo, format.hi) == (sums.min(), sums.max())
    low, high = sign_split_range(weights, -3, 4)
    assert np.array_equal(low, sums.min(0))
    assert np.array_equal(high, sums.max(0))


def test_dense_scale_per_channel() -> None:
    x = Value("x", (2,), ScaledInt(0, 3, (float(np.float32(0.1)),)))
    scales = np.float32([0.3, 0.7]).astype(np.float64)
    _, format = Dense(np.eye(2), scales).infer(x)
    assert format.scale == tuple(float(np.float32(0.1)) * scales)


def test_dense_refuses_what_it_cannot_count() -> None:
    big = Value("x", (4,), ScaledInt(0, 2**31, (1.0,)))
    with pytest.raises(UnsupportedModel, match="2\\^53"):
        Dense(np.full((1, 4), 2**22), np.ones(1)).infer(big)
    with pytest.raises(UnsupportedModel, match="not quantized"):
        Dense(np.eye(4), np.ones(1)).infer(Value("x", (4,), Real()))


def test_operations_are_immutable() -> None:
    op = Dense(np.eye(2), np.ones(1))
    with pytest.raises(ValueError, match="read-only"):
        op.weights[0, 0] = 5


@pytest.mark.parametrize(
    ("op", "want"),
    [
        (Add(np.float32([0.1])), lambda x: x + np.float32(0.1)),
        (Sub(np.float32([0.1])), lambda x: x - np.float32(0.1)),
        (Sub(np.float32([0.1]), reverse=True), lambda x: np.float32(0.1) - x),
        (Mul(np.float32([-0.3])), lambda x: x * np.float32(-0.3)),
        (Div(np.float32([0.3])), lambda x: x / np.float32(0.3)),
        (Relu(), lambda x: np.maximum(x, 0)),
    ],
)
def test_elementwise(op, want) -> None:
    x = np.sort(RNG.normal(size=500).astype(np.float32))
    y = op.evaluate(x)
    assert y.dtype == np.float32
    assert np.array_equal(y, want(x))
    assert (np.diff(y) * op.direction()[0] >= 0).all()


def test_argmax_takes_the_first_of_ties() -> None:
    x = Value("x", (4,), ScaledInt(0, 9, (0.5,)))
    codes = np.array([[1, 5, 5, 0], [3, 3, 3, 3]])
    assert ArgMax().execute([x], codes).tolist() == [[1], [0]]
    assert ArgMax(keepdims=False).execute([x], codes).tolist() == [1, 0]
    assert ArgMax().infer(x) == ((1,), ScaledInt(0, 3))


def test_reshape() -> None:
    x = Value("x", (2, 3), ScaledInt(0, 9))
    assert Reshape((6,)).infer(x)[0] == (6,)
    with pytest.raises(UnsupportedModel, match="cannot reshape"):
        Reshape((5,)).infer(x)
    mixed = Value("x", (2, 3), ScaledInt(0, 9, (1.0, 2.0, 3.0)))
    assert Reshape((6,)).infer(mixed)[1].scale == (1.0, 2.0, 3.0) * 2
    with pytest.raises(UnsupportedModel, match="mixes channels"):
        Reshape((3, 2)).infer(mixed)


def norm(channels: int, rng: np.random.Generator) -> BatchNorm:
    gamma, beta, mean = (rng.normal(size=channels) for _ in range(3))
    return BatchNorm(gamma, beta, mean, rng.uniform(0.01, 4, channels), 1e-5)


def test_fma_rounds_once() -> None:
    a, b, c = (RNG.normal(size=20_000).astype(np.float32) for _ in range(3))
    c[::3] = -(a * b)[::3]  # cancellation: only the product's error is left
    exact = a.astype(np.longdouble) * b + c
    assert np.array_equal(fma(a, b, c), exact.astype(np.float32))


def test_batchnorm_against_onnxruntime_differs_by_its_two_roundings_only() -> None:
    """onnxruntime rounds each product: the same folding without fused multiply-add."""
    rng = np.random.default_rng(3)
    for channels in (1, 7, 16):
        op = norm(channels, rng)
        x = (rng.normal(size=(300, channels)) * 10).astype(np.float32)
        names = {"g": op.gamma, "b": op.beta, "m": op.mean, "v": op.var}
        node = helper.make_node("BatchNormalization", ["x", *names], ["y"], epsilon=1e-5)
        ports = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape)] for n in ("x", "y")]
        inits = [numpy_helper.from_array(np.asarray(a), n) for n, a in names.items()]
        model = helper.make_model(
            helper.make_graph([node], "bn", *ports, inits),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=8,
        )
        (ort,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
        alpha = op.alpha()
        assert np.array_equal(ort, x * alpha + (op.beta - op.mean * alpha))
        sizes = np.abs(x * alpha) + np.abs(op.mean * alpha) + np.abs(op.beta)
        bound = 6 * 2.0**-24 * sizes.astype(np.float64)
        assert (np.abs(op.evaluate(x).astype(np.float64) - ort) <= bound).all()


def test_batchnorm_direction_follows_the_sign_of_gamma() -> None:
    op = BatchNorm(np.float32([1, -1, 0]), np.zeros(3), np.zeros(3), np.ones(3))
    assert op.direction().tolist() == [1, -1, 1]
    x = np.sort(RNG.normal(size=(400, 3)).astype(np.float32), axis=0)
    assert (np.diff(op.evaluate(x), axis=0) * op.direction() >= 0).all()


def test_batchnorm_refuses_other_channel_counts() -> None:
    with pytest.raises(UnsupportedModel, match="for 3 channels, its input 4"):
        norm(3, RNG).infer(Value("x", (4,), Real()))
