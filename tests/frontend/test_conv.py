"""Convolutions of every shape against qonnx, tensor by tensor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codesign.errors import UnsupportedModel
from codesign.frontend import import_qonnx
from codesign.ops.conv import Conv
from tests.cnn_models import Net
from tests.frontend.checks import agrees, kinds

SETTINGS = settings(derandomize=True, deadline=None, database=None, max_examples=50)
AUTO = ("VALID", "SAME_UPPER", "SAME_LOWER")


@st.composite
def windows(draw: st.DrawFn, rank: int, kernel: int = 4) -> dict[str, object]:
    """Attributes of a convolution, and the spatial sizes it fits."""

    def each(low: int, high: int, count: int = rank) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    found: dict[str, object] = {
        "kernel": tuple(each(1, kernel)), "strides": each(1, 3), "dilations": each(1, 2),
    }  # fmt: skip
    extents = [(k - 1) * d + 1 for k, d in zip(found["kernel"], found["dilations"], strict=True)]
    found["sizes"] = tuple(e + draw(st.integers(0, 5)) for e in extents)
    auto = draw(st.sampled_from(("NOTSET", "NOTSET", *AUTO)))
    if auto == "NOTSET":
        found["pads"] = each(0, 2, 2 * rank)
    else:
        found["auto_pad"] = auto
        found["dilations"] = [1] * rank  # onnxruntime refuses both
        found["sizes"] = tuple(s + 4 for s in found["sizes"])
    return found


@SETTINGS
@given(data=st.data(), rank=st.sampled_from([1, 2]), seed=st.integers(0, 99))
def test_conv(data: st.DataObject, rank: int, seed: int) -> None:
    window = data.draw(windows(rank))
    kernel, sizes = window.pop("kernel"), window.pop("sizes")
    group = data.draw(st.sampled_from([1, 2, 3]))
    channels, out = group * data.draw(st.integers(1, 2)), group * data.draw(st.integers(1, 3))
    per_channel = data.draw(st.booleans())
    scale = 2.0 ** -np.arange(out).reshape(-1, *[1] * (rank + 1)) if per_channel else 0.125
    net = Net((channels, *sizes), seed=seed)
    x = net.quant("x", 4, 0.25, data.draw(st.sampled_from([0, 2])))
    bias = data.draw(st.booleans())
    x = net.conv(x, channels, out, kernel, bias=bias, group=group, scale=scale, **window)
    imported = agrees(net.model(x), net.inputs(3))
    inside = [k for k in kinds(imported) if k not in ("rearrange", "reshape")]
    assert inside == ["quant", "conv", *(["add"] if bias else [])]
    assert kinds(imported)[-len(inside) :] == inside  # turned before, on the host


@SETTINGS
@given(data=st.data(), rank=st.sampled_from([1, 2]), seed=st.integers(0, 99))
def test_conv_transpose(data: st.DataObject, rank: int, seed: int) -> None:
    def each(low: int, high: int, count: int = rank) -> list[int]:
        return data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    strides, dilations, kernel = each(1, 3), each(1, 2), tuple(each(1, 4))
    sizes, pads = each(1, 4), each(0, 3, 2 * rank)
    extra = [data.draw(st.integers(0, s - 1)) for s in strides]
    group = data.draw(st.sampled_from([1, 2]))
    channels, out = group * data.draw(st.integers(1, 2)), group * data.draw(st.integers(1, 2))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    full = [s * (n - 1) + e + r for s, n, e, r in zip(strides, sizes, extra, reach, strict=True)]
    assume(all(f - pads[i] - pads[rank + i] > 0 for i, f in enumerate(full)))
    net = Net((channels, *sizes), seed=seed)
    attrs: dict[str, object] = {"strides": strides, "dilations": dilations, "output_padding": extra}
    kind = data.draw(st.sampled_from(["pads", "pads", "SAME_UPPER", "SAME_LOWER", "shape"]))
    if kind == "pads":
        attrs["pads"] = pads
    elif kind == "shape":
        attrs["output_shape"] = [f - data.draw(st.integers(0, f - 1)) for f in full]
        attrs["output_padding"] = [0] * rank
    else:
        attrs["auto_pad"] = kind
        attrs["output_padding"] = [0] * rank
        assume(all(r >= s for r, s in zip(reach, strides, strict=True)))
    x = net.conv(
        net.quant("x"), channels, out, kernel, op="ConvTranspose", group=group,
        bias=data.draw(st.booleans()), **attrs,
    )  # fmt: skip
    try:
        imported = import_qonnx(net.model(x))
    except UnsupportedModel as error:
        assert "leave no input" in str(error)  # every output reads zeros only
        return
    agrees(imported.source, net.inputs(3))


def test_a_transposed_kernel_with_one_scale_per_output_channel() -> None:
    net = Net((2, 3, 3))
    scale = np.float32([0.5, 0.25, 0.125]).reshape(1, 3, 1, 1)
    x = net.conv(net.quant("x"), 2, 3, (2, 2), op="ConvTranspose", scale=scale, strides=[2, 2])
    imported = agrees(net.model(x), net.inputs())
    assert imported.graph.nodes[-1].op.weight_scale.tolist() == [0.5, 0.25, 0.125]


def test_zeros_padded_in_front_of_a_conv_become_its_own() -> None:
    """Also through the chain of constants that ``ZeroPad2d`` exports."""
    net = Net((2, 5, 6))
    pads = net.const(np.array([[1, 2], [0, 1]]))  # torch's order: last axis first
    zeros = net.node("Cast", net.node("ConstantOfShape", net.const(np.array([4]))), to=7)
    flat = net.node("Reshape", pads, net.const(np.array([-1])))
    table = net.node("Concat", flat, zeros, axis=0)
    table = net.node("Reshape", table, net.const(np.array([-1, 2])))
    table = net.node(
        "Slice", table, net.const(np.array([-1])), net.const(np.array([-9])),
        net.const(np.array([0])), net.const(np.array([-1])),
    )  # fmt: skip
    table = net.node(
        "Reshape", net.node("Transpose", table, perm=[1, 0]), net.const(np.array([-1]))
    )
    table = net.node("Cast", table, to=7)
    x = net.node("Pad", net.quant("x"), table, net.const(np.float32(0)))
    x = net.conv(x, 2, 3, (3, 3), pads=[1, 0, 0, 1])
    imported = agrees(net.model(x), net.inputs())
    assert kinds(imported) == ["rearrange", "quant", "conv"]
    assert imported.graph.nodes[-1].op.pads == (1, 1, 1, 3)


def test_padding_read_by_something_else_too_stays() -> None:
    net = Net((2, 5, 6))
    x = net.node("Pad", net.quant("x"), net.const(np.array([0, 0, 1, 1, 0, 0, 1, 1])))
    x = net.node("Add", net.conv(x, 2, 2, (1, 1)), x)
    assert kinds(agrees(net.model(x), net.inputs())).count("rearrange") == 2


def test_channels_last_files_need_no_rearrange() -> None:
    net = Net((5, 6, 3))
    x = net.node("Transpose", net.quant("x"), perm=[0, 3, 1, 2])
    x = net.node("Transpose", net.conv(x, 3, 4, (3, 3)), perm=[0, 2, 3, 1])
    imported = agrees(net.model(x), net.inputs())
    assert kinds(imported) == ["quant", "conv"]


def test_two_convolutions_share_one_rearrange() -> None:
    net = Net((24,))
    x = net.node("Reshape", net.quant("x"), net.const(np.array([1, 2, 3, 4])))
    x = net.node("Add", net.conv(x, 2, 3, (1, 1)), net.conv(x, 2, 3, (1, 1)))
    imported = agrees(net.model(x), net.inputs())
    assert kinds(imported).count("rearrange") == 1


def test_weights_that_are_whole_numbers() -> None:
    net = Net((1, 4, 4))
    weights = net.const(net.rng.integers(-3, 4, (2, 1, 3, 3)).astype(np.float32))
    imported = agrees(net.model(net.node("Conv", net.quant("x"), weights)), net.inputs())
    conv = imported.graph.nodes[-1].op
    assert isinstance(conv, Conv)
    assert conv.weight_scale.tolist() == [1.0]


def refused(net: Net, x: str, message: str) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        import_qonnx(net.model(x))


def test_refused_convolutions() -> None:
    net = Net((2, 4, 4, 4))
    refused(net, net.conv(net.quant("x"), 2, 2, (1, 1, 1)), "one or two spatial axes")
    net = Net((2, 4, 4))
    refused(net, net.conv(net.quant("x"), 2, 2, (5, 5)), "does not fit")
    refused(net, net.conv(net.quant("x"), 2, 2, (1, 1), strides=[0, 1]), "'strides'")
    refused(net, net.conv(net.quant("x"), 2, 2, (1, 1), auto_pad="SAME"), "'auto_pad'")
    refused(net, net.conv(net.quant("x"), 4, 2, (1, 1)), "meet 2 channels")
    refused(net, net.conv("x", 2, 2, (1, 1)), "the network input, which is not quantized")
    refused(net, net.node("Conv", net.quant("x"), net.quant("x")), "not constant")
    same = {"op": "ConvTranspose", "strides": [2, 2], "auto_pad": "SAME_UPPER"}
    refused(net, net.conv(net.quant("x"), 2, 2, (1, 1), **same), "smaller than the stride")
    soft = net.node("Sigmoid", net.conv(net.quant("x"), 2, 2, (1, 1)))
    refused(net, net.conv(soft, 2, 2, (1, 1)), "a value that is not quantized")
