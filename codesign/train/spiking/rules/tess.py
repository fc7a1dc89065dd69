"""TESS (Apolinario and Roy 2025): local in time and in space, memory of a trace for each neuron.

With ``tr_x <- lambda tr_x + x`` of the inputs and ``tr_Psi <- lambda tr_Psi + Psi`` of the outputs'
surrogate derivative ``Psi``, every step gives each layer

    dw_ij = m_i (a_pre Psi_i tr_x_j + a_post tr_Psi_i x_j)

where ``m`` is the layer's own learning signal: the error of a classifier with fixed random signs
that reads its spikes. The last layer's is the error of the readout itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codesign.train.needs import need
from codesign.train.spiking.layer import SpikingLayer
from codesign.train.spiking.network import Block, SpikingNet, check_steps
from codesign.train.spiking.rules.base import Objective, Rule
from codesign.train.spiking.rules.ostl import dense_layer
from codesign.train.spiking.step import States

torch = need("torch")


@dataclass(frozen=True)
class Tess(Rule):
    """``decay_pre``, ``decay_post``: of the traces. ``a_pre``, ``a_post``: weights of the causal
    and the other part. ``seed``: of the fixed signs."""

    decay_pre: float = 0.875
    decay_post: float = 0.25
    a_pre: float = 1.0
    a_post: float = 0.25
    seed: int = 1

    def gradients(self, net: SpikingNet, x: Any, y: Any, objective: Objective) -> float:
        check_steps(x)
        steps, total = x.shape[1], 0.0
        layers = [_Layer(self, block) for block in net.blocks]
        score: Any = 0.0
        for t in range(steps):
            out = x[:, t]
            for index, layer in enumerate(layers):
                out = layer.step(out)
                if index < len(layers) - 1:
                    layer.learn(self._local(out, y, int(y.max()) + 1, index) / steps)
            score = objective.readout.so_far(score, out, t, steps)
            total += float(objective.loss(score, y, steps)) / steps
            error = objective.logits(score, steps).softmax(1)
            error[torch.arange(len(y)), y] -= 1
            unit = objective.gain / objective.readout.unit(steps)
            layers[-1].learn(error * (unit / len(y) / steps))
        for layer in layers:
            layer.finish()
        return total

    def _local(self, spikes: Any, y: Any, classes: int, index: int) -> Any:
        """The error of the fixed classifier, brought back to the neurons: [batch, neurons]."""
        generator = torch.Generator().manual_seed(self.seed + index)
        classes = max(classes, 10)
        signs = torch.randint(0, 2, (spikes.shape[1], classes), generator=generator) * 2.0 - 1
        signs = signs / spikes.shape[1] ** 0.5
        error = (spikes @ signs).softmax(1)
        error[torch.arange(len(y)), y] -= 1
        return error @ signs.T / len(y)


class _Layer:
    def __init__(self, rule: Tess, block: Block) -> None:
        self.rule = rule
        self.neuron: SpikingLayer = block.neuron  # type: ignore[assignment]
        quantized = dense_layer(block).quant_weight()
        self.quantized = getattr(quantized, "value", quantized)
        self.weight = self.quantized.detach()
        self.grad = torch.zeros_like(self.weight)
        self.bias: Any = 0.0
        self.states: States | None = None
        self.pre: Any = 0.0
        self.post: Any = 0.0

    def step(self, x: Any) -> Any:
        """One step and its traces; keeps nothing of the step before but traces and states."""
        rule = self.rule
        current = torch.nn.functional.linear(x, self.weight).requires_grad_()
        out, new = self.neuron.step(current, self.states or self.neuron.begin(tuple(current.shape)))
        # Psi is what the surrogate makes of the membrane before its reset.
        (self.psi,) = torch.autograd.grad(out.sum(), current)
        self.states = {name: value.detach() for name, value in new.items()}
        self.x = x
        self.pre = rule.decay_pre * self.pre + x
        self.post = rule.decay_post * self.post + self.psi
        return out.detach()

    def learn(self, m: Any) -> None:
        """``m``: [batch, neurons], the descent direction's opposite."""
        rule = self.rule
        self.grad += (m * self.psi * rule.a_pre).T @ self.pre
        self.grad += (m * self.post * rule.a_post).T @ self.x
        self.bias = self.bias + (m * self.psi).sum(0)

    def finish(self) -> None:
        """The gathered changes go, straight through the quantizer, to the parameters."""
        self.quantized.backward(self.grad)
        if "bias" in self.neuron.learn:
            codes = self.neuron.parameter("bias")
            worth = 2.0**-self.neuron.model.word.frac
            codes.backward((self.bias * worth).reshape(-1, len(codes)).sum(0).to(codes.dtype))
