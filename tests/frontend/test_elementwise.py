"""Functions of one value: model = qonnx, and the tabulated circuit = the model on every code."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from codesign.frontend import import_qonnx
from codesign.frontend.execute import execute_batch
from codesign.ir import Graph
from codesign.ops.requant import Requant
from codesign.passes import lower
from codesign.reference import run
from codesign.verify.boundaries import boundaries
from tests.frontend.parts import WEIGHTS, model_of, quant

N = helper.make_node
CONSTANTS = {
    "s": np.float32(0.1),
    "z": np.float32(0),
    "bits": np.float32(6),
    "w": WEIGHTS,
    "bias": np.float32([0.3, -0.4, 0.05, 1.7]),
    "one": np.float32(1),
    "half": np.float32(0.5),
    "root": np.float32(1.4142135),
    "slope": np.float32([0.1, 0.3, -0.2, 1.5]),
    "low": np.float32(-0.7),
    "high": np.float32(1.3),
    "two": np.float32(2),
    "exponent": np.float32(3),
    "sout": np.float32(0.05),
}

CASES = {
    **{
        op: [N(op, ["a"], ["f"])]
        for op in (
            "Sigmoid",
            "Tanh",
            "HardSigmoid",
            "HardSwish",
            "Elu",
            "Selu",
            "Celu",
            "Softplus",
            "Softsign",
            "Erf",
            "Abs",
            "Neg",
            "Exp",
            "Floor",
            "Ceil",
            "Round",
            "Sign",
            "Mish",
            "LeakyRelu",
            "ThresholdedRelu",
            "Relu",
            "Cos",
        )
    },
    "LeakyRelu_alpha": [N("LeakyRelu", ["a"], ["f"], alpha=0.25)],
    "Gelu": [N("Gelu", ["a"], ["f"])],
    "Gelu_tanh": [N("Gelu", ["a"], ["f"], approximate="tanh")],
    "PRelu": [N("PRelu", ["a", "slope"], ["f"])],
    "Clip": [N("Clip", ["a", "low", "high"], ["f"])],
    "Clip_high": [N("Clip", ["a", "", "high"], ["f"])],
    "Min": [N("Min", ["a", "high"], ["f"])],
    "Max": [N("Max", ["slope", "a"], ["f"])],
    "Sqrt": [N("Abs", ["a"], ["p"]), N("Sqrt", ["p"], ["f"])],
    "Log": [N("Abs", ["a"], ["p"]), N("Add", ["p", "one"], ["q"]), N("Log", ["q"], ["f"])],
    "Reciprocal": [N("Exp", ["a"], ["p"]), N("Reciprocal", ["p"], ["f"])],
    "constant_by_value": [N("Exp", ["a"], ["p"]), N("Div", ["two", "p"], ["f"])],
    "Square": [N("Pow", ["a", "two"], ["f"])],
    "Pow": [N("Pow", ["a", "exponent"], ["f"])],
    "Silu": [N("Sigmoid", ["a"], ["p"]), N("Mul", ["a", "p"], ["f"])],
    "Mish_parts": [
        N("Softplus", ["a"], ["p"]),
        N("Tanh", ["p"], ["q"]),
        N("Mul", ["a", "q"], ["f"]),
    ],
    "Gelu_parts": [
        N("Div", ["a", "root"], ["p"]),
        N("Erf", ["p"], ["q"]),
        N("Add", ["q", "one"], ["r"]),
        N("Mul", ["a", "r"], ["t"]),
        N("Mul", ["t", "half"], ["f"]),
    ],
    "skip_inside": [
        N("Relu", ["a"], ["p"]),
        N("Add", ["a", "p"], ["q"]),
        N("Sub", ["q", "half"], ["f"]),
    ],
}


def network(steps: list) -> object:
    nodes = [
        quant("x", "xq"),
        quant("w", "wq"),
        N("MatMul", ["xq", "wq"], ["m"], "m"),
        N("Add", ["m", "bias"], ["a"], "a"),
        *steps,
        quant("f", "y", scale="sout"),
    ]
    for i, node in enumerate(nodes):
        node.name = node.name or f"n{i}"
    return model_of(nodes, CONSTANTS, opset=20)


def frames(seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    codes = rng.integers(-40, 40, (192, 6))
    x = (codes * np.float32(0.1)).astype(np.float32)
    x[64:128] = np.nextafter(x[64:128] + np.float32(0.05), np.float32(np.inf))
    x[0], x[1], x[2], x[3], x[4] = 1e6, -1e6, 1e-30, -1e-30, -0.0
    return x


def requantizer(graph: Graph) -> Requant:
    (op,) = [n.op for n in graph.nodes if isinstance(n.op, Requant)]
    return op


@pytest.mark.parametrize("case", CASES)
def test_model_equals_qonnx_and_circuit(case: str) -> None:
    imported = import_qonnx(network(CASES[case]))
    graph, lowered = imported.graph, lower(imported.graph)
    x = frames()
    points = boundaries(graph, imported.tensor_names)
    keep = [p.value.name for p in points]
    wanted = run(graph, {graph.inputs[0]: x}, keep=keep)
    executed = execute_batch(imported, x, [p.tensor for p in points])
    flips = 0
    for point in points:
        theirs = point.codes(executed[point.tensor])
        flips += int((theirs != wanted[point.value.name].reshape(len(x), -1)).sum())
    assert flips <= 1, "onnxruntime sums floats in its own order"
    got = run(lowered, {lowered.inputs[0]: x})
    assert np.array_equal(got[lowered.outputs[0]], wanted[graph.outputs[0]])
    requantizer(lowered)


def test_a_value_outside_the_domain_is_refused() -> None:
    from codesign.errors import UnsupportedModel

    with pytest.raises(UnsupportedModel, match="not a number"):
        lower(import_qonnx(network([N("Log", ["a"], ["f"])])).graph)
