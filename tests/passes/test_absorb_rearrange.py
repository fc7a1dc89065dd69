"""Permutations vanish into dense layers; the numbers stay the same."""

from __future__ import annotations

import numpy as np
import pytest

from codesign import reference
from codesign.frontend import Imported, import_qonnx
from codesign.ir import Graph, verify
from codesign.passes.absorb_rearrange import AbsorbRearrange
from tests.cnn_models import Net, cnn


def absorbed(imported: Imported, x: np.ndarray) -> Graph:
    """The graph after the pass; every value kept under its name must keep its codes."""
    before, after = imported.graph, AbsorbRearrange().call(imported.graph)
    verify(after)
    names = [n for n in after.values if n in before.values and n not in before.inputs]
    given = {before.inputs[0]: x}
    old, new = (reference.run(g, given, keep=names) for g in (before, after))
    for name in names:
        assert np.array_equal(old[name], new[name]), name
    return after


def kinds(graph: Graph) -> list[str]:
    return [n.op.kind for n in graph.nodes]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("pool", ["MaxPool", "AveragePool"])
def test_no_rearrange_is_left_in_an_ordinary_cnn(last: bool, pool: str) -> None:
    imported = import_qonnx(cnn(channels=3, last=last, pool=pool))
    x = np.random.default_rng(0).normal(size=(4, *imported.graph.values["x"].shape))
    graph = absorbed(imported, x.astype(np.float32))
    first = 0 if last else 1  # a channels-first input is turned on the host
    assert "rearrange" not in kinds(graph)[first:]


def test_through_quantizer_and_relu() -> None:
    net = Net((3, 4, 4))
    x = net.conv(net.quant("x"), 3, 4, (3, 3))
    x = net.node("Flatten", net.node("Relu", x))
    x = net.dense(net.quant(x, 4, 0.5, signed=False), 16, 5)
    graph = absorbed(import_qonnx(net.model(x)), net.inputs())
    assert "rearrange" not in kinds(graph)[1:]
    assert any(name.endswith("_permuted") for name in graph.values)


def test_a_scale_per_element_is_in_the_way() -> None:
    net = Net((3, 4, 4))
    x = net.node("Flatten", net.conv(net.quant("x"), 3, 4, (3, 3)))
    x = net.node("Mul", x, net.const(np.arange(1.0, 17.0)))
    x = net.dense(net.quant(x, 4, 0.5), 16, 5)
    graph = absorbed(import_qonnx(net.model(x)), net.inputs())
    assert "rearrange" in kinds(graph)[1:]


def test_behind_a_dense_layer() -> None:
    net = Net((6,))
    x = net.dense(net.quant("x"), 6, 18)
    x = net.node("Add", x, net.const(np.arange(18.0) / 8))
    x = net.quant(x, 4, 0.5)
    x = net.node("Reshape", x, net.const(np.array([1, 2, 3, 3])))
    x = net.conv(x, 2, 3, (2, 2), bias=True)
    graph = absorbed(import_qonnx(net.model(x)), net.inputs())
    assert "rearrange" not in kinds(graph)


def test_two_readers_keep_it() -> None:
    net = Net((3, 4, 4))
    x = net.node("Flatten", net.quant(net.conv(net.quant("x"), 3, 4, (3, 3)), 4, 1.0))
    x = net.node("Add", net.dense(x, 16, 5), net.dense(x, 16, 5))
    graph = absorbed(import_qonnx(net.model(x)), net.inputs())
    assert "rearrange" in kinds(graph)[1:]
