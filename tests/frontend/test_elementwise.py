"""Functions of one value: model = qonnx, and the tabulated circuit = the model on every code."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from codesign.frontend import import_qonnx
from codesign.ir import Graph
from codesign.ops.requant import Requant
from codesign.passes import lower
from codesign.reference import run
from tests.frontend.checks import explained
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
    model = network(CASES[case])
    graph = import_qonnx(model).graph
    x = frames()
    wanted = run(graph, {graph.inputs[0]: x})
    lowered, found = explained(model, x)
    assert found.explained <= 1, "onnxruntime sums floats in its own order"
    got = run(lowered, {lowered.inputs[0]: x})
    assert np.array_equal(got[lowered.outputs[0]], wanted[graph.outputs[0]])
    requantizer(lowered)


#: The cases that are one function of PyTorch.
TORCH = {
    "Sigmoid": lambda f, a: f.sigmoid(a),
    "Tanh": lambda f, a: f.tanh(a),
    "HardSigmoid": lambda f, a: (a * 0.2 + 0.5).clamp(0, 1),
    "HardSwish": lambda f, a: f.hardswish(a),
    "Elu": lambda f, a: f.elu(a),
    "Selu": lambda f, a: f.selu(a),
    "Celu": lambda f, a: f.celu(a),
    "Softplus": lambda f, a: f.softplus(a, threshold=1e9),
    "Softsign": lambda f, a: f.softsign(a),
    "Erf": lambda f, a: a.erf(),
    "Abs": lambda f, a: a.abs(),
    "Neg": lambda f, a: -a,
    "Exp": lambda f, a: a.exp(),
    "Floor": lambda f, a: a.floor(),
    "Ceil": lambda f, a: a.ceil(),
    "Round": lambda f, a: a.round(),
    "Sign": lambda f, a: a.sign(),
    "Mish": lambda f, a: f.mish(a),
    "LeakyRelu": lambda f, a: f.leaky_relu(a),
    "LeakyRelu_alpha": lambda f, a: f.leaky_relu(a, 0.25),
    "Relu": lambda f, a: f.relu(a),
    "Cos": lambda f, a: a.cos(),
    "Gelu": lambda f, a: f.gelu(a),
    "Gelu_tanh": lambda f, a: f.gelu(a, approximate="tanh"),
    "PRelu": lambda f, a: f.prelu(a, a.new_tensor(CONSTANTS["slope"])),
    "Sqrt": lambda f, a: a.abs().sqrt(),
    "Silu": lambda f, a: f.silu(a),
    "Mish_parts": lambda f, a: f.mish(a),
    "Gelu_parts": lambda f, a: f.gelu(a),
}


@pytest.mark.parametrize("case", TORCH)
def test_torch_is_equal_or_explained(case: str) -> None:
    """PyTorch's own kernel between the two quantizers, on ties and their neighbours."""
    torch = pytest.importorskip("torch")

    def quantized(x: object, scale: str) -> object:
        step = torch.tensor(CONSTANTS[scale])
        return torch.clamp(torch.round(x / step), -32, 31) * step

    x = frames()
    codes = quantized(torch.from_numpy(x), "s")
    weights = quantized(torch.from_numpy(CONSTANTS["w"]), "s")
    a = codes @ weights + torch.from_numpy(CONSTANTS["bias"])
    out = quantized(TORCH[case](torch.nn.functional, a), "sout")
    given = {"xq": codes.numpy(), "y": out.numpy()}
    _, found = explained(network(CASES[case]), x, given)
    assert set(found.tensors) == {"xq", "y"}
    assert found.explained <= len(x) // 20


def test_a_value_outside_the_domain_is_refused() -> None:
    from codesign.errors import UnsupportedModel

    with pytest.raises(UnsupportedModel, match="not a number"):
        lower(import_qonnx(network([N("Log", ["a"], ["f"])])).graph)
