"""One feature at a time: biases, pooling, truncation, channel scales, zero points, activations."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
from brevitas.core.restrict_val import RestrictValueType
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8ActPerTensorFloat,
    Int8Bias,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
    Int16Bias,
    Int32Bias,
    ShiftedUint8ActPerTensorFloat,
    ShiftedUint8WeightPerTensorFloat,
    SignedBinaryActPerTensorConst,
    SignedBinaryWeightPerTensorConst,
    SignedTernaryActPerTensorConst,
    SignedTernaryWeightPerTensorConst,
    TruncTo8bit,
    Uint8ActPerTensorFixedPoint,
    Uint8ActPerTensorFloat,
)
from brevitas.quant.experimental.float_quant_ocp import (
    Fp8e4m3OCPActPerTensorFloat,
    Fp8e4m3OCPWeightPerTensorFloat,
)
from brevitas.quant.fixed_point import Int8BiasPerTensorFixedPointInternalScaling
from torch import nn

from tests.zoo.blocks import FIXED, FLOAT, conv, plain, relu, source
from tests.zoo.registry import QCDQ, enlist, network

# biases ---------------------------------------------------------------------------------------

for _name, _bias in (("int8", Int8Bias), ("int16", Int16Bias), ("int32", Int32Bias)):
    enlist(
        f"linear_bias_{_name}",
        lambda b=_bias: nn.Sequential(
            source(4), qnn.QuantLinear(8, 6, bias=True, bias_quant=b, **FIXED), relu()
        ),
        (8,),
    )
    enlist(
        f"conv_bias_{_name}",
        lambda b=_bias: nn.Sequential(
            source(4), conv(2, 4, 3, bias=True, bias_quant=b), relu()
        ),
        (2, 5, 5),
    )  # fmt: skip


@network((8,))
def linear_bias_own_scale() -> Any:
    """A bias quantizer with a scale of its own."""
    bias = Int8BiasPerTensorFixedPointInternalScaling
    return nn.Sequential(
        source(4), qnn.QuantLinear(8, 6, bias=True, bias_quant=bias, **FIXED), relu()
    )


@network((8,))
def linear_bias_float() -> Any:
    """A bias without quantizer."""
    return nn.Sequential(source(4), qnn.QuantLinear(8, 6, bias=True, **FIXED), relu())


# pooling --------------------------------------------------------------------------------------


def pooled(pool: Any, **options: Any) -> Any:
    """A pooling layer between two quantizers."""
    return nn.Sequential(source(4, return_quant_tensor=False), pool, relu(**options))


@network((3, 7, 7))
def max_pool_ceil() -> Any:
    """Overlapping windows, padding, the last one cut off."""
    return pooled(nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True))


@network((3, 9, 9))
def max_pool_dilated() -> Any:
    """A dilated window."""
    return pooled(nn.MaxPool2d(2, stride=1, dilation=3))


@network((3, 8, 8))
def average_pool() -> Any:
    """2x2, no padding."""
    return pooled(nn.AvgPool2d(2))


@network((3, 7, 7))
def average_pool_padding_counts() -> Any:
    """The padding counts, the window is no power of two."""
    return pooled(nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=True))


@network((3, 7, 7))
def average_pool_padding_ignored() -> Any:
    """Each window is divided by the pixels it really has."""
    return pooled(nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False))


@network((3, 6, 6))
def global_average_pool() -> Any:
    """All 36 pixels."""
    return nn.Sequential(
        source(4, return_quant_tensor=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), source(5)
    )


# QCDQ cannot express truncation.
@network((2, 8, 8), skip=(QCDQ,))
def truncated_average_pool() -> Any:
    """``TruncAvgPool2d``: integer sum, then bits cut off."""
    pool = qnn.TruncAvgPool2d(2, trunc_quant=TruncTo8bit, bit_width=4, return_quant_tensor=False)
    return nn.Sequential(source(6), conv(2, 4, 3, padding=1), relu(5), pool)


@network((2, 6, 6), skip=(QCDQ,))
def truncated_adaptive_pool() -> Any:
    """``TruncAdaptiveAvgPool2d`` to one pixel."""
    pool = qnn.TruncAdaptiveAvgPool2d(
        (1, 1), trunc_quant=TruncTo8bit, bit_width=5, return_quant_tensor=False
    )
    return nn.Sequential(source(6), conv(2, 4, 3, padding=1), relu(5), pool, nn.Flatten())


# formats --------------------------------------------------------------------------------------


@network((8,), exact=False)
def weights_per_channel() -> Any:
    """One weight scale per neuron, none a power of two."""
    layer = qnn.QuantLinear(
        8, 6, bias=False, weight_quant=Int8WeightPerChannelFloat, weight_bit_width=4
    )
    return nn.Sequential(source(5, Int8ActPerTensorFloat), layer, relu(4, Uint8ActPerTensorFloat))


@network((3, 6, 6), exact=False)
def activations_per_channel() -> Any:
    """One activation scale per channel, read by a depthwise convolution."""
    act = relu(
        4, Uint8ActPerTensorFloat, scaling_per_output_channel=True,
        per_channel_broadcastable_shape=(1, 6, 1, 1), scaling_stats_permute_dims=(1, 0, 2, 3),
    )  # fmt: skip
    return nn.Sequential(
        source(4), conv(3, 6, 3), act, conv(6, 6, 3, groups=6, **FLOAT), relu(4)
    )  # fmt: skip


# QuantizeLinear adds the zero point after rounding, Brevitas before: QCDQ differs on ties.
@network((8,), exact=False, unlike_torch=(QCDQ,))
def zero_points() -> Any:
    """Asymmetric activations and weights."""
    act = {"act_quant": ShiftedUint8ActPerTensorFloat, "return_quant_tensor": True}
    weight = {"weight_quant": ShiftedUint8WeightPerTensorFloat, "weight_bit_width": 5}
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=6, **act), qnn.QuantLinear(8, 6, bias=False, **weight),
        qnn.QuantIdentity(bit_width=5, **act), qnn.QuantLinear(6, 4, bias=False, **weight),
    )  # fmt: skip


@network((2, 6, 6), exact=False, unlike_torch=(QCDQ,))
def zero_points_conv() -> Any:
    """Padding with real zero where zero is not code zero."""
    act = {"act_quant": ShiftedUint8ActPerTensorFloat, "return_quant_tensor": True}
    weight = {"weight_quant": ShiftedUint8WeightPerTensorFloat, "weight_bit_width": 5}
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=6, **act), conv(2, 3, 3, padding=1, **weight),
        qnn.QuantIdentity(bit_width=5, **act),
    )  # fmt: skip


@network((8,), exact=False)
def scales_of_any_size() -> Any:
    """No scale is a power of two; 3, 5 and 7 bits."""
    weight = {"weight_quant": Int8WeightPerTensorFloat, "weight_bit_width": 3}
    return nn.Sequential(
        source(7, Int8ActPerTensorFloat), qnn.QuantLinear(8, 9, bias=True, **weight),
        nn.BatchNorm1d(9), relu(5, Uint8ActPerTensorFloat),
        qnn.QuantLinear(9, 4, bias=False, **weight),
    )  # fmt: skip


# QCDQ has no such quantizer.
@network((8,), exact=False, skip=(QCDQ,))
def bipolar() -> Any:
    """-0.1 and +0.1, Brevitas' default: PyTorch's float32 sums, which should often be 0, are a
    little more or less, and the sign of a quarter of them flips. Each is explained."""
    act = {"act_quant": SignedBinaryActPerTensorConst, "return_quant_tensor": True}
    weight = {"weight_quant": SignedBinaryWeightPerTensorConst}
    return nn.Sequential(
        qnn.QuantIdentity(**act), qnn.QuantLinear(8, 6, bias=False, **weight),
        qnn.QuantIdentity(**act), qnn.QuantLinear(6, 4, bias=False, **weight),
    )  # fmt: skip


@network((8,), exact=False)
def ternary() -> Any:
    """-1, 0 and +1 times a constant scale."""
    act = {"act_quant": SignedTernaryActPerTensorConst, "return_quant_tensor": True}
    weight = {"weight_quant": SignedTernaryWeightPerTensorConst}
    return nn.Sequential(
        qnn.QuantIdentity(**act), qnn.QuantLinear(8, 6, bias=False, **weight),
        qnn.QuantIdentity(**act),
    )  # fmt: skip


# The standard QuantizeLinear that QCDQ writes has no such type in the opset Brevitas uses.
@network((8,), exact=False, skip=(QCDQ,))
def float8() -> Any:
    """OCP E4M3 activations and weights."""
    act = {"act_quant": Fp8e4m3OCPActPerTensorFloat}
    weight = {"weight_quant": Fp8e4m3OCPWeightPerTensorFloat}
    return nn.Sequential(
        qnn.QuantIdentity(**act), qnn.QuantLinear(8, 6, bias=False, **weight),
        qnn.QuantIdentity(**act),
    )  # fmt: skip


# activations ----------------------------------------------------------------------------------


def activated(layer: Any) -> Any:
    """A dense layer and what follows."""
    return nn.Sequential(source(5), qnn.QuantLinear(8, 6, bias=False, **FIXED), layer)


@network((8,))
def sigmoid() -> Any:
    """QuantSigmoid."""
    return activated(qnn.QuantSigmoid(act_quant=Uint8ActPerTensorFixedPoint, bit_width=5))


@network((8,))
def tanh() -> Any:
    """QuantTanh."""
    return activated(qnn.QuantTanh(act_quant=Int8ActPerTensorFixedPoint, bit_width=5))


@network((8,))
def hard_tanh() -> Any:
    """QuantHardTanh with its own range."""
    kind = RestrictValueType.POWER_OF_TWO
    return activated(
        qnn.QuantHardTanh(
            act_quant=Int8ActPerTensorFloat, bit_width=4, min_val=-2.0, max_val=2.0,
            restrict_scaling_type=kind,
        )
    )  # fmt: skip


for _name, _layer in {
    "relu": nn.ReLU(), "relu6": nn.ReLU6(), "leaky_relu": nn.LeakyReLU(0.1),
    "hard_sigmoid": nn.Hardsigmoid(), "elu": nn.ELU(), "selu": nn.SELU(),
    "softplus": nn.Softplus(), "softsign": nn.Softsign(), "gelu": nn.GELU(), "silu": nn.SiLU(),
    "hard_swish": nn.Hardswish(), "prelu": nn.PReLU(6),
}.items():  # fmt: skip
    enlist(f"float_{_name}", lambda m=_layer: activated(nn.Sequential(m, source(5))), (8,))


class Normed(nn.Module):
    """LayerNorm between a quantizer and another."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.norm, self.out = source(5), nn.LayerNorm(8), source(5)

    def forward(self, x: Any) -> Any:
        return self.out(self.norm(plain(self.inp(x))))


@network((8,), slow=True)
def layer_norm() -> Any:
    """LayerNormalization (TorchScript may write it as its parts)."""
    return Normed()
