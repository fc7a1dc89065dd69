"""Conversion of an ordinary network (Bu et al., ICLR 2022, "QCFS").

Train with the activation ``clip(floor(x L / lambda + 1/2) / L, 0, 1) lambda``; then run
integrate-and-fire neurons with threshold lambda, half of it at the start, and soft reset. With a
constant input and T = L steps a neuron spikes exactly as often as the quantizer's level says.

``lambda`` is a power of two here, learned: then a spike worth lambda only moves the binary point
of the next layer's weights, and thresholds are whole codes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from codesign.neurons import Lif
from codesign.train.needs import need
from codesign.train.spiking.build import NetConfig, lif, quant_linear
from codesign.train.spiking.layer import SpikingLayer
from codesign.train.spiking.network import Block, SpikingNet, plain
from codesign.train.spiking.ste import rounded

torch = need("torch")


class Qcfs(torch.nn.Module):  # type: ignore[misc, name-defined]
    """The activation, with ``levels`` L. Straight-through in x, and in the rounding of lambda."""

    def __init__(self, levels: int, initial: float = 1.0) -> None:
        super().__init__()
        self.levels = levels
        self.log_lambda = torch.nn.Parameter(torch.tensor(float(np.log2(initial))))

    @property
    def exponent(self) -> int:
        """m of ``lambda = 2**m``."""
        return int(torch.round(self.log_lambda.detach()))

    def forward(self, x: Any) -> Any:
        """Same shape; multiples of ``lambda / L`` from 0 to lambda."""
        top = torch.exp2(rounded(self.log_lambda, "half_even"))
        level = rounded(x / top * self.levels + 0.5, "floor")
        return (level / self.levels).clamp(0, 1) * top


def ann(config: NetConfig, levels: int) -> Any:
    """The network to train: weights of Brevitas, :class:`Qcfs` between them."""
    pairs = list(zip(config.sizes, config.sizes[1:], strict=False))
    layers: list[Any] = []
    for index, (fan_in, fan_out) in enumerate(pairs):
        layers.append(quant_linear(fan_in, fan_out, config.weights, config.weight_frac))
        if index < len(pairs) - 1:
            layers.append(Qcfs(levels))
    return torch.nn.Sequential(*layers)


def integrate_and_fire(config: NetConfig, weight_frac: int, exponent: int, reach: float) -> Lif:
    """The neuron of a :class:`Qcfs` with ``lambda = 2**exponent``, whose membrane never leaves
    ``-reach..reach``; it holds one fraction bit more than its weights where half the threshold
    needs it."""
    frac = max(weight_frac, 1 - exponent)
    theta = 1 << (exponent + frac)
    bits = int(np.ceil(np.log2((reach + 2.0**exponent) * 2.0**frac + 1))) + 1
    model = lif(replace(config, weight_frac=weight_frac, extra_frac=0, threshold=1.0, decay=1.0))
    return replace(
        model,
        word=replace(model.word, bits=bits, frac=frac),
        theta=np.array([theta]),
        v0=np.array([theta // 2]),
    )


def convert(net: Any, config: NetConfig, steps: int) -> SpikingNet:
    """The spiking network of a trained :func:`ann`, to run ``steps`` steps of constant input.

    State words hold whatever can occur in that time, so nothing saturates. The last layer
    integrates.
    """
    linears = [m for m in net if isinstance(m, torch.nn.Linear)]
    acts = [m for m in net if isinstance(m, Qcfs)]
    blocks, shift = [], 0
    for index, linear in enumerate(linears):
        last = index == len(linears) - 1
        frac = config.weight_frac - shift + (config.input_frac if index == 0 else 0)
        weights = _moved(linear, config, shift)
        reach = steps * float(plain(weights.quant_weight()).detach().abs().sum(1).max())
        exponent = 0 if last else acts[index].exponent
        model = integrate_and_fire(config, frac, exponent, reach)
        if last:
            zero = np.zeros(1)
            model = replace(model, output="membrane", reset="none", v0=zero)
        blocks.append(Block(weights, SpikingLayer(model)))
        shift = exponent
    return SpikingNet(*blocks)


def _moved(linear: Any, config: NetConfig, shift: int) -> Any:
    """The same weights times ``2**shift``, what a spike of the layer before is worth."""
    out, fan_in = linear.weight.shape
    frac = config.weight_frac - shift
    made = quant_linear(fan_in, out, config.weights, frac)
    with torch.no_grad():
        made.weight.copy_(plain(linear.quant_weight()) * 2.0**shift)
    return made
