"""Pooling and reductions against qonnx, tensor by tensor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import UnsupportedModel
from codesign.frontend import import_qonnx
from tests.cnn_models import Net
from tests.frontend.checks import agrees, kinds
from tests.frontend.test_conv import refused

SETTINGS = settings(derandomize=True, deadline=None, database=None, max_examples=60)


@st.composite
def pools(draw: st.DrawFn, rank: int) -> dict[str, object]:
    """Attributes of a pool, and ``sizes`` it fits."""

    def each(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))

    kernel = each(1, 4)
    found: dict[str, object] = {"kernel_shape": kernel, "strides": each(1, 4)}
    if draw(st.booleans()):
        found["dilations"] = each(1, 2)
    dilations = found.get("dilations", [1] * rank)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    found["sizes"] = tuple(e + draw(st.integers(0, 6)) for e in extents)
    if draw(st.booleans()):
        found["pads"] = [draw(st.integers(0, (k - 1) // 2)) for k in kernel * 2]
    found["ceil_mode"] = int(draw(st.booleans()))
    return found


@SETTINGS
@given(data=st.data(), rank=st.sampled_from([1, 2]), seed=st.integers(0, 9))
def test_max_pool(data: st.DataObject, rank: int, seed: int) -> None:
    attrs = data.draw(pools(rank))
    net = Net((2, *attrs.pop("sizes")), seed=seed)
    x = net.quant("x") if data.draw(st.booleans()) else "x"
    agrees(net.model(net.node("MaxPool", x, **attrs)), net.inputs(3))


@SETTINGS
@given(data=st.data(), rank=st.sampled_from([1, 2]), seed=st.integers(0, 9))
def test_average_pool(data: st.DataObject, rank: int, seed: int) -> None:
    attrs = data.draw(pools(rank))
    attrs["count_include_pad"] = int(data.draw(st.booleans()))
    net = Net((2, *attrs.pop("sizes")), seed=seed)
    x = net.quant("x", 4, 0.25, data.draw(st.sampled_from([0, 3])))
    imported = agrees(net.model(net.node("AveragePool", x, **attrs)), net.inputs(3))
    assert "sum_pool" in kinds(imported)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_automatic_padding(op: str, auto_pad: str) -> None:
    for size, kernel, stride in [(7, 3, 2), (6, 4, 3), (5, 2, 1), (9, 2, 4)]:
        net = Net((2, size, size + 1))
        x = net.node(
            op, net.quant("x"), kernel_shape=[kernel] * 2, strides=[stride] * 2, auto_pad=auto_pad
        )
        agrees(net.model(x), net.inputs())


def test_zeros_in_front_of_an_average_count() -> None:
    """How the TorchScript exporter writes count_include_pad."""
    net = Net((2, 5, 6))
    pads = net.const(np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    x = net.node("Pad", net.quant("x", 4, 0.25, 2), pads)
    x = net.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2])
    imported = agrees(net.model(x), net.inputs())
    assert kinds(imported) == ["rearrange", "quant", "sum_pool", "div"]
    x = net.node("Pad", net.quant("x"), pads)
    x = net.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    assert kinds(agrees(net.model(x), net.inputs()))[2] == "rearrange"


def test_counts_differ_at_the_border() -> None:
    net = Net((2, 5, 5))
    attrs = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
    x = net.node("AveragePool", net.quant("x"), count_include_pad=0, **attrs)
    divide = agrees(net.model(x), net.inputs()).graph.nodes[-1].op
    assert divide.value.reshape(3, 3).tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 7), (3, 1, 1)])
def test_global_pools(op: str, shape: tuple[int, ...]) -> None:
    net = Net(shape)
    x = net.node("Flatten", net.node(op, net.quant("x")))
    imported = agrees(net.model(net.dense(net.quant(x), 3, 2)), net.inputs())
    assert "rearrange" not in kinds(imported)[1:]


@SETTINGS
@given(data=st.data(), seed=st.integers(0, 9))
def test_reductions(data: st.DataObject, seed: int) -> None:
    rank = data.draw(st.integers(1, 3))
    shape = data.draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank))
    axes = sorted(data.draw(st.sets(st.integers(1, rank), min_size=1)))
    opset = data.draw(st.sampled_from([13, 19]))
    op = data.draw(st.sampled_from(["ReduceMean", "ReduceSum", "ReduceMax"]))
    keep = data.draw(st.booleans())
    net = Net(tuple(shape), seed=seed, opset=opset)
    x = net.quant("x")
    if rank > 1 and data.draw(st.booleans()):  # in another layout
        x = net.node("Transpose", x, perm=[0, *data.draw(st.permutations(range(1, rank + 1)))])
    named = [a if data.draw(st.booleans()) else a - rank - 1 for a in axes]
    if op == "ReduceSum" or opset >= 18:
        x = net.node(op, x, net.const(np.array(named)), keepdims=int(keep))
    else:
        x = net.node(op, x, axes=named, keepdims=int(keep))
    if not keep and len(axes) == rank:
        return  # one number a frame: tested below
    imported = agrees(net.model(x), net.inputs(3))
    assert "rearrange" not in kinds(imported)


def test_the_mean_of_everything() -> None:
    net = Net((2, 3))
    x = net.node("ReduceMean", net.quant("x"), net.const(np.array([1, 2])), keepdims=0)
    imported = agrees(net.model(x), net.inputs())
    assert imported.graph.values[imported.graph.outputs[0]].shape == ()


def test_refused_pools() -> None:
    net = Net((2, 4, 4))
    mean = net.node("AveragePool", "x", kernel_shape=[2, 2])
    refused(net, mean, "the network input, which is not quantized")
    relu = net.node("Relu", net.batch_norm(net.quant("x"), 2))
    refused(net, net.node("GlobalAveragePool", relu), "a value that is not quantized")
    refused(net, net.node("MaxPool", net.quant("x")), "'kernel_shape' is missing")
    pool = net.node("MaxPool", net.quant("x"), kernel_shape=[2, 2], outputs=2)
    net.node("Relu", pool[1])
    refused(net, pool[0], "its indices are used")
    for axes, message in ([0, 1], "the batch"), ([], "every axis"), ([1, -3], "each axis once"):
        x = net.node("ReduceMax", net.quant("x"), net.const(np.array(axes, dtype=np.int64)))
        refused(net, x, message)
    with pytest.raises(UnsupportedModel, match="does not fit"):
        import_qonnx(net.model(net.node("MaxPool", net.quant("x"), kernel_shape=[5, 5])))
