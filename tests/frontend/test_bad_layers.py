"""Layers we cannot turn into hardware exactly: refused by name, with a way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper

from tests.frontend.parts import (
    attribute,
    insert,
    node,
    put,
    refuse,
    register,
)

BAD: list[tuple[str, Callable[[ModelProto], object], str]] = []
bad = register(BAD)


@bad("node 'bad' (Softmax): 'add' lies between integer codes and it")
def softmax(m):
    insert(m, "Softmax", "add", axis=1)


@bad("node 'bad' (Conv): Conv on a value of shape (batch, 6)")
def convolution_of_a_vector(m):
    insert(m, "Conv", "q", extra=["fc.weight"])


@bad("operator 'Bogus' is not supported\n  hint: supported: A")
def unknown_operator(m):
    insert(m, "Bogus", "add")


@bad("operator 'Quant' of domain 'acme.ops' is not supported")
def unknown_domain(m):
    node(m, "q").domain = "acme.ops"


@bad("node 'q' (FloatQuant): FloatQuant has 4 inputs")
def float_quant_of_four_inputs(m):
    node(m, "q").op_type = "FloatQuant"


@bad("node 'q' (Quant): the scale is 0")
def zero_scale(m):
    put(m, "s", np.float32(0))


@bad("node 'q' (Quant): the scale is -0.5")
def negative_scale(m):
    put(m, "s", np.float32(-0.5))


@bad("node 'q' (Quant): the scale is float64, not float32")
def double_scale(m):
    put(m, "s", np.float64(0.25))


@bad("initializer 's': it contains NaN or infinity")
def nan_scale(m):
    put(m, "s", np.float32(np.nan))


@bad("node 'q' (Quant): the scale is empty")
def empty_scale(m):
    put(m, "s", np.zeros(0, np.float32))


@bad("node 'q' (Quant): the scale is missing")
def missing_scale(m):
    node(m, "q").input[1] = ""


@bad("node 'q' (Quant): Quant has 2 inputs")
def too_few_inputs(m):
    del node(m, "q").input[2:]


@bad("node 'y' (Quant): the scale is computed while the network runs")
def computed_scale(m):
    node(m, "y").input[1] = "mm"


@bad("node 'q' (Quant): the scale has shape (3,), the value (batch, 6)")
def misfit_scale(m):
    put(m, "s", np.full(3, 0.25, np.float32) * np.arange(1, 4, dtype=np.float32))


@bad("node 'q' (Quant): bit width 2.5 is not an integer")
def fractional_bits(m):
    put(m, "bits", np.float32(2.5))


@bad("node 'q' (Quant): bit width 0 is out of range")
def zero_bits(m):
    put(m, "bits", np.float32(0))


@bad("node 'q' (Quant): bit width 33 is out of range")
def too_many_bits(m):
    put(m, "bits", np.float32(33))


@bad("node 'q' (Quant): bit width 32: float32 cannot hold every code")
def wide_activation(m):
    put(m, "bits", np.float32(32))


@bad("node 'q' (Quant): it has one bit width per channel")
def bits_per_channel(m):
    put(m, "bits", np.full(6, 4, np.float32))


@bad("node 'q' (Quant): the zero point is not an integer")
def fractional_zero_point(m):
    put(m, "z", np.float32(0.5))


@bad("node 'y' (Quant): the zero point has shape (6,), the value (batch, 4)")
def zero_point_per_channel(m):
    put(m, "z", np.arange(6, dtype=np.float32))
    node(m, "qw").input[2] = "s"
    put(m, "s", np.float32(1))


@bad("node 'q' (Quant): the zero point is int64, which qonnx would add in float64")
def int64_zero_point(m):
    put(m, "z", np.int64(3))


@bad("node 'q' (Quant): rounding mode 'STOCHASTIC' is not supported")
def unknown_rounding(m):
    attribute(node(m, "q"), "rounding_mode", "stochastic")


@bad("rounding mode '\\nX\\x1b' is not supported")
def rounding_with_control_characters(m):
    attribute(node(m, "q"), "rounding_mode", "\nx\x1b")


@bad("node 'q' (Quant): attribute 'signed' is 7")
def bad_signed(m):
    attribute(node(m, "q"), "signed", 7)


@bad("node 'q' (Quant): attribute 'signed' is str, not int")
def signed_text(m):
    attribute(node(m, "q"), "signed", "yes")


@bad("node 'q' (Quant): attribute 'colour' is not supported")
def unknown_attribute(m):
    attribute(node(m, "q"), "colour", 1)


@bad("a dense layer reads the network input, which is not quantized\n  hint: put a quantizer")
def unquantized_input(m):
    node(m, "mm").input[0] = "x"


@bad("node 'mm' (MatMul): the weights are not quantized")
def unquantized_weights(m):
    put(m, "fc.weight", np.full((6, 4), 0.3, np.float32))
    node(m, "mm").input[1] = "fc.weight"


@bad("node 'mm' (MatMul): the weights are on the left")
def weights_left(m):
    node(m, "mm").input[:] = ["qw", "q"]


@bad("node 'mm' (MatMul): it multiplies two computed values")
def product_of_values(m):
    node(m, "mm").input[1] = "q"


@bad("a dense layer with 5 inputs reads a value of shape (6,)")
def wrong_width(m):
    put(m, "fc.weight", np.ones((5, 4), np.float32))


@bad("the weights have shape (6,)")
def vector_weights(m):
    put(m, "fc.weight", np.ones(6, np.float32))


@bad("the weight scale varies along the inputs of a neuron")
def scale_along_inputs(m):
    m.graph.initializer.append(
        numpy_helper.from_array(np.arange(1, 7, dtype=np.float32).reshape(6, 1), "s6")
    )
    node(m, "qw").input[1] = "s6"


@bad("it reads a value with one scale per channel, and sums channels whose scales are no whole")
def channel_scaled_input(m):
    scales = np.sqrt(np.arange(1, 7, dtype=np.float32))
    m.graph.initializer.append(numpy_helper.from_array(scales, "s6"))
    node(m, "q").input[1] = "s6"


@bad("node 'add' (Add): the constant has shape (3,), the value (batch, 4)")
def misfit_bias(m):
    put(m, "fc.bias", np.arange(3, dtype=np.float32))


@bad("node 'add' (Add): the constant is float64, not float32")
def double_bias(m):
    put(m, "fc.bias", np.zeros(4, np.float64))


@bad("node 'bad' (Div): it divides by zero")
def division_by_zero(m):
    put(m, "fc.bias", np.zeros(4, np.float32))
    insert(m, "Div", "add", extra=["fc.bias"])


@bad("node 'bad' (Gemm): attribute 'transA' is 1")
def transposed_batch(m):
    insert(m, "Gemm", "q", extra=["qw"], transA=1)


@bad("node 'bad' (BatchNormalization): batch norm is in training mode")
def training_norm(m):
    insert(m, "BatchNormalization", "add", extra=["fc.bias"] * 4, training_mode=1)


@bad("node 'bad' (BatchNormalization): batch norm divides by zero")
def negative_variance(m):
    insert(m, "BatchNormalization", "add", extra=["fc.bias"] * 4)


@bad("node 'bad' (ArgMax): attribute 'axis' is 0")
def argmax_over_batch(m):
    insert(m, "ArgMax", "add", axis=0)


def two_frames(m):
    """A batch of one may go anywhere; one of two frames may not."""
    m.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


@bad("node 'bad' (Reshape): it reshapes (2, 4) to (4, 2), across the batch axis")
def reshape_across_batch(m):
    two_frames(m)
    m.graph.initializer.append(numpy_helper.from_array(np.array([4, 2]), "shape"))
    insert(m, "Reshape", "add", extra=["shape"])


@bad("node 'bad' (Reshape): it reshapes (1, 4) to (1, 5)")
def reshape_to_other_size(m):
    m.graph.initializer.append(numpy_helper.from_array(np.array([1, 5]), "shape"))
    insert(m, "Reshape", "add", extra=["shape"])


@bad("node 'bad' (Transpose): it moves the batch axis (perm [1, 0])")
def transpose_value(m):
    insert(m, "Transpose", "q", perm=[1, 0])


@bad("node 'bad' (Squeeze): it names no axes")
def squeeze_all(m):
    two_frames(m)
    insert(m, "Squeeze", "add")


@bad("folding it would make a constant of 1000000000000 elements")
def constant_bomb(m):
    m.graph.initializer.append(numpy_helper.from_array(np.array([10**6, 10**6]), "dims"))
    m.graph.node.append(helper.make_node("ConstantOfShape", ["dims"], ["big"], "bomb"))
    node(m, "add").input[1] = "big"


@bad("input 'x' is not connected to the output")
def constant_output(m):
    node(m, "mm").input[0] = "qw"


@pytest.mark.parametrize(("change", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_refused(
    change: Callable[[ModelProto], object],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refuse(change, message, tmp_path, capsys)
