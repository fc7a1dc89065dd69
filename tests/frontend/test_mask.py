"""Conditions inside element-wise functions, and sums of several values."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from codesign.ops.join import Join
from codesign.ops.requant import Requant
from codesign.ops.table_join import TableJoin
from tests.frontend.checks import explained
from tests.frontend.parts import WEIGHTS, model_of, quant

N = helper.make_node
CONSTANTS = {
    "s": np.float32(0.1),
    "z": np.float32(0),
    "bits": np.float32(6),
    "w": WEIGHTS,
    "v": -WEIGHTS[::-1].copy(),
    "zero": np.float32(0),
    "one": np.float32(1),
    "low": np.float32([-0.7, -0.2, -1.1, 0.1]),
    "high": np.float32(1.3),
}
SOFT = [N("Exp", ["a"], ["e"]), N("Add", ["e", "one"], ["p"]), N("Log", ["p"], ["l"])]
ONE_ORIGIN = {
    "softplus": [*SOFT, N("Greater", ["a", "high"], ["m"]), N("Where", ["m", "a", "l"], ["f"])],
    "hardtanh": [
        N("Less", ["a", "low"], ["m"]),
        N("Where", ["m", "low", "a"], ["t"]),
        N("GreaterOrEqual", ["t", "high"], ["n"]),
        N("Where", ["n", "high", "t"], ["f"]),
    ],
    "constant_first": [
        N("LessOrEqual", ["low", "a"], ["m"]),
        N("Where", ["m", "a", "zero"], ["f"]),
    ],
    "both": [
        N("Greater", ["a", "low"], ["m"]),
        N("Less", ["a", "high"], ["n"]),
        N("And", ["m", "n"], ["o"]),
        N("Not", ["o"], ["i"]),
        N("Or", ["i", "m"], ["k"]),
        N("Where", ["o", "one", "a"], ["t"]),
        N("Where", ["k", "t", "zero"], ["f"]),
    ],
    "mask_as_number": [
        N("Greater", ["a", "zero"], ["m"]),
        N("Cast", ["m"], ["c"], to=TensorProto.FLOAT),
        N("Mul", ["a", "c"], ["f"]),
    ],
    "equal": [
        N("Relu", ["a"], ["r"]),
        N("Equal", ["a", "r"], ["m"]),
        N("Where", ["m", "one", "a"], ["f"]),
    ],
    "sum": [N("Neg", ["a"], ["n"]), N("Sum", ["high", "a", "n", "low"], ["f"])],
    "mean": [N("Relu", ["a"], ["r"]), N("Mean", ["a", "r", "a", "low"], ["f"])],
}
TWO_ORIGINS = {
    "larger": [N("Greater", ["a", "b"], ["m"]), N("Where", ["m", "a", "b"], ["f"])],
    "gated": [N("Greater", ["a", "zero"], ["m"]), N("Where", ["m", "b", "a"], ["f"])],
    "equal": [N("Equal", ["a", "b"], ["m"]), N("Where", ["m", "one", "b"], ["f"])],
    "mean": [N("Mean", ["a", "b"], ["f"])],
}


def frames() -> np.ndarray:
    rng = np.random.default_rng(4)
    return (rng.integers(-40, 40, (300, 6)) * np.float32(0.1)).astype(np.float32)


def network(steps: list, *, two: bool = False) -> object:
    nodes = [
        quant("x", "xq"),
        quant("w", "wq"),
        N("MatMul", ["xq", "wq"], ["mm"], "mm"),
        *([quant("mm", "a")] if two else [N("Add", ["mm", "zero"], ["a"], "a")]),
    ]
    if two:
        nodes += [quant("v", "vq"), N("MatMul", ["xq", "vq"], ["mv"], "mv"), quant("mv", "b")]
    nodes += [N(s.op_type, s.input, s.output) for s in steps]
    for old, new in zip(steps, nodes[-len(steps) :], strict=True):
        new.CopyFrom(old)
    nodes.append(quant("f", "y"))
    for i, node in enumerate(nodes):
        node.name = node.name or f"n{i}"
    return model_of(nodes, CONSTANTS, opset=17)


@pytest.mark.parametrize("case", ONE_ORIGIN)
def test_one_value_is_tabulated(case: str) -> None:
    graph, found = explained(network(ONE_ORIGIN[case]), frames())
    assert sum(isinstance(n.op, Requant) for n in graph.nodes) == 1
    assert found.codes


@pytest.mark.parametrize("case", TWO_ORIGINS)
def test_two_values_are_joined(case: str) -> None:
    graph, _ = explained(network(TWO_ORIGINS[case], two=True), frames())
    assert any(isinstance(n.op, Join | TableJoin) for n in graph.nodes)
