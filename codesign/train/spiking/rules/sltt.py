"""Spatial learning through time (Meng et al., ICCV 2023): gradients pass through the layers of a
step, never from one step to another, so steps are backpropagated and forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codesign.errors import UsageError
from codesign.train.needs import need
from codesign.train.spiking.chain import Chain, is_chain
from codesign.train.spiking.fused import Plain, is_plain
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
    their states without gradients, then the derivatives of all their spikes at once. Memory
    is that of ``chunk`` steps, whatever T is; gradients do not depend on it. Recurrent networks
    go step by step. Plain neurons run as in :mod:`codesign.train.spiking.fused`, dense networks of
    them as in :mod:`codesign.train.spiking.chain`.
    """

    k: int | None = None
    chunk: int = 8

    def gradients(self, net: SpikingNet, x: Any, y: Any, objective: Objective) -> float:
        check_steps(x)
        steps = x.shape[1]
        k = steps if self.k is None else self.k
        if not 1 <= k <= steps:
            raise UsageError(f"SLTT-K learns from 1 to T = {steps} steps, got K = {k}")
        chosen = set(range(steps)) if k == steps else set(torch.randperm(steps)[:k].tolist())
        loops = any(block.recurrent is not None for block in net.blocks)
        chunk = 1 if loops else self.chunk
        scores = _Scores(objective, y, steps, k)
        with leaves(net) as held:
            run = Chain.of(net, held) if is_chain(net) else _Layers(net)
            for start in range(0, steps, chunk):
                span = range(start, min(start + chunk, steps))
                picks = [t - start for t in span if t in chosen]
                outs = x[:, start : span.stop].transpose(0, 1).contiguous()
                outs, learned = run.steps(outs, picks)
                scores.learn(span, picks, outs, learned)
        return scores.total


class _Scores:
    """The score so far, and the losses of steps."""

    def __init__(self, objective: Objective, y: Any, steps: int, k: int) -> None:
        self.objective, self.y, self.steps, self.k = objective, y, steps, k
        self.score: Any = torch.zeros(())
        self.total = 0.0

    def learn(self, span: range, picks: list[int], outs: Any, learned: Any) -> None:
        """Backpropagate the losses after the steps ``picks`` of ``span``, all of the same weight;
        outputs [steps, batch, classes] without gradients, and ``learned`` with theirs."""
        read, now = self.objective.readout, []
        rows = iter(learned.unbind(0)) if picks else iter(())
        for i, t in enumerate(span):
            if i in picks:
                now.append(read.so_far(self.score, next(rows), t, self.steps))
            self.score = read.so_far(self.score, outs[i], t, self.steps)
        if now:
            mean = self.objective.loss(torch.cat(now), self.y.repeat(len(now)), self.steps)
            loss = mean * (len(now) / self.k)
            loss.backward()
            self.total += float(loss.detach())


class _Layers:
    """A network of any blocks."""

    def __init__(self, net: SpikingNet) -> None:
        self.layers = [_layer(block) for block in net.blocks]

    def steps(self, x: Any, picks: list[int]) -> tuple[Any, Any]:
        """As :meth:`.Chain.steps`."""
        learned: Any = _some(x, picks) if picks else None
        for layer in self.layers:
            x, learned = layer.steps(x, learned, picks)
        return x, learned


def _layer(block: Block) -> _Layer:
    plain = block.recurrent is None and is_plain(block.neuron)
    return _PlainLayer(block) if plain else _Layer(block)


class _Layer:
    """A block and its states."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.states: States | None = None

    def steps(self, x: Any, learned: Any, picks: list[int]) -> tuple[Any, Any]:
        """Outputs of inputs [steps, batch, ...], without gradients; and those of the steps
        ``picks`` once more, from inputs ``learned`` that carry gradients, if there are any."""
        current, currents = self._currents(x, learned, picks)
        outs, before = [], []
        neuron = self.block.neuron
        with torch.no_grad():
            p = neuron.parameters_for(tuple(currents[0].shape)) if neuron is not None else None
            for t in range(len(x)):
                if t in picks:
                    before.append(self._now(currents[t]))
                out, self.states = self.block.charge(currents[t], self.states, p)
                outs.append(out)
        plain = torch.stack(outs)
        if not picks:
            return plain, None
        names = before[0]
        states = {name: torch.cat([s[name] for s in before]) for name in names}
        out, _ = self.block.charge(current.flatten(0, 1), states)
        return plain, out.unflatten(0, (len(picks), x.shape[1]))

    def _currents(self, x: Any, learned: Any, picks: list[int]) -> tuple[Any, Any]:
        """Of the steps ``picks``, with gradients; of all, without."""
        current: Any = _at_once(self.block.current, learned) if picks else None
        if len(picks) == len(x):
            return current, current.detach()
        with torch.no_grad():
            if not picks:
                return None, _at_once(self.block.current, x)
            others = [t for t in range(len(x)) if t not in picks]
            currents = current.new_empty((len(x), *current.shape[1:]))
            currents[picks] = current.detach()
            currents[others] = _at_once(self.block.current, x[others])
        return current, currents

    def _now(self, current: Any) -> States:
        """The states before this step."""
        neuron = self.block.neuron
        if neuron is None:
            return {}
        states = dict(self.states or neuron.begin(tuple(current.shape)))
        if self.block.recurrent is not None and "y" not in states:
            states["y"] = torch.zeros_like(current)
        return states


class _PlainLayer(_Layer):
    """A block of plain neurons."""

    plain: Plain | None = None
    v: Any = None

    def steps(self, x: Any, learned: Any, picks: list[int]) -> tuple[Any, Any]:
        current, currents = self._currents(x, learned, picks)
        if self.plain is None:
            shape = tuple(currents.shape[1:])
            self.plain = Plain.of(self.block.neuron, shape)  # type: ignore[arg-type]
            self.v = self.plain.begin(shape)
        if not picks:
            with torch.no_grad():
                return self.plain.forward(currents, self.v)[0], None
        if len(picks) == len(x):
            out = self.plain.run(current, self.v, through_time=False)
            return out.detach(), out
        out, every = self.plain.run_some(currents, picks, current, self.v)
        return every, out


def _some(x: Any, picks: list[int]) -> Any:
    return x if len(picks) == len(x) else x[picks]


def _at_once(layer: Any, x: Any) -> Any:
    """A layer without state on [steps, batch, ...]."""
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
