"""Blocks of well-known architectures: separable, residual, one-dimensional, U-shaped."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFixedPoint,
    Int8WeightPerTensorFloat,
    Uint8ActPerTensorFixedPoint,
    Uint8ActPerTensorFloat,
)
from brevitas.quant_tensor import IntQuantTensor
from torch import nn

from tests.zoo.registry import network

FIXED = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
FLOAT = {"weight_quant": Int8WeightPerTensorFloat, "weight_bit_width": 4}


def source(bits: int = 8, quant: Any = Int8ActPerTensorFixedPoint, **options: Any) -> Any:
    """A signed quantizer, power-of-two scale unless told otherwise."""
    options = {"return_quant_tensor": True, **options}
    return qnn.QuantIdentity(act_quant=quant, bit_width=bits, **options)


def relu(bits: int = 4, quant: Any = Uint8ActPerTensorFixedPoint, **options: Any) -> Any:
    """ReLU and an unsigned quantizer."""
    options = {"return_quant_tensor": True, **options}
    return qnn.QuantReLU(act_quant=quant, bit_width=bits, **options)


def conv(k: int, n: int, size: int, **options: Any) -> Any:
    """A convolution without bias, power-of-two weight scale unless told otherwise."""
    return qnn.QuantConv2d(k, n, size, **{"bias": False, **FIXED, **options})


def plain(x: Any) -> Any:
    """The tensor of a QuantTensor (while exporting there are only tensors)."""
    return getattr(x, "value", x)


@network((3, 8, 8))
def mobilenet_block() -> Any:
    """Full, depthwise with stride, pointwise; pooled to one pixel; a classifier."""
    return nn.Sequential(
        source(), conv(3, 8, 3, padding=1), nn.BatchNorm2d(8), relu(),
        conv(8, 8, 3, padding=1, stride=2, groups=8), nn.BatchNorm2d(8), relu(),
        conv(8, 12, 1), nn.BatchNorm2d(12), relu(return_quant_tensor=False),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), source(6),
        qnn.QuantLinear(12, 5, bias=False, **FIXED),
    )  # fmt: skip


@network((3, 8, 8), exact=False)
def mobilenet_block_float() -> Any:
    """The same with any scales, those of the weights per channel."""
    weights = {"weight_quant": Int8WeightPerChannelFloat}
    act = {"quant": Uint8ActPerTensorFloat}
    return nn.Sequential(
        source(8, Int8ActPerTensorFloat), conv(3, 8, 3, padding=1, **weights),
        nn.BatchNorm2d(8), relu(**act),
        conv(8, 8, 3, padding=1, stride=2, groups=8, **weights), nn.BatchNorm2d(8), relu(**act),
        conv(8, 12, 1, **weights), nn.BatchNorm2d(12), relu(**act, return_quant_tensor=False),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), source(6, Int8ActPerTensorFloat),
        qnn.QuantLinear(12, 5, bias=False, weight_bit_width=4, **weights),
    )  # fmt: skip


class Residual(nn.Module):
    """``relu(shared(branch(x)) + shared(x))``: one quantizer gives both sides the same scale."""

    def __init__(self, channels: int, bits: int = 4) -> None:
        super().__init__()
        self.inp = source(bits)
        self.branch = nn.Sequential(
            conv(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), relu(bits),
            conv(channels, channels, 3, padding=1), nn.BatchNorm2d(channels),
        )  # fmt: skip
        self.shared = source(bits)
        self.out = relu(bits, return_quant_tensor=False)

    def forward(self, x: Any) -> Any:
        x = self.inp(x)
        return self.out(self.shared(self.branch(x)) + self.shared(x))


@network((4, 6, 6))
def residual_shared() -> Any:
    """ResNet's basic block with a shared quantizer."""
    return Residual(4)


class Eltwise(nn.Module):
    """A residual block by ``QuantEltwiseAdd``, with a strided pointwise shortcut."""

    def __init__(self, act: Any, weights: dict[str, Any], unsigned: Any) -> None:
        super().__init__()
        self.inp = source(6, act)
        self.branch = nn.Sequential(
            conv(4, 6, 3, padding=1, stride=2, **weights), nn.BatchNorm2d(6), relu(4, unsigned),
            conv(6, 6, 3, padding=1, **weights), nn.BatchNorm2d(6),
        )  # fmt: skip
        self.shortcut = nn.Sequential(conv(4, 6, 1, stride=2, **weights), nn.BatchNorm2d(6))
        self.add = qnn.QuantEltwiseAdd(
            input_quant=act, output_quant=act, input_bit_width=5, output_bit_width=5,
            return_quant_tensor=True,
        )  # fmt: skip
        self.out = relu(4, unsigned, return_quant_tensor=False)

    def forward(self, x: Any) -> Any:
        x = self.inp(x)
        return self.out(self.add(self.branch(x), self.shortcut(x)))


