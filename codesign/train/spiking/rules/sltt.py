"""Spatial learning through time (Meng et al., ICCV 2023): gradients pass through the layers of a
step, never from one step to another, so steps are backpropagated and forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codesign.errors import UsageError
from codesign.train.needs import need
from codesign.train.spiking.network import Block, SpikingNet, check_steps
from codesign.train.spiking.rules.base import Objective, Rule
from codesign.train.spiking.rules.leaves import leaves
from codesign.train.spiking.step import States

torch = need("torch")


@dataclass(frozen=True)
class Sltt(Rule):
    """``k``: how many of the steps, drawn for each batch, are learned from (SLTT-K; their
    gradients then weigh ``steps / k``); None is all of them.

    As nothing connects steps, ``chunk`` of them are backpropagated as one larger batch: first
    their states without gradients, then all their spikes at once from the states before. Memory
    is that of ``chunk`` steps, whatever T is; gradients do not depend on it. Recurrent networks
    go step by step.
    """

    k: int | None = None
    chunk: int = 4

    def gradients(self, net: SpikingNet, x: Any, y: Any, objective: Objective) -> float:
        check_steps(x)
        steps = x.shape[1]
        k = steps if self.k is None else self.k
        if not 1 <= k <= steps:
            raise UsageError(f"SLTT-K learns from 1 to T = {steps} steps, got K = {k}")
        chosen = set(range(steps)) if k == steps else set(torch.randperm(steps)[:k].tolist())
        loops = any(block.recurrent is not None for block in net.blocks)
        chunk = 1 if loops else self.chunk
        layers = [_Layer(block) for block in net.blocks]
        score: Any = torch.zeros(())
        total = 0.0
        with leaves(net):
            for start in range(0, steps, chunk):
                span = range(start, min(start + chunk, steps))
                picks = [t - start for t in span if t in chosen]
                outs = x[:, start : span.stop].contiguous()
                learned: Any = outs[:, picks] if picks else None
                for layer in layers:
                    outs, learned = layer.steps(outs, learned, picks)
                losses = []
                for i, t in enumerate(span):
                    if i in picks:
                        out = learned[:, picks.index(i)]
                        now = objective.readout.so_far(score, out, t, steps)
                        losses.append(objective.loss(now, y, steps) / k)
                    with torch.no_grad():
                        score = objective.readout.so_far(score, outs[:, i], t, steps)
                if losses:
                    loss = sum(losses[1:], losses[0])
                    loss.backward()
                    total += float(loss.detach())
        return total


class _Layer:
    """A block and its states."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.states: States | None = None

    def steps(self, x: Any, learned: Any, picks: list[int]) -> tuple[Any, Any]:
        """Outputs of inputs [batch, steps, ...], without gradients; and those of the steps
        ``picks`` once more, from inputs ``learned`` that carry gradients, if there are any."""
        current: Any = None
        if picks:
            current = _at_once(self.block.current, learned)
        if picks and len(picks) == x.shape[1]:
            currents = current.detach()
        else:
            with torch.no_grad():
                currents = _at_once(self.block.current, x)
        outs, before = [], []
        neuron = self.block.neuron
        with torch.no_grad():
            p = neuron.parameters_for(tuple(currents[:, 0].shape)) if neuron is not None else None
            for t in range(x.shape[1]):
                if t in picks:
                    before.append(self._now(currents[:, t]))
                out, self.states = self.block.charge(currents[:, t], self.states, p)
                outs.append(out)
        plain = torch.stack(outs, 1)
        if not picks:
            return plain, None
        names = before[0]
        states = {name: torch.stack([s[name] for s in before], 1).flatten(0, 1) for name in names}
        out, _ = self.block.charge(current.flatten(0, 1), states)
        return plain, out.unflatten(0, (len(x), len(picks)))

    def _now(self, current: Any) -> States:
        """The states before this step."""
        neuron = self.block.neuron
        if neuron is None:
            return {}
        states = dict(self.states or neuron.begin(tuple(current.shape)))
        if self.block.recurrent is not None and "y" not in states:
            states["y"] = torch.zeros_like(current)
        return states


def _at_once(layer: Any, x: Any) -> Any:
    """A layer without state on [batch, steps, ...]."""
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
