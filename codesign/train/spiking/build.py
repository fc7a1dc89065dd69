"""Spiking networks from a few numbers: weights by Brevitas, neurons of one kind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codesign.errors import UsageError
from codesign.neurons import Leak, Lif, Word
from codesign.train.needs import need
from codesign.train.spiking.layer import SpikingLayer
from codesign.train.spiking.network import Block, SpikingNet
from codesign.train.spiking.ste import Grid


@dataclass(frozen=True)
class NetConfig:
    """Shape and precision.

    ``sizes``: inputs, hidden layers, classes. ``weights``: bits; a weight's code is worth
    ``2**-weight_frac``. ``input_frac``: fraction bits of the input (0 for spikes). ``state_bits``:
    of the membrane, whose codes are worth ``2**-(weight_frac + extra_frac)``. ``decay``: of a step,
    in ``decay_frac`` bits. ``threshold``: in the real scale. ``neuron``: another model for the
    hidden layers, its ``input_frac`` excepted. ``recurrent``: hidden layers have weights to
    themselves.
    """

    sizes: tuple[int, ...]
    weights: int = 4
    weight_frac: int = 4
    input_frac: int = 0
    state_bits: int = 12
    extra_frac: int = 2
    decay: float = 0.875
    decay_frac: int = 4
    threshold: float = 1.0
    out_decay: float = 1.0
    output: str = "membrane"
    learn: tuple[str, ...] = ("theta", "bias")
    neuron: Lif | None = None
    recurrent: bool = False
    surrogate: str = "fast_sigmoid"
    slope: float = 2.0

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise UsageError(f"layer sizes must be positive, got {self.sizes}")
        if not 2 <= self.weights <= 8:
            raise UsageError(f"weights have 2 to 8 bits, got {self.weights}")


def exact_code(value: float, frac: int, what: str) -> int:
    """``value * 2**frac``; ``UsageError`` with the nearest that is whole where it is not."""
    code = value * 2.0**frac
    if code != round(code):
        raise UsageError(
            f"{what} = {value} is no multiple of 2^-{frac}",
            hint=f"the nearest that the format holds is {round(code) / 2.0**frac}",
        )
    return round(code)


def leak_of(decay: float, frac: int) -> Leak:
    """None for 1, a shift where ``decay`` is ``1 - 2**-k``, else a product of ``frac`` bits."""
    lost = 1.0 - decay
    if lost == 0.0:
        return Leak("none", np.zeros(1))
    shift = -np.log2(lost) if 0 < lost < 1 else 0.5
    if shift == round(shift):
        return Leak("shift_floor", np.array([round(shift)]))
    return Leak("mul_floor", np.array([exact_code(decay, frac, "decay")]), frac)


def lif(config: NetConfig, output: str = "spikes") -> Lif:
    """The network's neurons: soft reset in the same step, charge rounded down, clamped once."""
    frac = config.weight_frac + config.extra_frac
    decay = config.decay if output == "spikes" else config.out_decay
    return Lif(
        word=Word(config.state_bits, frac, True, "sat_step"),
        leak=leak_of(decay, config.decay_frac),
        theta=np.array([exact_code(config.threshold, frac, "threshold")]),
        compare="ge",
        reset="subtract" if output == "spikes" else "none",
        reset_timing="same",
        reset_vs_leak="after",
        reset_vs_input="before",
        input_frac=config.weight_frac,
        rounding="floor",
        spike_levels=1,
        refractory=0,
        refractory_mode="silent",
        output=output,
    )


def quant_linear(fan_in: int, fan_out: int, bits: int, frac: int) -> Any:
    """Brevitas weights of codes ``-(2**(bits-1)-1) ... 2**(bits-1)-1`` worth ``2**-frac``."""
    layer = need("brevitas.nn").QuantLinear(
        fan_in, fan_out, bias=False, weight_quant=weight_quant(bits, frac), weight_bit_width=bits
    )
    initialize(layer, bits, frac)
    return layer


def quant_conv(channels: int, out: int, kernel: int, bits: int, frac: int, **more: Any) -> Any:
    """The same for a 2-D convolution."""
    layer = need("brevitas.nn").QuantConv2d(
        channels,
        out,
        kernel,
        bias=False,
        weight_quant=weight_quant(bits, frac),
        weight_bit_width=bits,
        **more,
    )
    initialize(layer, bits, frac)
    return layer


def weight_quant(bits: int, frac: int) -> Any:
    """A Brevitas weight quantizer with the constant scale ``2**-frac``."""
    base = need("brevitas.quant.fixed_point").Int8WeightPerTensorFixedPoint
    top = Grid(bits, frac).top
    return base.let(scaling_impl_type="const", scaling_init=top, bit_width=bits)


def initialize(layer: Any, bits: int, frac: int) -> None:
    """Normal, of the usual size for its fan-in but no smaller than half a step; the layer then
    knows its :class:`.Grid`."""
    torch = need("torch")
    fan_in = layer.weight[0].numel()
    size = max((2.0 / fan_in) ** 0.5, 0.5 * 2.0**-frac)
    layer.grid = grid = Grid(bits, frac)
    with torch.no_grad():
        layer.weight.normal_(0, size).clamp_(-grid.top, grid.top)


def dense_net(config: NetConfig) -> SpikingNet:
    """Fully connected; the last layer reads out as ``config.output`` says."""
    blocks = []
    for index, (fan_in, fan_out) in enumerate(zip(config.sizes, config.sizes[1:], strict=False)):
        last = index == len(config.sizes) - 2
        given = config.input_frac if index == 0 else 0
        model = lif(config, config.output if last else "spikes")
        if config.neuron is not None and not last:
            model = config.neuron
        model = replace(model, input_frac=config.weight_frac + given)
        weights = quant_linear(fan_in, fan_out, config.weights, config.weight_frac)
        learn = tuple(
            n for n in config.learn if not (last and n == "theta" and config.output == "membrane")
        )
        neuron = SpikingLayer(
            model,
            learn=learn,
            features=fan_out,
            surrogate_gradient=config.surrogate,
            slope=config.slope,
        )
        back = None
        if config.recurrent and not last:
            back = quant_linear(fan_out, fan_out, config.weights, config.weight_frac)
        blocks.append(Block(weights, neuron, back))
    return SpikingNet(*blocks)
