"""Exact steps between a quantizer and a layer need no quantizer of their own."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from codesign.errors import UnsupportedModel
from codesign.frontend import import_qonnx
from codesign.plan import partition
from tests.frontend.checks import explained
from tests.frontend.parts import model_of, quant

N = helper.make_node
RNG = np.random.default_rng(9)
CONSTANTS = {
    "p2": np.float32(0.25),
    "odd": np.float32(0.3),
    "channel": np.float32([0.25, 0.5, 0.125]).reshape(1, 3, 1, 1),
    "z": np.float32(0),
    "zp": np.float32(3),
    "bits": np.float32(4),
    "low": np.float32(-0.5),
    "high": np.float32(1.0),
    "two": np.float32(2),
    "gain": np.float32(1.7),
    "k": RNG.normal(0, 1, (4, 3, 2, 2)).astype(np.float32),
    "w": RNG.normal(0, 1, (3 * 36, 5)).astype(np.float32),
}
STEPS = {
    "relu": [N("Relu", ["q"], ["f"])],
    "clip": [N("Clip", ["q", "low", "high"], ["f"])],
    "neg": [N("Neg", ["q"], ["f"])],
    "abs": [N("Abs", ["q"], ["f"])],
    "twice": [N("Mul", ["q", "two"], ["f"])],
    "half": [N("Div", ["q", "two"], ["f"])],
    "leaky": [N("LeakyRelu", ["q"], ["f"], alpha=0.25)],
    "pooled": [
        N("Relu", ["q"], ["r"]),
        N("MaxPool", ["r"], ["f"], kernel_shape=[2, 2], pads=[0, 0, 1, 1]),
    ],
    "mean": [N("AveragePool", ["q"], ["f"], kernel_shape=[2, 2])],
    "joined": [
        N("Relu", ["q"], ["r"]),
        N("Abs", ["q"], ["t"]),
        N("Concat", ["r", "t"], ["j"], axis=2),
        N("MaxPool", ["j"], ["f"], kernel_shape=[2, 1]),
    ],
}


def network(steps: list, layer: str, scale: str = "p2", zero: str = "z") -> object:
    ends = [N("Flatten", ["f"], ["v"]), N("MatMul", ["v", "wq"], ["g"])]
    if layer == "conv":
        ends = [N("Conv", ["f", "kq"], ["g"])]
    used = {i for n in [*steps, *ends] for i in n.input}
    nodes = [
        quant("x", "q", scale=scale, zero=zero),
        *([quant("k", "kq", scale="odd")] if "kq" in used else []),
        *([quant("w", "wq", scale="odd")] if "wq" in used else []),
        *steps,
        *ends,
        quant("g", "y"),
    ]
    for i, node in enumerate(nodes):
        node.name = f"n{i}"
    constants = {**CONSTANTS, "s": np.float32(0.4)}
    return model_of(nodes, constants, shape=(1, 3, 6, 6))


def frames() -> np.ndarray:
    return RNG.normal(0, 1, (40, 3, 6, 6)).astype(np.float32)


@pytest.mark.parametrize("scale", ["p2", "odd"])
@pytest.mark.parametrize("step", STEPS)
def test_a_convolution_reads_exact_values(step: str, scale: str) -> None:
    if scale == "odd" and step in ("mean", "clip"):
        pytest.skip("bounds between codes; the sum of four rounds in float32")
    graph, found = explained(network(STEPS[step], "conv", scale), frames())
    assert found.codes
    partition(graph)


@pytest.mark.parametrize("step", ["relu", "clip", "abs"])
def test_a_dense_layer_reads_exact_values(step: str) -> None:
    graph, _ = explained(network(STEPS[step], "dense"), frames())
    partition(graph)


def test_zero_points_and_scales_per_channel() -> None:
    explained(network(STEPS["relu"], "conv", zero="zp"), frames())
    graph, _ = explained(network(STEPS["relu"], "conv", scale="channel"), frames())
    partition(graph)


@pytest.mark.parametrize(
    "steps",
    [[N("Mul", ["q", "gain"], ["f"])], [N("Sigmoid", ["q"], ["f"])]],
    ids=["mul", "sigmoid"],
)
def test_what_lies_on_no_grid_is_refused(steps: list) -> None:
    with pytest.raises(UnsupportedModel, match="not quantized"):
        import_qonnx(network(steps, "conv"))
