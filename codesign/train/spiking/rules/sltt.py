"""Spatial learning through time (Meng et al., ICCV 2023): gradients pass through the layers of a
step, never from one step to another, so each step is backpropagated and forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codesign.errors import UsageError
from codesign.train.needs import need
from codesign.train.spiking.network import SpikingNet, check_steps
from codesign.train.spiking.rules.base import Objective, Rule
from codesign.train.spiking.rules.leaves import leaves
from codesign.train.spiking.step import States


@dataclass(frozen=True)
class Sltt(Rule):
    """``k``: how many of the steps, drawn for each batch, are learned from (SLTT-K; their
    gradients then weigh ``steps / k``); None is all of them. Memory does not depend on the
    number of steps."""

    k: int | None = None

    def gradients(self, net: SpikingNet, x: Any, y: Any, objective: Objective) -> float:
        torch = need("torch")
        check_steps(x)
        steps = x.shape[1]
        k = steps if self.k is None else self.k
        if not 1 <= k <= steps:
            raise UsageError(f"SLTT-K learns from 1 to T = {steps} steps, got K = {k}")
        chosen = set(range(steps)) if k == steps else set(torch.randperm(steps)[:k].tolist())
        states: list[States] | None = None
        score: Any = 0.0
        total = 0.0
        with leaves(net):
            for t in range(steps):
                with torch.set_grad_enabled(t in chosen):
                    out, new = net.step(x[:, t], states)
                    score = objective.readout.so_far(score, out, t, steps)
                    if t in chosen:
                        loss = objective.loss(score, y, steps) / k
                        loss.backward()
                        total += float(loss.detach())
                states = [{name: v.detach() for name, v in own.items()} for own in new]
                score = score.detach()
        return total
