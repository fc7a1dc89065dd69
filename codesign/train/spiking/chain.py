"""A dense network of plain neurons over some steps, as one differentiable function.

Forward and backward are those of :mod:`.fused`, layer after layer, without a graph between them:
one product of matrices a layer each way and parameter, and two numbers kept a neuron and step. For
spatial learning (SLTT), where no derivative leaves a step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from codesign.train.needs import need
from codesign.train.spiking.fused import Plain, is_plain
from codesign.train.spiking.network import SpikingNet
from codesign.train.spiking.rules.leaves import is_weight_layer

torch = need("torch")


def is_chain(net: SpikingNet) -> bool:
    """Whether :class:`Chain` can run the network: every block a dense layer of quantized weights
    and plain neurons, none recurrent."""
    return all(
        block.recurrent is None
        and isinstance(block.synapse, torch.nn.Linear)
        and is_weight_layer(block.synapse)
        and is_plain(block.neuron)
        for block in net.blocks
    )


@dataclass
class Chain:
    """A network with its quantized weights [out, in], and membranes that go on from call to call
    (None before the first)."""

    net: SpikingNet
    weights: list[Any]
    layers: list[Plain] = field(default_factory=list)
    membranes: list[Any] = field(default_factory=list)

    @staticmethod
    def of(net: SpikingNet, held: dict[int, Any]) -> Chain:
        """``held``: quantized weights by the ``id`` of their layers, from :func:`.leaves`."""
        return Chain(net, [held[id(block.synapse)] for block in net.blocks])

    def steps(self, x: Any, picks: list[int]) -> tuple[Any, Any]:
        """Outputs [steps, batch, classes] of inputs [steps, batch, features], without gradients;
        and those of the steps ``picks`` with the derivatives of weights and neurons, if any."""
        if not self.layers:
            shapes = [(x.shape[1], len(weight)) for weight in self.weights]
            neurons = [block.neuron for block in self.net.blocks]
            self.layers = [Plain.of(n, shape) for n, shape in zip(neurons, shapes, strict=True)]
            layers = zip(self.layers, shapes, strict=True)
            self.membranes = [layer.begin(shape) for layer, shape in layers]
        if not picks:
            return self.forward(x)[0], None
        pairs = zip(self.weights, self.layers, strict=True)
        parameters = [t for weight, p in pairs for t in (weight, p.theta, p.bias)]
        learned, every = _Chunk.apply(self, x, picks, *parameters)
        return every, learned

    def forward(self, x: Any) -> tuple[Any, list[Any], list[Any]]:
        """Outputs; then each layer's inputs, and membranes before their clamp."""
        given, kept = [], []
        with torch.no_grad():
            for weight, layer, v in zip(self.weights, self.layers, self.membranes, strict=True):
                given.append(x)
                x, u = layer.forward((x.flatten(0, 1) @ weight.T).unflatten(0, x.shape[:2]), v)
                kept.append(u)
        return x, given, kept


class _Chunk(torch.autograd.Function):  # type: ignore[misc, name-defined]
    @staticmethod
    def forward(ctx: Any, chain: Chain, x: Any, picks: list[int], *parameters: Any) -> Any:
        every, given, kept = chain.forward(x)
        out = every
        if len(picks) < len(x):
            out, given = every[picks], [g[picks] for g in given]
            kept = [u[picks] for u in kept]
        else:
            every = out.clone()
        ctx.layers, ctx.count = chain.layers, len(given)
        ctx.mark_non_differentiable(every)
        ctx.save_for_backward(*given, *kept, *parameters[::3])
        return out, every

    @staticmethod
    def backward(ctx: Any, grad: Any, _: Any) -> Any:
        saved, n = ctx.saved_tensors, ctx.count
        found: list[Any] = []
        for index in range(n - 1, -1, -1):
            x, u, weight = (saved[index + n * part] for part in range(3))
            wants = ctx.needs_input_grad[4 + 3 * index], ctx.needs_input_grad[5 + 3 * index]
            grad, to_theta, to_bias = ctx.layers[index].derive(grad, u, *wants)
            rows = grad.flatten(0, 1)
            found = [rows.T @ x.flatten(0, 1), to_theta, to_bias, *found]
            if index:
                grad = (rows @ weight).unflatten(0, grad.shape[:2])
        return None, None, None, *found
