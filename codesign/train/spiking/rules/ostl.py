"""Online spatio-temporal learning (Bohnstingl et al. 2022): eligibility traces carried forward.

For each synapse and each state s of its neuron, with ``d`` an element-wise derivative::

    eps_s <- sum_r (ds/dr) eps_r + (ds/dI) x        e = sum_r (dy/dr) eps_r + (dy/dI) x

The gradient is the sum over steps of ``L e``, where the learning signal ``L = dloss/dy`` comes
through the layers of the same step. For one layer that is the gradient of BPTT; for several, what
reaches a layer through the memory of a later one is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from codesign.errors import UsageError
from codesign.train.needs import need
from codesign.train.spiking.layer import SpikingLayer
from codesign.train.spiking.network import Block, SpikingNet, check_steps
from codesign.train.spiking.rules.base import Objective, Rule
from codesign.train.spiking.rules.leaves import weight_layers
from codesign.train.spiking.step import States

torch = need("torch")


@dataclass(frozen=True)
class Ostl(Rule):
    """For dense feed-forward networks. Memory: a trace of [batch, out, in] for each layer and
    state, whatever the number of steps."""

    def gradients(self, net: SpikingNet, x: Any, y: Any, objective: Objective) -> float:
        check_steps(x)
        layers = [_Layer(block) for block in net.blocks]
        steps, total = x.shape[1], 0.0
        score: Any = 0.0
        for t in range(steps):
            out = x[:, t]
            for layer in layers:
                out = layer.step(out)
            score = objective.readout.so_far(score, out, t, steps)
            loss = objective.loss(score, y, steps) / steps
            signals = torch.autograd.grad(loss, [layer.out for layer in layers], retain_graph=True)
            for layer, signal in zip(layers, signals, strict=True):
                layer.learn(signal)
            total += float(loss.detach())
            score = score.detach()
        for layer in layers:
            layer.finish()
        return total


def dense_layer(block: Block) -> Any:
    """The one Brevitas linear layer of a block; ``UsageError`` for any other block."""
    found = weight_layers(block)
    dense = len(found) == 1 and isinstance(block.synapse, torch.nn.Linear)
    if not dense or block.neuron is None or block.recurrent is not None:
        raise UsageError(
            "local rules learn dense feed-forward layers of neurons",
            hint="use bptt or sltt for convolutional, pooled or recurrent ones",
        )
    return found[0]


@dataclass
class _Layer:
    """A block, its states, and the eligibility of all it learns. Parameters other than weights
    are synapses of their own: one a neuron."""

    block: Block
    states: States | None = None
    traces: dict[str, dict[str, Any]] = field(default_factory=dict)
    grads: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        linear = dense_layer(self.block)
        self.quantized = linear.quant_weight()
        self.quantized = getattr(self.quantized, "value", self.quantized)
        self.weight = self.quantized.detach()
        self.neuron: SpikingLayer = self.block.neuron  # type: ignore[assignment]
        self.codes = {name: self.neuron.parameter(name) for name in self.neuron.learn}

    def step(self, x: Any) -> Any:
        """One step; the graph reaches back to the input, not to the step before."""
        neuron = self.neuron
        self.x = x.detach()
        self.current = torch.nn.functional.linear(x, self.weight)
        shape = tuple(self.current.shape)
        states = self.states or neuron.begin(shape)
        self.old = {n: v.detach().requires_grad_() for n, v in states.items()}
        p = dict(neuron.parameters_for(shape))
        for name in neuron.learn:
            p[name] = p[name].detach().expand(shape).clone().requires_grad_()
        self.p = {name: p[name] for name in neuron.learn}
        if not self.current.requires_grad:
            self.current.requires_grad_()
        self.out, new = neuron.step(self.current, self.old, p)
        self.new = new
        self.states = {n: v.detach() for n, v in new.items()}
        return self.out

    def learn(self, signal: Any) -> None:
        """Take the learning signal of this step into the gradients; bring the traces on."""
        ins = {**self.old, "I": self.current, **self.p}
        to_out = _derivatives(self.out, ins)
        to_new = {name: _derivatives(value, ins) for name, value in self.new.items()}
        for name in ("I", *self.p):
            given = self.x[:, None, :] if name == "I" else None
            old = self.traces.get(name, {})
            e = _carried(to_out, old, name, given)
            found = (signal if given is None else signal[:, :, None]) * e
            self.grads[name] = self.grads.get(name, 0.0) + found.sum(0)
            self.traces[name] = {s: _carried(to_new[s], old, name, given) for s in self.new}

    def finish(self) -> None:
        """Send the gradients through the quantizers to the parameters."""
        self.quantized.backward(self.grads["I"])
        for name, codes in self.codes.items():
            channels = len(codes)
            codes.backward(self.grads[name].reshape(-1, channels).sum(0))


def _derivatives(of: Any, ins: dict[str, Any]) -> dict[str, Any]:
    """d of / d in, element by element, of the inputs it depends on."""
    if not of.requires_grad:
        return {}
    found = torch.autograd.grad(of.sum(), list(ins.values()), retain_graph=True, allow_unused=True)
    return {n: g.detach() for n, g in zip(ins, found, strict=True) if g is not None}


def _carried(d: dict[str, Any], traces: dict[str, Any], name: str, given: Any) -> Any:
    """``sum_r d_r traces_r + d_name given`` ([batch, out, in], or [batch, out])."""
    total: Any = 0.0
    for state, trace in traces.items():
        if state in d and not isinstance(trace, float):
            total = total + (d[state] if given is None else d[state][:, :, None]) * trace
    if name in d:
        total = total + (d[name] if given is None else d[name][:, :, None] * given)
    return total
