"""Brevitas' bnn_pynq models (TFC, SFC, LFC, CNV), written from their layers: constant scales,
bipolar or ternary weights and activations, batch norm between."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.core.restrict_val import RestrictValueType
from brevitas.core.scaling import ScalingImplType
from brevitas.core.zero_point import ZeroZeroPoint
from brevitas.inject import ExtendedInjector, value
from brevitas.inject.enum import BitWidthImplType, FloatToIntImplType, QuantType
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from torch import nn

from tests.zoo.registry import QCDQ, enlist


class Common(ExtendedInjector):
    """Constant scale; one bit is bipolar."""

    bit_width_impl_type = BitWidthImplType.CONST
    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    zero_point_impl = ZeroZeroPoint
    float_to_int_impl_type = FloatToIntImplType.ROUND
    scaling_per_output_channel = False
    narrow_range = True
    signed = True

    @value
    def quant_type(bit_width: int) -> QuantType:  # noqa: N805 (Brevitas injects the argument)
        return QuantType.BINARY if bit_width == 1 else QuantType.INT


class CommonWeight(Common, WeightQuantSolver):
    """Weights in -1..1."""

    scaling_const = 1.0


class CommonAct(Common, ActQuantSolver):
    """Activations in -1..1."""

    min_val = -1.0
    max_val = 1.0


class TensorNorm(nn.Module):
    """Batch norm with one mean and variance for the whole tensor, as bnn_pynq ends in."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(0.5))
        self.register_buffer("var", torch.tensor(16.0))
        self.weight = nn.Parameter(torch.tensor(0.75))
        self.bias = nn.Parameter(torch.tensor(0.125))

    def forward(self, x: Any) -> Any:
        return (x - self.mean) / (self.var + 1e-4).pow(0.5) * self.weight + self.bias


def act(bits: int, **options: Any) -> Any:
    """An activation quantizer of 1 (bipolar) or more bits."""
    return qnn.QuantIdentity(act_quant=CommonAct, bit_width=bits, **options)


def linear(inputs: int, outputs: int, bits: int) -> Any:
    """A dense layer without bias."""
    options = {"weight_quant": CommonWeight, "weight_bit_width": bits}
    return spread(qnn.QuantLinear(inputs, outputs, bias=False, **options))


def spread(layer: Any) -> Any:
    """``layer`` with weights over all of -1..1: PyTorch's own first ones all round to zero."""
    nn.init.uniform_(layer.weight, -1, 1)
    return layer


class Scaled(nn.Sequential):
    """0..1 to -1..1, then the layers."""

    def forward(self, x: Any) -> Any:
        return super().forward(2.0 * x - torch.tensor([1.0]))


def fc(hidden: int, weights: int, acts: int, side: int = 28) -> Any:
    """TFC (64), SFC (256), LFC (1024): three hidden layers."""
    layers: list[Any] = [nn.Flatten(), act(acts)]
    sizes = [side * side, hidden, hidden, hidden]
    for k, n in zip(sizes, sizes[1:], strict=False):
        layers += [linear(k, n, weights), nn.BatchNorm1d(n), act(acts)]
    return Scaled(*layers, linear(hidden, 10, weights), TensorNorm())


def cnv(weights: int, acts: int, width: int = 64) -> Any:
    """CNV on 3x32x32: six convolutions, two poolings, three dense layers. ``width``: channels of
    the first convolution."""
    first = act(8, max_val=1.0 - 2.0**-7, narrow_range=False,
                restrict_scaling_type=RestrictValueType.POWER_OF_TWO)  # fmt: skip
    layers: list[Any] = [first]
    channels = 3
    for n, pool in ((1, 0), (1, 1), (2, 0), (2, 1), (4, 0), (4, 0)):
        options = {"weight_quant": CommonWeight, "weight_bit_width": weights}
        layers += [
            spread(qnn.QuantConv2d(channels, n * width, 3, bias=False, **options)),
            nn.BatchNorm2d(n * width, eps=1e-4),
            act(acts),
        ]
        layers += [nn.MaxPool2d(2)] if pool else []
        channels = n * width
    layers.append(nn.Flatten())
    for _ in range(2):
        layers += [linear(channels, 8 * width, weights), nn.BatchNorm1d(8 * width), act(acts)]
        channels = 8 * width
    return Scaled(*layers, linear(channels, 10, weights), TensorNorm())


# QCDQ has no bipolar quantizer, and its standard QuantizeLinear no one-bit type.
for _w, _a in ((1, 1), (1, 2), (2, 2)):
    _skip = (QCDQ,) if 1 in (_w, _a) else ()
    for _name, _hidden in (("tfc", 64), ("sfc", 256), ("lfc", 1024)):
        enlist(
            f"{_name}_w{_w}a{_a}",
            lambda h=_hidden, w=_w, a=_a: fc(h, w, a),
            (1, 28, 28),
            slow=_name != "tfc",
            skip=_skip,
        )
    enlist(f"cnv_w{_w}a{_a}", lambda w=_w, a=_a: cnv(w, a), (3, 32, 32), slow=True, skip=_skip)
    enlist(f"cnv_small_w{_w}a{_a}", lambda w=_w, a=_a: cnv(w, a, 4), (3, 32, 32), skip=_skip)
