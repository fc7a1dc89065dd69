"""Weights without a quantizer, and activations with a scale per channel before depthwise layers."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, helper

from codesign.errors import UnsupportedModel
from codesign.frontend import import_qonnx
from codesign.frontend.weights import power_of_two
from codesign.ops.dense import Dense
from tests.frontend.checks import explained
from tests.frontend.parts import model_of, quant

N = helper.make_node
RNG = np.random.default_rng(12)


def dense(weights: np.ndarray) -> ModelProto:
    constants = {"s": np.float32(0.3), "z": np.float32(0), "bits": np.float32(5), "w": weights}
    nodes = [quant("x", "q"), N("MatMul", ["q", "w"], ["m"], "m"), quant("m", "y")]
    return model_of(nodes, constants)


@pytest.mark.parametrize("step", [1.0, 0.5, 2.0**-7, 2.0**-12])
def test_multiples_of_a_power_of_two_are_integers(step: float) -> None:
    codes = RNG.integers(-90, 91, (6, 4))
    codes[0, 0] = 91  # odd: the step cannot be larger
    model = dense((codes * step).astype(np.float32))
    (op,) = [n.op for n in import_qonnx(model).graph.nodes if isinstance(n.op, Dense)]
    assert np.array_equal(op.weights, codes.T)
    assert (op.weight_scale == step).all()
    explained(model, RNG.normal(0, 2, (60, 6)).astype(np.float32))


@pytest.mark.parametrize("weights", [RNG.normal(0, 1, (6, 4)), np.full((6, 4), 0.1)])
def test_trained_floats_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(UnsupportedModel, match="not quantized"):
        import_qonnx(dense(weights.astype(np.float32)))


def test_steps() -> None:
    assert power_of_two(np.zeros(3)) == 1.0
    assert power_of_two(np.array([3.0, -1.5])) == 0.5
    assert power_of_two(np.array([2.0**-20, 2.0**-21])) == 2.0**-21
    assert power_of_two(np.array([1.0, 2.0**-30])) == 1.0


@pytest.mark.parametrize("pads", [0, 1])
def test_any_scale_per_channel_before_a_depthwise_layer(pads: int) -> None:
    constants = {
        "s": np.float32([0.3, 0.17, 0.9]).reshape(1, 3, 1, 1),
        "so": np.float32(0.7),
        "z": np.float32(0),
        "bits": np.float32(4),
        "w": RNG.normal(0, 1, (6, 1, 3, 3)).astype(np.float32),
    }
    nodes = [
        quant("x", "q"),
        quant("w", "wq", scale="so"),
        N("Conv", ["q", "wq"], ["c"], "c", group=3, pads=[pads] * 4),
        quant("c", "y", scale="so"),
    ]
    model = model_of(nodes, constants, shape=(1, 3, 6, 6))
    explained(model, RNG.normal(0, 1, (40, 3, 6, 6)).astype(np.float32))
