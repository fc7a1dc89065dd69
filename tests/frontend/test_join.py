"""Arithmetic of two tensors, constants of every shape, Concat, MatMul: against qonnx."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from codesign.plan import partition
from tests.cnn_models import Net
from tests.frontend.checks import agrees, explained, kinds
from tests.frontend.parts import model_of, quant
from tests.frontend.test_conv import refused
from tests.frontend.test_move import ints, started

SETTINGS = settings(derandomize=True, deadline=None, database=None, max_examples=50)
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3)


@SETTINGS
@given(data=st.data(), shape=SHAPES, op=st.sampled_from(["Add", "Sub", "Mul", "Max", "Min", "Sum"]))
def test_two_tensors_with_broadcasting(data: st.DataObject, shape: list[int], op: str) -> None:
    net, x = started(data, shape)
    other = [data.draw(st.sampled_from([n, 1])) for n in shape]
    y = net.node("Slice", x, net.const(np.zeros(len(shape), np.int64)), net.const(ints(*other)),
                 net.const(np.arange(1, len(shape) + 1)))  # fmt: skip
    y = net.quant(y, 5, 0.125)
    if data.draw(st.booleans()) and len(shape) > 1:  # the same tensor, kept in another layout
        perm = [0, *range(len(shape), 0, -1)]
        back = net.node("Transpose", y, perm=perm)
        y = net.node("Transpose", net.node("Relu", back), perm=perm)
    pair = (x, y) if data.draw(st.booleans()) else (y, x)
    agrees(net.model(net.node(op, *pair)), net.inputs(3))


@SETTINGS
@given(data=st.data(), shape=SHAPES, op=st.sampled_from(["Add", "Sub", "Mul", "Div"]))
def test_a_constant_of_any_shape(data: st.DataObject, shape: list[int], op: str) -> None:
    net, x = started(data, shape)
    grow = data.draw(st.booleans())
    sizes = [data.draw(st.sampled_from([n, 1] if n > 1 or not grow else [1, 3])) for n in shape]
    sizes = sizes[data.draw(st.integers(0, len(shape))) :]
    if data.draw(st.booleans()):
        sizes = [1] * (len(shape) + 1 - len(sizes)) + sizes
    array = net.rng.choice([0.25, 0.5, -2.0, 4.0], sizes).astype(np.float32)
    left = data.draw(st.booleans()) and op != "Div"
    pair = (net.const(array), x) if left else (x, net.const(array))
    agrees(net.model(net.node(op, *pair)), net.inputs(3))


@SETTINGS
@given(data=st.data(), shape=SHAPES)
def test_concat(data: st.DataObject, shape: list[int]) -> None:
    net, x = started(data, shape)
    axis = data.draw(st.integers(1, len(shape)))
    scale = data.draw(st.sampled_from([0.25, 0.5]))
    parts = [x, net.quant(x, 3, scale)]
    if len(shape) > 1:
        perm = [0, *range(len(shape), 0, -1)]
        turned = net.quant(net.node("Transpose", x, perm=perm))
        parts.append(net.node("Transpose", turned, perm=perm))
    named = axis if data.draw(st.booleans()) else axis - len(shape) - 1
    agrees(net.model(net.node("Concat", *parts, axis=named)), net.inputs(3))


def test_a_residual_block_stays_channels_last() -> None:
    net = Net((3, 6, 6))
    x = net.quant("x")
    y = net.quant(net.node("Relu", net.conv(x, 3, 3, (3, 3), pads=[1] * 4)), 4, 0.5, signed=False)
    y = net.conv(y, 3, 3, (3, 3), pads=[1] * 4)
    y = net.quant(net.node("Add", net.quant(y, 4, 0.5), x), 4, 0.5)
    imported = agrees(net.model(net.conv(y, 3, 2, (1, 1))), net.inputs())
    assert kinds(imported) == [
        "rearrange", "quant", "conv", "relu", "quant", "conv", "quant", "combine", "quant", "conv"
    ]  # fmt: skip


def test_squeeze_and_excitation() -> None:
    net = Net((4, 5, 5))
    x = net.quant("x")
    gate = net.quant(net.node("GlobalAveragePool", x), 6, 0.125)
    gate = net.quant(net.conv(gate, 4, 4, (1, 1), bias=True), 4, 0.5, signed=False)
    x = net.quant(net.node("Mul", x, gate), 6, 0.25)
    imported = agrees(net.model(net.conv(x, 4, 2, (3, 3))), net.inputs())
    assert kinds(imported).count("rearrange") == 2  # the input, and the gate spread over pixels


def test_a_skip_through_concat() -> None:
    net = Net((2, 6, 6))
    x = net.quant("x", 4, 0.5)
    y = net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    y = net.quant(net.conv(y, 2, 3, (3, 3), pads=[1] * 4), 4, 0.5)
    y = net.node("Resize", y, "", net.const(np.float32([1, 1, 2, 2])))
    y = net.conv(net.node("Concat", y, x, axis=1), 5, 2, (1, 1))
    imported = agrees(net.model(y), net.inputs())
    assert kinds(imported)[-2:] == ["concat", "conv"]


@pytest.mark.parametrize("shape", [(6,), (3, 6), (2, 3, 6)])
def test_matmul_over_the_last_axis(shape: tuple[int, ...]) -> None:
    net = Net(shape)
    imported = agrees(net.model(net.dense(net.quant("x"), 6, 4)), net.inputs())
    assert kinds(imported) == ["quant", "dense"]


def test_weights_on_the_left() -> None:
    net = Net((6, 3))
    x = net.node("MatMul", net.weights(4, 6), net.quant("x"))
    assert "dense" in kinds(agrees(net.model(x), net.inputs()))
    net = Net((3, 6))
    x = net.node("Transpose", net.quant("x"), perm=[0, 2, 1])
    x = net.node("MatMul", net.weights(4, 6, scale=np.float32([[0.5], [1], [2], [4]])), x)
    imported = agrees(net.model(net.node("Relu", x)), net.inputs())
    assert kinds(imported) == ["quant", "dense", "relu"]


def test_a_dense_layer_over_channels_of_an_image() -> None:
    net = Net((6, 4, 4))
    x = net.quant(net.conv(net.quant("x"), 6, 6, (1, 1)))
    x = net.dense(net.node("Transpose", x, perm=[0, 2, 3, 1]), 6, 5)
    x = net.node("Transpose", x, perm=[0, 3, 1, 2])
    imported = agrees(net.model(net.conv(net.quant(x), 5, 2, (1, 1))), net.inputs())
    assert kinds(imported) == ["rearrange", "quant", "conv", "quant", "dense", "quant", "conv"]


def test_refused_joins() -> None:
    net = Net((2, 3))
    x = net.quant("x")
    refused(net, net.node("MatMul", x, x), "two computed values")
    refused(net, net.node("Add", x, net.const(np.zeros((3, 2)))), "the value \\(batch, 2, 3\\)")
    refused(net, net.node("Add", x, net.node("Flatten", x)), "the batch meets another axis")
    refused(net, net.node("Concat", x, x, axis=0), "the batch cannot be joined")
    refused(net, net.node("Concat", x, net.const(np.zeros((2, 3))), axis=1), "joins a constant")
    refused(net, net.node("Add", x, net.node("Transpose", x, perm=[0, 2, 1])), "do not fit")
    refused(net, net.node("Div", x, net.const(np.float32([1, 0, 1]))), "divides by zero")
    refused(net, net.node("InstanceNormalization", x, x, x), "is not supported")


@pytest.mark.parametrize("end", ["quantized", "exact"])
def test_a_constant_beside_a_value(end: str) -> None:
    """Quantized after the join, or joined as codes where the numbers are codes' values."""
    part = np.float32([0.3, -0.61, 1.27] if end == "quantized" else [0.25, -0.5, 1.0])
    constants = {
        "s": np.float32(0.25),
        "z": np.float32(0),
        "bits": np.float32(5),
        "c": part[None],
        "w": np.float32(np.arange(-13, 14).reshape(9, 3) % 5 - 2) / 4,
    }
    nodes = [
        quant("x", "q"),
        helper.make_node("Concat", ["q", "c"], ["j"], "j", axis=1),
        *([quant("j", "k")] if end == "quantized" else []),
        helper.make_node("MatMul", ["k" if end == "quantized" else "j", "w"], ["m"], "m"),
        quant("m", "y"),
    ]
    x = np.random.default_rng(2).normal(0, 2, (50, 6)).astype(np.float32)
    graph, found = explained(model_of(nodes, constants), x)
    assert not found.explained
    partition(graph)