@network((4, 6, 6))
def residual_eltwise() -> Any:
    """``QuantEltwiseAdd``, powers of two."""
    return Eltwise(Int8ActPerTensorFixedPoint, FIXED, Uint8ActPerTensorFixedPoint)


@network((4, 6, 6), exact=False)
def residual_eltwise_float() -> Any:
    """``QuantEltwiseAdd``, any scales."""
    return Eltwise(Int8ActPerTensorFloat, FLOAT, Uint8ActPerTensorFloat)


class TwoScales(nn.Module):
    """Two branches with scales of their own, added before the next quantizer."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = source(5, Int8ActPerTensorFloat), source(3, Int8ActPerTensorFloat)
        self.out = relu(4, Uint8ActPerTensorFloat, return_quant_tensor=False)
        self.fc = qnn.QuantLinear(10, 10, bias=False, **FLOAT)

    def forward(self, x: Any) -> Any:
        left = self.left(x)
        return self.out(plain(self.right(self.fc(left))) + plain(left))


@network((10,), exact=False)
def add_of_two_scales() -> Any:
    """No shared quantizer: the circuit must align the scales."""
    return TwoScales()


@network((10, 24))
def keyword_1d() -> Any:
    """A 1-D convolutional key-word network: stride, dilation, groups, pooling in time."""

    def conv1(k: int, n: int, size: int, **options: Any) -> Any:
        return qnn.QuantConv1d(k, n, size, **{"bias": False, **FIXED, **options})

    return nn.Sequential(
        source(), conv1(10, 8, 5, stride=2, padding=2), nn.BatchNorm1d(8), relu(),
        conv1(8, 8, 3, padding=2, dilation=2, groups=8), nn.BatchNorm1d(8), relu(),
        conv1(8, 12, 1), nn.BatchNorm1d(12), relu(return_quant_tensor=False),
        nn.MaxPool1d(2), nn.Flatten(), qnn.QuantLinear(72, 6, bias=False, **FIXED),
    )  # fmt: skip


class Cat(qnn.QuantCat):
    """``QuantCat``, whose forward pass in Brevitas 0.13.4 calls ``QuantTensor.cat``: there is
    none. Its export is Brevitas' own."""

    def forward(self, tensors: Any, dim: int = 1) -> Any:
        if self.export_mode:
            return super().forward(tensors, dim)
        return self.output_quant(IntQuantTensor.cat([self.input_quant(t) for t in tensors], dim))


class Unet(nn.Module):
    """Down, up (by ``up``), and a concatenation with the skipped tensor."""

    def __init__(self, up: Any) -> None:
        super().__init__()
        self.inp = source(6)
        self.down = nn.Sequential(conv(2, 4, 3, padding=1), nn.BatchNorm2d(4), relu())
        self.pool = nn.MaxPool2d(2)
        self.middle = nn.Sequential(conv(4, 4, 3, padding=1), nn.BatchNorm2d(4), relu())
        self.up = up
        self.cat = Cat(
            input_quant=Int8ActPerTensorFixedPoint,
            input_bit_width=5,
            output_quant=Int8ActPerTensorFixedPoint,
            output_bit_width=5,
            return_quant_tensor=True,
        )
        self.last = conv(8, 3, 3, padding=1)

    def forward(self, x: Any) -> Any:
        skip = self.down(self.inp(x))
        deep = self.up(self.middle(self.pool(plain(skip))))
        return self.last(self.cat([deep, skip], dim=1))


@network((2, 8, 8))
def unet_nearest() -> Any:
    """Upsampling by nearest neighbour, ``QuantCat``."""
    return Unet(nn.Sequential(Plain(), nn.Upsample(scale_factor=2, mode="nearest")))


@network((2, 8, 8))
def unet_transposed() -> Any:
    """Upsampling by a transposed convolution."""
    up = qnn.QuantConvTranspose2d(4, 4, 2, stride=2, bias=False, **FIXED)
    return Unet(up)


@network((2, 6, 6))
def conv_transpose_padded() -> Any:
    """A transposed convolution with overlap, padding and output padding."""
    options = {"stride": 2, "padding": 1, "output_padding": 1, "bias": False, **FIXED}
    return nn.Sequential(source(4), qnn.QuantConvTranspose2d(2, 3, 3, **options), relu())


class Plain(nn.Module):
    """:func:`plain` as a layer."""

    def forward(self, x: Any) -> Any:
        return plain(x)
