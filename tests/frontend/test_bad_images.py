"""Convolutions, pools, joins and moves that are malformed or unsupported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper

from codesign.frontend import import_qonnx
from tests.frontend.parts import (
    attribute,
    constants,
    insert,
    model_of,
    node,
    put,
    quant,
    refuse,
    register,
    tensor,
)

BAD: list[tuple[str, Callable[[ModelProto], object], str]] = []
bad = register(BAD)


def picture() -> ModelProto:
    """x [1, 3, 8, 8] -> Quant 'q' -> Conv 'conv' 3x3 to 4 channels -> Quant 'c' -> MaxPool 'pool'
    -> Concat 'both' with itself -> Quant 'y'."""
    weights = (np.arange(108).reshape(4, 3, 3, 3) % 7 - 3).astype(np.float32) / 4
    parts = {k: v for k, v in constants().items() if k in ("s", "z", "bits")}
    nodes = [
        quant("x", "q"),
        quant("weight", "qw"),
        helper.make_node("Conv", ["q", "qw"], ["conv"], "conv", pads=[1, 1, 1, 1]),
        quant("conv", "c"),
        helper.make_node("MaxPool", ["c"], ["pool"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Concat", ["pool", "pool"], ["both"], "both", axis=1),
        quant("both", "y"),
    ]
    return model_of(nodes, {**parts, "weight": weights}, shape=(1, 3, 8, 8))


def const(m: ModelProto, name: str, array: object) -> str:
    """Add an initializer; its name."""
    m.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return name


# convolutions -----------------------------------------------------------------------------------


@bad("node 'conv' (Conv): attribute 'strides' is [-1, 1]")
def negative_stride(m):
    attribute(node(m, "conv"), "strides", [-1, 1])


@bad("node 'conv' (Conv): attribute 'strides' is [0, 1]")
def zero_stride(m):
    attribute(node(m, "conv"), "strides", [0, 1])


@bad("node 'conv' (Conv): attribute 'strides' is [1]")
def too_few_strides(m):
    attribute(node(m, "conv"), "strides", [1])


@bad("node 'conv' (Conv): attribute 'strides' is [4294967296, 1]")
def huge_stride(m):
    attribute(node(m, "conv"), "strides", [1 << 32, 1])


@bad("node 'conv' (Conv): attribute 'dilations' is [0, 1]")
def zero_dilation(m):
    attribute(node(m, "conv"), "dilations", [0, 1])


@bad("node 'conv' (Conv): attribute 'pads' is [-1, 0, 0, 0]")
def negative_pads(m):
    attribute(node(m, "conv"), "pads", [-1, 0, 0, 0])


@bad("node 'conv' (Conv): attribute 'pads' is [1, 1]")
def too_few_pads(m):
    attribute(node(m, "conv"), "pads", [1, 1])


@bad("node 'conv' (Conv): attribute 'pads' is [65536, 0, 0, 0]")
def huge_pads(m):
    attribute(node(m, "conv"), "pads", [65536, 0, 0, 0])


@bad("node 'conv' (Conv): attribute 'auto_pad' is SOMEHOW")
def unknown_auto_pad(m):
    del node(m, "conv").attribute[:]
    attribute(node(m, "conv"), "auto_pad", "SOMEHOW")


@bad("node 'conv' (Conv): it has both pads and auto_pad SAME_UPPER")
def pads_twice(m):
    attribute(node(m, "conv"), "auto_pad", "SAME_UPPER")


@bad("node 'conv' (Conv): attribute 'group' is 0")
def zero_groups(m):
    attribute(node(m, "conv"), "group", 0)


@bad("node 'conv' (Conv): weights of shape (4, 3, 3, 3) in 2 groups meet 3 channels")
def groups_that_do_not_divide(m):
    attribute(node(m, "conv"), "group", 2)


@bad("weights of shape (4, 5, 3, 3) in 1 groups meet 3 channels")
def wrong_channels(m):
    put(m, "weight", np.ones((4, 5, 3, 3), np.float32))


@bad("node 'conv' (Conv): the weights have shape (4, 3)")
def flat_weights(m):
    put(m, "weight", np.ones((4, 3), np.float32))


@bad("node 'conv' (Conv): attribute 'kernel_shape' is [5, 5]")
def wrong_kernel_shape(m):
    attribute(node(m, "conv"), "kernel_shape", [5, 5])


@bad("node 'conv' (Conv): a window of 19 does not fit 8 + 1 + 1 positions")
def window_larger_than_the_image(m):
    attribute(node(m, "conv"), "dilations", [9, 9])


@bad("node 'conv' (Conv): attribute 'activation' is not supported")
def fused_activation(m):
    attribute(node(m, "conv"), "activation", "Relu")


@bad("node 'conv' (Conv): the weights are not quantized")
def unquantized_kernel(m):
    put(m, "weight", np.full((4, 3, 3, 3), 0.3, np.float32))
    node(m, "conv").input[1] = "weight"


@bad("node 'conv' (Conv): its weights are not constant")
def computed_kernel(m):
    node(m, "conv").input[1] = "q"


@bad("node 'conv' (Conv): the bias has shape (3,)")
def misfit_conv_bias(m):
    node(m, "conv").input.append(const(m, "b", np.zeros(3, np.float32)))


@bad("node 'conv' (Conv): a convolution reads the network input, which is not quantized")
def conv_of_the_input(m):
    node(m, "conv").input[0] = "x"


@bad("node 'conv' (Conv): Conv on a value of shape (batch, 3, 8, 8, 8)")
def three_dimensions(m):
    m.graph.input[0].type.tensor_type.shape.dim.add().dim_value = 8


@bad("initializer 'weight': its data does not fit its shape (4294967296, 3, 3, 3)")
def weights_of_gigabytes(m):
    tensor(m, "weight").dims[0] = 1 << 32


@bad("node 'bad' (ConvTranspose): attribute 'output_padding' is")
def output_padding_beyond_the_stride(m):
    insert(m, "ConvTranspose", "c", extra=[const(m, "t", np.ones((4, 2, 2, 2), np.float32))],
           output_padding=[7, -1])  # fmt: skip


@bad("node 'bad' (ConvTranspose): weights of shape (5, 2, 2, 2) in 1 groups meet 4 channels")
def transposed_wrong_channels(m):
    insert(m, "ConvTranspose", "c", extra=[const(m, "t", np.ones((5, 2, 2, 2), np.float32))])


@bad("node 'bad' (BatchNormalization): ")
def norm_of_other_channels(m):
    insert(m, "BatchNormalization", "conv", extra=[const(m, "g", np.ones(3, np.float32))] * 4)


# pools ------------------------------------------------------------------------------------------


@bad("node 'pool' (MaxPool): attribute 'kernel_shape' is missing")
def pool_without_kernel(m):
    del node(m, "pool").attribute[:]


@bad("node 'pool' (MaxPool): attribute 'kernel_shape' is [0, 2]")
def empty_pool(m):
    attribute(node(m, "pool"), "kernel_shape", [0, 2])


@bad("node 'pool' (MaxPool): a window of 9 does not fit 8 + 0 + 0 positions")
def pool_larger_than_the_image(m):
    attribute(node(m, "pool"), "kernel_shape", [9, 9])


@bad("node 'pool' (MaxPool): its indices are used")
def pool_indices(m):
    node(m, "pool").output.append("where")
    m.graph.node.append(helper.make_node("Cast", ["where"], ["w"], "cast", to=1))
    m.graph.node.append(helper.make_node("Add", ["w", "both"], ["sum"], "sum"))
    node(m, "y").input[0] = "sum"


@bad("node 'pool' (MaxPool): max pooling with padding (2, 2, 2, 2) has windows of padding alone")
def pool_of_padding(m):
    attribute(node(m, "pool"), "pads", [2, 2, 2, 2])


@bad("node 'pool' (LpPool): operator 'LpPool' is not supported")
def other_pool(m):
    node(m, "pool").op_type = "LpPool"


# joins ------------------------------------------------------------------------------------------


@bad("node 'both' (Concat): it joins shapes (4, 4, 4), (4, 8, 8) along axis 1")
def concat_of_other_sizes(m):
    node(m, "both").input[1] = "c"


@bad("node 'both' (Concat): attribute 'axis' is 0")
def concat_of_batches(m):
    attribute(node(m, "both"), "axis", 0)


@bad("node 'both' (Concat): attribute 'axis' is 9")
def concat_beyond_the_axes(m):
    attribute(node(m, "both"), "axis", 9)


@bad("node 'both' (Add): the shapes")
def sum_of_other_sizes(m):
    both = node(m, "both")
    both.op_type, both.input[1] = "Add", "c"
    del both.attribute[:]


@bad("node 'both' (Add): Add has 1 inputs")
def sum_of_one(m):
    both = node(m, "both")
    both.op_type = "Add"
    del both.attribute[:], both.input[1:]


@bad("node 'both' (MatMul): ")
def product_of_two_pictures(m):
    both = node(m, "both")
    both.op_type, both.input[1] = "MatMul", "c"
    del both.attribute[:]


# moves ------------------------------------------------------------------------------------------


@bad("node 'bad' (Resize): attribute 'mode' is linear")
def bilinear(m):
    insert(m, "Resize", "c", extra=["", const(m, "k", np.array([1, 1, 2, 2], np.float32))],
           mode="linear")  # fmt: skip


@bad("node 'bad' (Slice): ")
def empty_slice(m):
    parts = [const(m, n, np.array([v])) for n, v in (("from", 5), ("to", 5), ("axis", 2))]
    insert(m, "Slice", "c", extra=parts)


@bad("node 'bad' (Transpose): ")
def transpose_of_wrong_rank(m):
    insert(m, "Transpose", "c", perm=[0, 2, 1])


@bad("node 'bad' (Reshape): ")
def reshape_with_two_unknowns(m):
    insert(m, "Reshape", "c", extra=[const(m, "shape", np.array([1, -1, -1]))])


@bad("node 'bad' (Pad): ")
def reflecting_pad_beyond_the_image(m):
    insert(m, "Pad", "c", extra=[const(m, "pads", np.array([0, 0, 99, 0, 0, 0, 0, 0]))],
           mode="reflect")  # fmt: skip


@bad("node 'bad' (Gather): ")
def gather_by_computed_indices(m):
    insert(m, "Gather", "c", extra=["q"], axis=2)


@bad("node 'cast' (Cast): it casts a computed value to INT64")
def cast_to_integers(m):
    m.graph.node.append(helper.make_node("Cast", ["q"], ["ints"], "cast", to=7))
    insert(m, "Gather", "c", extra=["ints"], axis=2)


# quantizers -------------------------------------------------------------------------------------


@bad("the scale has shape (5, 1, 1), the value")
def scale_of_other_channels(m):
    const(m, "s5", np.arange(1, 6, dtype=np.float32).reshape(5, 1, 1))
    node(m, "c").input[1] = "s5"


@bad("node 'y' (Trunc): ")
def trunc_without_inputs(m):
    last = node(m, "y")
    last.op_type = "Trunc"
    del last.input[1:]


@bad("node 'y' (QuantizeLinear): ")
def quantize_linear_without_scale(m):
    last = node(m, "y")
    last.op_type, last.domain = "QuantizeLinear", ""
    del last.input[1:], last.attribute[:]


@bad("node 'y' (MultiThreshold): ")
def thresholds_of_other_channels(m):
    last = node(m, "y")
    last.op_type = "MultiThreshold"
    del last.input[1:], last.attribute[:]
    last.input.append(const(m, "table", np.zeros((3, 15), np.float32)))


@pytest.mark.parametrize(("change", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_refused(
    change: Callable[[ModelProto], object],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refuse(change, message, tmp_path, capsys, start=picture)


def test_the_undamaged_model_imports() -> None:
    graph = import_qonnx(picture()).graph
    assert graph.values[graph.outputs[0]].elements == 4 * 4 * 8
