"""Operators that move elements, against qonnx, tensor by tensor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codesign.errors import UnsupportedModel
from tests.cnn_models import Net
from tests.frontend.checks import agrees, kinds
from tests.frontend.test_conv import refused

SETTINGS = settings(derandomize=True, deadline=None, database=None, max_examples=50)
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def started(data: st.DataObject, shape: list[int], *, zero: bool = False) -> tuple[Net, str]:
    """A net whose current tensor has ``shape``, quantized or not, perhaps in another layout."""
    rank = len(shape)
    order = data.draw(st.permutations(range(rank)))
    stored = [0] * rank
    for axis, source in enumerate(order):
        stored[source] = shape[axis]
    net = Net(tuple(stored), seed=data.draw(st.integers(0, 9)))
    x = net.quant("x", 4, 0.25, 1 if zero else 0) if data.draw(st.booleans()) else "x"
    return net, net.node("Transpose", x, perm=[0, *(a + 1 for a in order)])


@SETTINGS
@given(data=st.data(), shape=SHAPES)
def test_slice(data: st.DataObject, shape: list[int]) -> None:
    net, x = started(data, shape)
    axes = sorted(data.draw(st.sets(st.integers(1, len(shape)), min_size=1)))
    starts = [data.draw(st.integers(-5, 5)) for _ in axes]
    ends = [data.draw(st.sampled_from([-(2**40), -2, 1, 3, 2**40])) for _ in axes]
    steps = [data.draw(st.sampled_from([-2, -1, 1, 2])) for _ in axes]
    x = net.node("Slice", x, *(net.const(ints(*a)) for a in (starts, ends, axes, steps)))
    try:
        agrees(net.model(x), net.inputs(3))
    except UnsupportedModel as error:
        assert "none are left" in str(error)


@SETTINGS
@given(data=st.data(), shape=SHAPES)
def test_pad(data: st.DataObject, shape: list[int]) -> None:
    net, x = started(data, shape, zero=True)
    mode = data.draw(st.sampled_from(["constant", "edge", "reflect", "wrap"]))
    limit = min(shape) - 1 if mode == "reflect" else 3
    pads = [data.draw(st.integers(0, limit)) for _ in range(2 * len(shape))]
    if mode == "constant":
        pads = [p - data.draw(st.integers(0, 1)) * (size > 2)
                for p, size in zip(pads, shape * 2, strict=True)]  # fmt: skip
    table = net.const(ints(0, *pads[: len(shape)], 0, *pads[len(shape) :]))
    fill = [net.const(data.draw(st.sampled_from([0.0, 0.5, -1.0])))] if mode == "constant" else []
    agrees(net.model(net.node("Pad", x, table, *fill, mode=mode)), net.inputs(3))


@SETTINGS
@given(data=st.data(), shape=SHAPES)
def test_gather_tile_expand(data: st.DataObject, shape: list[int]) -> None:
    net, x = started(data, shape)
    axis = data.draw(st.integers(1, len(shape)))
    kind = data.draw(st.sampled_from(["Gather", "scalar", "Tile", "Expand"]))
    size = shape[axis - 1]
    if kind == "Gather":
        picks = data.draw(st.lists(st.integers(-size, size - 1), min_size=1, max_size=4))
        x = net.node("Gather", x, net.const(ints(*picks)), axis=axis)
    elif kind == "scalar":
        assume(len(shape) > 1)
        x = net.node("Gather", x, net.const(np.array(size - 1)), axis=axis - len(shape) - 1)
    elif kind == "Tile":
        x = net.node("Tile", x, net.const(ints(1, *(data.draw(st.integers(1, 2)) for _ in shape))))
    else:
        target = [s if s > 1 else data.draw(st.integers(1, 3)) for s in shape]
        x = net.node("Expand", x, net.const(ints(1, *target)))
    agrees(net.model(x), net.inputs(3))


@SETTINGS
@given(data=st.data(), shape=SHAPES)
def test_split(data: st.DataObject, shape: list[int]) -> None:
    net, x = started(data, shape)
    axis = data.draw(st.integers(1, len(shape)))
    size = shape[axis - 1]
    cut = data.draw(st.integers(1, size))
    if cut < size:
        a, b = net.node("Split", x, net.const(ints(cut, size - cut)), axis=axis, outputs=2)
        x = net.node("Concat", b, a, axis=axis)
    else:
        parts = net.node("Split", x, axis=axis, num_outputs=size, outputs=size)
        parts = [parts] if size == 1 else parts
        x = net.node("Concat", *reversed(parts), axis=axis)
    agrees(net.model(x), net.inputs(3))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("last", [False, True])
def test_depth_to_space_and_back(mode: str, last: bool) -> None:
    net = Net((3, 2, 8) if last else (8, 3, 2))
    x = net.node("Transpose", net.quant("x"), perm=[0, 3, 1, 2]) if last else net.quant("x")
    x = net.node("DepthToSpace", x, blocksize=2, mode=mode)
    agrees(net.model(net.node("SpaceToDepth", x, blocksize=2)), net.inputs())


COORDINATES = [
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
]  # noqa: E501
NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


@SETTINGS
@given(data=st.data(), rank=st.sampled_from([2, 3]))
def test_resize(data: st.DataObject, rank: int) -> None:
    shape = data.draw(st.lists(st.integers(1, 5), min_size=rank, max_size=rank))
    net, x = started(data, shape)
    attrs = {
        "mode": "nearest",
        "coordinate_transformation_mode": data.draw(st.sampled_from(COORDINATES)),
        "nearest_mode": data.draw(st.sampled_from(NEAREST)),
    }
    if data.draw(st.booleans()):
        scales = [data.draw(st.sampled_from([1.0, 1.0, 1.5, 2.0, 3.0, 0.6])) for _ in shape[1:]]
        assume(all(int(s * n) for s, n in zip(scales, shape[1:], strict=True)))
        x = net.node("Resize", x, "", net.const(np.float32([1, 1, *scales])), **attrs)
    else:
        sizes = [data.draw(st.integers(1, 7)) for _ in shape[1:]]
        x = net.node("Resize", x, "", "", net.const(ints(1, shape[0], *sizes)), **attrs)
    agrees(net.model(x), net.inputs(3))


def test_resize_of_old_opsets() -> None:
    for opset, op in ((9, "Upsample"), (10, "Resize")):
        net = Net((2, 3, 4), opset=opset)
        scales = net.const(np.float32([1, 1, 2, 3]))
        agrees(net.model(net.node(op, net.quant("x"), scales, mode="nearest")), net.inputs())


def test_resize_beyond_the_image() -> None:
    net = Net((2, 3, 4))
    roi = net.const(np.float32([0, 0, -0.5, -0.5, 1, 1, 1.5, 1.5]))
    x = net.node(
        "Resize", net.quant("x"), roi, "", net.const(ints(1, 2, 6, 8)), mode="nearest",
        coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=0.5,
    )  # fmt: skip
    assert -1 in agrees(net.model(x), net.inputs()).graph.nodes[-1].op.index


def test_upsampling_stays_channels_last() -> None:
    net = Net((2, 3, 3))
    x = net.conv(net.quant("x"), 2, 2, (1, 1))
    x = net.node("Resize", net.quant(x), "", net.const(np.float32([1, 1, 2, 2])))
    imported = agrees(net.model(net.conv(x, 2, 2, (3, 3))), net.inputs())
    assert kinds(imported)[1:] == ["quant", "conv", "quant", "rearrange", "conv"]


def test_padding_with_a_value_that_has_no_code() -> None:
    net = Net((2, 3))
    x = net.node("Pad", net.quant("x"), net.const(ints(0, 0, 1, 0, 0, 1)), net.const(0.3))
    refused(net, x, "has no code")


def test_old_pad_and_slice() -> None:
    net = Net((2, 3, 4), opset=9)
    x = net.node("Pad", net.quant("x"), pads=[0, 0, 1, 2, 0, 0, 0, 1], value=0.25)
    x = net.node("Slice", x, starts=[1, 0], ends=[4, -1], axes=[2, 3])
    agrees(net.model(x), net.inputs())


def test_refused_moves() -> None:
    net = Net((2, 3, 4))
    x = net.quant("x")
    linear = net.node("Resize", x, "", net.const(np.float32([1, 1, 2, 2])), mode="linear")
    refused(net, linear, "'mode' is linear")
    net = Net((2, 3, 4), batch=2)
    x = net.quant("x")
    batch = {
        "Tile": [ints(2, 1, 1, 1)], "Expand": [ints(3, 2, 2, 3, 4)], "Gather": [np.array(0)],
        "Slice": [ints(1), ints(9), ints(0)], "Pad": [ints(1, 0, 0, 0, 0, 0, 0, 0)],
    }  # fmt: skip
    for op, constants in batch.items():
        inputs = [net.const(c) for c in constants]
        refused(net, net.node(op, x, *inputs), "across the batch axis")
    huge = net.node("Tile", x, net.const(ints(1, 1 << 12, 1 << 12, 1 << 12)))
    refused(net, huge, "too large")
    refused(net, net.node("Slice", x, net.const(ints(9)), net.const(ints(12)), net.const(ints(2))),
            "none are left")  # fmt: skip
    refused(net, net.node("DepthToSpace", x, blocksize=3), "onnxruntime refuses it")
    computed = net.node("Cast", net.node("Relu", x), to=1)
    refused(net, net.node("Expand", x, computed), "computed while the network runs")
