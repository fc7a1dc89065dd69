"""Backpropagation through time with surrogate gradients (Neftci et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codesign.train.spiking.fused import block as fused
from codesign.train.spiking.network import SpikingNet, check_steps
from codesign.train.spiking.rules.base import Objective, Rule


@dataclass(frozen=True)
class Bptt(Rule):
    """``every_step``: the loss is the mean of the losses after each step, not that after the
    last one (as the rules that go forward in time have it). ``activity``: what a hidden spike
    costs, per neuron and frame, beside the loss. ``fused``: plain neurons have the derivatives
    of :mod:`codesign.train.spiking.fused`, written out; else autograd's, step by step, which
    differ in the order of sums only."""

    every_step: bool = False
    activity: float = 0.0
    fused: bool = False

    def gradients(self, net: SpikingNet, x: Any, y: Any, objective: Objective) -> float:
        check_steps(x)
        spikes: Any = 0.0
        steps, out = x.shape[1], x
        for index, block in enumerate(net.blocks):
            out = fused(block, out) if self.fused else block(out)
            if self.activity and block.neuron is not None and index < len(net.blocks) - 1:
                spikes = spikes + out.sum() / len(x)
        score, losses = 0.0, []
        for t in range(steps):
            score = objective.readout.so_far(score, out[:, t], t, steps)
            if self.every_step or t == steps - 1:
                losses.append(objective.loss(score, y, steps))
        loss = sum(losses[1:], losses[0]) / len(losses)
        (loss + self.activity * spikes).backward()
        return float(loss.detach())
