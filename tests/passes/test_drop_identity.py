"""Quantizing codes into their own format is a wire, and is still compared."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, helper

from codesign.frontend import import_qonnx
from codesign.ops.requant import Requant
from codesign.passes import lower
from codesign.plan import partition
from tests.frontend.checks import explained
from tests.frontend.parts import QUANT, WEIGHTS, model_of, quant

N = helper.make_node
CONSTANTS = {
    "s": np.float32(0.25),
    "s3": np.float32(0.3),
    "z": np.float32(0),
    "bits": np.float32(4),
    "three": np.float32(3),
    "w": WEIGHTS,
    "v": WEIGHTS[:4],
}


def model(first: object, second: object) -> ModelProto:
    """Two layers, ``first`` writes 'a' from 'm', ``second`` 'b' from 'a'."""
    nodes = [
        quant("x", "q"),
        quant("w", "wq"),
        quant("v", "vq"),
        N("MatMul", ["q", "wq"], ["m"], "m"),
        first,
        second,
        N("MatMul", ["b", "vq"], ["n"], "n"),
        quant("n", "y"),
    ]
    return model_of(nodes, CONSTANTS)


def requantizers(source: ModelProto) -> int:
    x = np.random.default_rng(1).normal(0, 1, (60, 6)).astype(np.float32)
    graph, found = explained(source, x)
    assert {"a", "b", "y"} <= set(found.tensors)
    partition(graph)
    return sum(isinstance(n.op, Requant) for n in graph.nodes)


@pytest.mark.parametrize("scale", ["s", "s3"])
def test_the_same_quantizer_twice_is_one(scale: str) -> None:
    assert requantizers(model(quant("m", "a", scale=scale), quant("a", "b", scale=scale))) == 2


def test_a_bipolar_quantizer_twice_is_one() -> None:
    once = N("BipolarQuant", ["m", "s"], ["a"], "a", domain=QUANT)
    again = N("BipolarQuant", ["a", "s"], ["b"], "b", domain=QUANT)
    assert requantizers(model(once, again)) == 2


@pytest.mark.parametrize(
    "second",
    [
        quant("a", "b", scale="s3"),
        quant("a", "b", bits="three"),
        quant("a", "b", signed=0),
        quant("a", "b", narrow=1),
    ],
    ids=["scale", "bits", "sign", "narrow"],
)
def test_other_quantizers_stay(second: object) -> None:
    assert requantizers(model(quant("m", "a"), second)) == 3


def test_a_circuit_of_nothing_else_keeps_it() -> None:
    graph = lower(import_qonnx(model_of([quant("x", "a"), quant("a", "y")], CONSTANTS)).graph)
    assert len(partition(graph).layers) == 1
