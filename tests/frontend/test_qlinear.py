"""onnxruntime's own integer operators, as its static quantizer writes them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto

from codesign.errors import UnsupportedModel
from codesign.frontend import import_qonnx
from codesign.ops.join import Join
from codesign.ops.table_join import TableJoin
from codesign.plan import partition
from tests.frontend.checks import explained
from tests.qlinear_models import MATMUL, MS, N, qlinear

RNG = np.random.default_rng(6)


def frames(shape: tuple, count: int = 300) -> np.ndarray:
    return (RNG.integers(-140, 260, (count, *shape)) * np.float32(0.037)).astype(np.float32)


def check(proto: ModelProto, shape: tuple = (8,)) -> object:
    graph, found = explained(proto, frames(shape))
    assert found.codes and not found.explained
    partition(graph)
    return graph


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_two_values(op: str, signed: bool) -> None:
    inputs = ["q", "sx", "zx", "m", "sa", "za", "sb", "zb"]
    graph = check(qlinear([MATMUL, N(op, inputs, ["r"], "both", **MS)], signed))
    assert any(isinstance(n.op, Join | TableJoin) for n in graph.nodes)


@pytest.mark.parametrize("scale", ["sx", "sa"])
@pytest.mark.parametrize("op", ["QLinearSigmoid", "QLinearLeakyRelu"])
def test_one_value(op: str, scale: str) -> None:
    attrs = {"alpha": 0.3} if op == "QLinearLeakyRelu" else {}
    x = {"sx": ["q", "sx", "zx"], "sa": ["m", "sa", "za"]}[scale]
    steps = [MATMUL, N(op, [*x, "sb", "zb"], ["r"], "f", **MS, **attrs)]
    check(qlinear(steps, False))


def test_concat() -> None:
    inputs = ["sb", "zb", "q", "sx", "zx", "m", "sa", "za", "q", "sx", "zx"]
    check(qlinear([MATMUL, N("QLinearConcat", inputs, ["r"], "c", axis=1, **MS)], True))


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm(transposed: int) -> None:
    inputs = ["q", "sx", "zx", "w", "sw", "zw", "bias", "sb", "zb"]
    check(qlinear([N("QGemm", inputs, ["r"], "g", transB=transposed, **MS)], False))


@pytest.mark.parametrize("op", ["QLinearAveragePool", "QLinearGlobalAveragePool"])
def test_means(op: str) -> None:
    attrs = {} if "Global" in op else {"kernel_shape": [2, 3], "pads": [0, 1, 0, 1]}
    proto = qlinear(
        [
            N(op, ["q", "sx", "zx", "sb", "zb"], ["p"], "p", **MS, **attrs),
            N("QLinearSigmoid", ["p", "sb", "zb", "sb", "zb"], ["r"], "f", **MS),
        ],
        False,
        (1, 3, 4, 6),
    )
    graph, found = explained(proto, frames((3, 4, 6), 100))
    assert found.codes
    partition(graph)


def test_types_must_agree() -> None:
    inputs = ["q", "sx", "zx", "m", "sa", "za", "sb", "zw"]
    with pytest.raises(UnsupportedModel, match="differ in type"):
        import_qonnx(qlinear([MATMUL, N("QLinearAdd", inputs, ["r"], "a", **MS)], False))


def test_the_domain_counts() -> None:
    inputs = ["q", "sx", "zx", "m", "sa", "za", "sb", "zb"]
    with pytest.raises(UnsupportedModel, match="'QLinearAdd'.* is not supported"):
        import_qonnx(qlinear([MATMUL, N("QLinearAdd", inputs, ["r"], "a")], False))
