"""Networks of spiking layers: dense, convolutional, pooled, recurrent."""

from __future__ import annotations

from typing import Any

from codesign.errors import UsageError
from codesign.train.needs import need
from codesign.train.spiking.layer import SpikingLayer
from codesign.train.spiking.step import States

torch = need("torch")


class Block(torch.nn.Module):  # type: ignore[misc, name-defined]
    """``synapse`` (weights, pooling, flattening: anything without state), then ``neuron``.

    ``recurrent``: a bias-free layer of weights from the neurons' spikes of the step before to
    their currents. Without a ``neuron`` the block only passes on.
    """

    def __init__(
        self, synapse: Any, neuron: SpikingLayer | None = None, recurrent: Any = None
    ) -> None:
        super().__init__()
        if recurrent is not None and neuron is None:
            raise UsageError("recurrent weights need neurons to come from")
        self.synapse = synapse
        self.neuron = neuron
        self.recurrent = recurrent

    def current(self, x: Any) -> Any:
        """What the weights make of [batch, ...], no recurrence: float."""
        return plain(self.synapse(x))

    def step(self, x: Any, states: States | None) -> tuple[Any, States]:
        """One step. ``states`` None: the first one. The last spikes are the state ``y``."""
        return self.charge(self.current(x), states)

    def charge(
        self, current: Any, states: States | None, p: States | None = None
    ) -> tuple[Any, States]:
        """One step from the feed-forward current on. ``p``: see :meth:`SpikingLayer.step`."""
        if self.neuron is None:
            return current, {}
        states = dict(states or self.neuron.begin(tuple(current.shape)))
        last = states.pop("y", None)
        if self.recurrent is not None and last is not None:
            current = current + plain(self.recurrent(last))
        out, new = self.neuron.step(current, states, p)
        if self.recurrent is not None:
            new["y"] = out
        return out, new

    def forward(self, x: Any) -> Any:
        """All steps of [batch, steps, ...]; the weights see them as one batch."""
        current = self.current(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        if self.neuron is None:
            return current
        if self.recurrent is None:
            return self.neuron(current)
        states: States | None = None
        outs = []
        for t in range(x.shape[1]):
            out, states = self.charge(current[:, t], states)
            outs.append(out)
        return torch.stack(outs, 1)


class SpikingNet(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Blocks one after the other, all steps of one before the next block, or step by step."""

    def __init__(self, *blocks: Block) -> None:
        super().__init__()
        if not blocks:
            raise UsageError("a network has at least one block")
        self.blocks = torch.nn.ModuleList(blocks)

    def forward(self, x: Any) -> Any:
        """Outputs [batch, steps, ...] of inputs [batch, steps, ...] (float32)."""
        check_steps(x)
        for block in self.blocks:
            x = block(x)
        return x

    def step(self, x: Any, states: list[States] | None = None) -> tuple[Any, list[States]]:
        """One step of [batch, ...]: outputs, and the states of each block to go on with."""
        new = []
        for index, block in enumerate(self.blocks):
            x, own = block.step(x, states[index] if states else None)
            new.append(own)
        return x, new


def check_steps(x: Any) -> None:
    """``UsageError`` for inputs without time steps."""
    if x.dim() < 3 or x.shape[1] < 1:
        raise UsageError(
            f"a spiking network takes [batch, steps, ...] with at least one step, "
            f"got shape {tuple(x.shape)}"
        )


def plain(x: Any) -> Any:
    """A tensor, of a Brevitas QuantTensor too."""
    return getattr(x, "value", x)
