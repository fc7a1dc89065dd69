"""Layouts: what moves and what does not; batches; input formats; Softmax."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto

from codesign import reference
from codesign.errors import UnsupportedModel
from codesign.formats import parse_format
from codesign.frontend import import_qonnx
from codesign.frontend.execute import execute_batch
from codesign.reference.boundaries import boundaries
from tests.cnn_models import Net, cnn
from tests.frontend.checks import agrees, judged, kinds, tensors
from tests.frontend.test_conv import refused
from tests.frontend.test_move import ints, started

SHARED = Path(__file__).parents[2] / ".." / "shared" / "models"
SETTINGS = settings(derandomize=True, deadline=None, database=None, max_examples=50)


@SETTINGS
@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_reshape_transpose_squeeze(data: st.DataObject, shape: list[int]) -> None:
    net, x = started(data, shape)
    for _ in range(3):
        kind = data.draw(st.sampled_from(["Reshape", "Transpose", "Unsqueeze", "Flatten"]))
        if kind == "Reshape":
            size = int(np.prod(shape))
            first = data.draw(st.sampled_from([d for d in range(1, size + 1) if size % d == 0]))
            shape = [first, size // first]
            x = net.node("Reshape", x, net.const(ints(0, first, -1)))
        elif kind == "Transpose":
            order = data.draw(st.permutations(range(len(shape))))
            x = net.node("Transpose", x, perm=[0, *(a + 1 for a in order)])
            shape = [shape[a] for a in order]
        elif kind == "Unsqueeze" and len(shape) < 4:
            axis = data.draw(st.integers(1, len(shape) + 1))
            x = net.node("Unsqueeze", x, net.const(ints(axis)))
            shape = [*shape[: axis - 1], 1, *shape[axis - 1 :]]
        elif kind == "Flatten":
            x, shape = net.node("Flatten", x), [int(np.prod(shape))]
        x = net.node("Relu", x)
    agrees(net.model(x), net.inputs(3))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("pool", ["MaxPool", "AveragePool"])
def test_an_ordinary_cnn_moves_nothing_but_its_input_and_flatten(last: bool, pool: str) -> None:
    model = cnn(channels=2, last=last, pool=pool)
    shape = (10, 10, 2) if last else (2, 10, 10)
    found = kinds(agrees(model, Net(shape).inputs()))
    assert found.count("rearrange") == (0 if last else 2)
    assert (found[0] == "rearrange") != last


def test_one_dimensional_layers_on_a_flat_input() -> None:
    net = Net((16,))
    x = net.node("Unsqueeze", net.quant("x"), net.const(ints(1)))
    x = net.conv(net.quant(net.conv(x, 1, 3, (3,))), 3, 4, (5,), strides=[2])
    x = net.node("Squeeze", net.node("MaxPool", x, kernel_shape=[5]), net.const(ints(2)))
    imported = agrees(net.model(net.node("Relu", x)), net.inputs())
    assert "rearrange" not in kinds(imported)


def test_one_dimensional_layers_become_two_dimensional_for_free() -> None:
    net = Net((3, 8))
    x = net.quant(net.conv(net.quant("x"), 3, 4, (3,)))
    x = net.node("Unsqueeze", x, net.const(ints(2)))
    x = net.quant(net.conv(x, 4, 2, (1, 3)))
    imported = agrees(net.model(net.node("Relu", net.node("Squeeze", x, net.const(ints(2))))),
                      net.inputs())  # fmt: skip
    assert kinds(imported).count("rearrange") == 1


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 3)])
def test_batch_norm(shape: tuple[int, ...]) -> None:
    net = Net(shape)
    x = net.batch_norm(net.quant("x"), 5)
    imported = agrees(net.model(x), net.inputs())
    assert kinds(imported)[-1] == "batchnorm"


def test_scales_and_constants_per_channel() -> None:
    scale = (2.0 ** -np.arange(4)).reshape(1, 4, 1, 1)
    net = Net((3, 5, 5))
    x = net.conv(net.quant("x"), 3, 4, (3, 3))
    x = net.node("Mul", x, net.const(scale))
    x = net.node("Add", x, net.const(scale.reshape(4, 1, 1)))
    imported = agrees(net.model(net.quant(x, 4, scale)), net.inputs())
    assert kinds(imported)[1:] == ["quant", "conv", "mul", "add", "quant"]
    assert imported.graph.values[imported.graph.outputs[0]].format.scale == (1, 0.5, 0.25, 0.125)


@pytest.mark.parametrize("group", [1, 4])
def test_layers_that_read_one_scale_per_channel(group: int) -> None:
    """Depthwise layers may have any scales, others whole multiples of the smallest."""
    scale = [0.5, 0.25, 0.75, 1.5] if group == 1 else [0.3, 0.7, 1.1, 0.013]
    net = Net((4, 5, 5))
    x = net.quant("x", 4, np.float32(scale).reshape(1, 4, 1, 1), 1)
    x = net.conv(x, 4, 8, (3, 3), group=group, bias=True, pads=[1] * 4)
    imported = import_qonnx(net.model(x))
    assert kinds(imported)[2:4] == ["reinterpret", "conv"]
    data = net.inputs()
    found = judged(imported, data)  # qonnx's own float32 sums are explained
    assert not found.mismatches, found.first
    if group == 1:
        agrees(net.model(x), data)
        net = Net((4,))
        x = net.quant("x", 4, np.float32(scale).reshape(1, 4))
        agrees(net.model(net.dense(x, 4, 3)), net.inputs())


def test_scales_that_do_not_fit_one_sum() -> None:
    net = Net((2, 4, 4))
    x = net.quant("x", 4, np.float32([0.3, 0.7]).reshape(1, 2, 1, 1))
    refused(net, net.conv(x, 2, 2, (1, 1)), "no whole multiples")


def test_a_scale_along_another_axis_turns_the_value() -> None:
    net = Net((3, 5))
    x = net.quant("x", 4, np.float32([[[0.25], [0.5], [1]]]))
    imported = agrees(net.model(net.node("Relu", x)), net.inputs())
    assert kinds(imported) == ["rearrange", "quant", "relu"]


def test_boundaries_see_the_files_tensors_in_the_values_layout() -> None:
    imported = import_qonnx(cnn(channels=2))
    x = Net((2, 10, 10)).inputs(6)
    graph = imported.graph
    points = boundaries(graph, imported.tensor_names, imported.tensor_axes)
    names = [p.value.name for p in points]
    found = reference.run(graph, {graph.inputs[0]: x}, keep=names)
    theirs = execute_batch(imported, x, [p.tensor for p in points])
    assert any(p.axes == (2, 0, 1) for p in points)
    for point in points:
        ours = found[point.value.name]
        codes = point.codes(ours) if ours.dtype.kind == "f" else ours.reshape(len(x), -1)
        assert np.array_equal(point.codes(theirs[point.tensor]), codes), point.tensor


def test_boundaries_with_a_scale_per_channel() -> None:
    net = Net((3, 4, 4))
    scale = np.float32([0.3, 0.7, 1.1]).reshape(1, 3, 1, 1)
    x = net.node("MaxPool", net.quant("x", 4, scale), kernel_shape=[1, 1])
    imported = import_qonnx(net.model(x))
    (point, _) = boundaries(imported.graph, imported.tensor_names, imported.tensor_axes)
    data = net.inputs(4)
    codes = reference.run(imported.graph, {"x": data}, keep=[point.value.name])[point.value.name]
    floats = execute_batch(imported, data, [point.tensor])[point.tensor]
    assert np.array_equal(point.codes(floats), codes.reshape(4, -1))


@pytest.mark.parametrize("batch", [1, 3])
def test_batches_through_fixed_shapes(batch: int) -> None:
    net = Net((2, 4, 4), batch=batch)
    x = net.conv(net.quant("x"), 2, 3, (1, 1))
    x = net.node("Resize", x, "", "", net.const(ints(batch, 3, 8, 8)))
    x = net.node("Reshape", x, net.const(ints(batch, 3, 64)))
    x = net.node("ReduceMax", x, net.const(ints(2)))
    x = net.node("Expand", x, net.const(ints(batch, 3, 5)))
    agrees(net.model(net.node("Flatten", x)), net.inputs(7))


def test_only_the_output_is_named_when_nothing_is_computed_between() -> None:
    net = Net((2, 3, 3))
    x = net.node("Transpose", net.quant("x"), perm=[0, 2, 3, 1])
    imported = agrees(net.model(x), net.inputs())
    value = imported.graph.outputs[0]
    assert imported.tensor_names[value] == "quant_4"
    assert tensors(imported, net.inputs(1))["quant_4"].shape == (1, 2, 3, 3)


# input formats -------------------------------------------------------------------------------


def plain() -> Net:
    return Net((6,))


def plain_relu() -> ModelProto:
    net = plain()
    return net.model(net.node("Relu", "x"))


@pytest.mark.parametrize(
    "text",
    [
        "uint6:2^-3:7",
        "int5:0.037:-3:narrow",
        "bipolar:0.3",
        "ternary:0.7",
        "bool",
        "uint4:1:narrow",
    ],
)
def test_an_input_format_is_a_quantizer_for_us_and_for_qonnx(text: str) -> None:
    net = plain()
    x = net.dense(net.quant(net.node("Relu", net.dense("x", 6, 4))), 4, 3)
    model = net.model(x)
    format = parse_format(text)
    imported = import_qonnx(model, input_format=format)
    assert imported.graph.nodes[0].op.out_format == format.codes
    data = net.inputs()
    assert not judged(imported, data).mismatches
    again = import_qonnx(imported.source)  # what is stored beside the design is the same model
    assert again.graph.nodes[0].op.out_format == format.codes
    assert not judged(again, data).mismatches
    with pytest.raises(UnsupportedModel, match="input_format= .*bipolar:0.5"):
        import_qonnx(model)


def test_a_scale_for_each_channel_of_the_input() -> None:
    """Along the channels of an image, or the features of a vector; of a square the first axis."""
    format = parse_format("uint4:0.25,0.5,1")
    net = Net((3, 4, 4))
    imported = import_qonnx(net.model(net.conv("x", 3, 4, (2, 2))), input_format=format)
    assert not judged(imported, net.inputs()).mismatches
    assert "uint4 x per-channel" in {v.format.label() for v in imported.graph.values.values()}
    net = Net((4, 3))
    imported = import_qonnx(net.model(net.dense("x", 3, 4)), input_format=format)
    assert not judged(imported, net.inputs()).mismatches
    net = Net((3, 3))
    imported = import_qonnx(net.model(net.node("Relu", "x")), input_format=format)
    quant = next(n for n in imported.model.graph.node if n.op_type == "Quant")
    scale = next(t for t in imported.model.graph.initializer if t.name == quant.input[1])
    assert list(scale.dims) == [3, 1]
    with pytest.raises(UnsupportedModel, match=r"3 scales, the tensor is \(batch, 6\)"):
        import_qonnx(plain_relu(), input_format=format)


def test_refused_input_formats() -> None:
    net = plain()
    model = net.model(net.dense(net.quant("x"), 6, 4))
    with pytest.raises(UnsupportedModel, match="quantizes its input itself"):
        import_qonnx(model, input_format=parse_format("int8"))


# Softmax -------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_softmax_stays_on_the_host(op: str) -> None:
    net = plain()
    imported = agrees(
        net.model(net.node(op, net.dense(net.quant("x"), 6, 5), axis=1)), net.inputs()
    )
    assert kinds(imported) == ["quant", "dense", "softmax"]
    net = Net((3, 4, 4))
    agrees(net.model(net.node(op, net.conv(net.quant("x"), 3, 5, (1, 1)), axis=1)), net.inputs())


def test_softmax_inside_the_network() -> None:
    net = plain()
    x = net.node("Softmax", net.dense(net.quant("x"), 6, 5))
    assert kinds(agrees(net.model(net.quant(x)), net.inputs()))[-2:] == ["softmax", "quant"]
    net = plain()
    x = net.node("LogSoftmax", net.dense(net.quant("x"), 6, 5))
    refused(net, net.quant(x), "not at the end of the network: 'Quant' follows")


# whole models --------------------------------------------------------------------------------


@pytest.mark.skipif(not SHARED.exists(), reason="../shared is not here")
def test_shared_models() -> None:
    imported = import_qonnx(SHARED / "espcn_w4a4_nn_resize.onnx")
    found = kinds(imported)
    assert found.count("rearrange") == 2  # the input, and the upsampling
    x = np.random.default_rng(0).random((1, 3, 128, 128), dtype=np.float32)
    first = [imported.graph.nodes[2].output]
    ours = reference.run(imported.graph, {imported.graph.inputs[0]: x}, keep=first)[first[0]]
    points = boundaries(imported.graph, imported.tensor_names, imported.tensor_axes)
    point = next(p for p in points if p.value.name == first[0])
    theirs = execute_batch(imported, x, [point.tensor])[point.tensor]
    assert np.array_equal(point.codes(theirs), ours.reshape(1, -1))


@pytest.mark.skipif(not SHARED.exists(), reason="../shared is not here")
def test_jet_tagging_needs_an_input_format() -> None:
    path = SHARED / "jet_tagging_w6a6.onnx"
    imported = import_qonnx(path, input_format=parse_format("int16:2^-10"))
    x = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    ours = tensors(imported, x)
    for name, array in execute_batch(imported, x, list(ours)).items():
        assert np.array_equal(ours[name], array), name
    assert imported.graph.nodes[-1].op.kind == "softmax"


def test_casts() -> None:
    net = plain()
    agrees(net.model(net.node("Relu", net.node("Cast", net.quant("x"), to=1))), net.inputs())
    refused(net, net.node("Cast", net.quant("x"), to=TensorProto.INT8), "to INT8")


def test_transposing_the_batch_is_refused() -> None:
    net = Net((2, 3), batch=2)
    refused(net, net.node("Transpose", net.quant("x"), perm=[1, 0, 2]), "moves the batch axis")
