"""A layer of neurons as a PyTorch module: forward exactly the integers, backward a surrogate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from codesign.errors import UsageError
from codesign.neurons import Leak, Lif
from codesign.neurons.leak import PRODUCTS
from codesign.train.needs import need
from codesign.train.spiking.ste import rounded
from codesign.train.spiking.step import Shape, States, dtype_for, step
from codesign.train.spiking.surrogate import surrogate

torch = need("torch")

LEARNABLE = ("theta", "bias", "leak", "synapse_leak", "adaptation_leak", "jump")


class SpikingLayer(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Neurons of one :class:`codesign.neurons.Lif`, applied to currents step by step.

    ``learn``: which of its parameters are trained (:data:`LEARNABLE`; leaks only where they
    multiply). They are rounded to the model's own integers, straight through, and kept in the
    range the format holds, so :meth:`neuron` is at any time what the module computes.
    ``features``: the length of learned vectors, so that each neuron or channel gets its own.

    Currents are float, worth themselves: of [batch, features] or [batch, channels, height,
    width], multiples of ``2**-input_frac``. Spikes are 0.0 ... ``spike_levels``; a membrane is
    its code times ``2**-frac``. States are codes.
    """

    def __init__(
        self,
        model: Lif,
        *,
        learn: tuple[str, ...] = (),
        features: int = 1,
        surrogate_gradient: str = "fast_sigmoid",
        slope: float = 2.0,
        through_reset: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.dtype = dtype_for(model)
        self.shape = Shape(surrogate(surrogate_gradient), slope, through_reset)
        self.learn = tuple(learn)
        #: Rounded parameters to use instead (see ``rules.leaves``).
        self.held: States = {}
        for name, codes in model.parameters().items():
            value = torch.tensor(codes, dtype=self.dtype)
            if name not in self.learn:
                self.register_buffer(f"p_{name}", value)
                continue
            self._check_learnable(name)
            grown = value.expand(features).clone() if len(codes) == 1 else value
            self.register_parameter(f"p_{name}", torch.nn.Parameter(grown))
        missing = set(self.learn) - set(model.parameters())
        if missing:
            raise UsageError(f"this neuron has no parameter {', '.join(sorted(missing))} to learn")

    def _check_learnable(self, name: str) -> None:
        if name not in LEARNABLE:
            raise UsageError(f"'{name}' is not trained", hint=f"one of {', '.join(LEARNABLE)}")
        if name.endswith("leak") and self._leak(name).kind not in PRODUCTS:
            raise UsageError(
                f"a leak of kind '{self._leak(name).kind}' is not trained",
                hint=f"one that multiplies: {', '.join(PRODUCTS)}",
            )

    def _leak(self, name: str) -> Leak:
        part = {"synapse_leak": self.model.synapse, "adaptation_leak": self.model.adaptation}
        owner = part.get(name) or self.model
        return owner.leak

    def _range(self, name: str) -> tuple[int, int]:
        """Codes that the model's format holds."""
        if name.endswith("leak"):
            return 0, 1 << self._leak(name).frac
        if name == "jump":
            return 0, self.model.word.hi
        if name == "theta":
            return 1, max(1, self.model.word.hi // self.model.spike_levels)
        return self.model.word.lo, self.model.word.hi

    def parameter(self, name: str) -> Any:
        """The codes of a parameter, [1] or [channels], with gradients if it is learned."""
        if name in self.held:
            return self.held[name]
        value = getattr(self, f"p_{name}")
        if name not in self.learn:
            return value
        return rounded(value, "half_even").clamp(*self._range(name))

    def parameters_for(self, shape: tuple[int, ...]) -> States:
        """All parameters, shaped to broadcast over currents of ``shape``, batch included."""
        return {name: _spread(self.parameter(name), shape) for name in self.model.parameters()}

    def neuron(self) -> Lif:
        """The integer model with the learned parameters as they are now."""
        model, own = self.model, {}
        for name in self.learn:
            with torch.no_grad():
                own[name] = self.parameter(name).numpy().astype(np.int64)
        for name, codes in own.items():
            if name == "leak":
                model = replace(model, leak=replace(model.leak, amount=codes))
            elif name == "synapse_leak" and model.synapse:
                syn = model.synapse
                model = replace(model, synapse=replace(syn, leak=replace(syn.leak, amount=codes)))
            elif name in ("adaptation_leak", "jump") and model.adaptation:
                ada = model.adaptation
                change: dict[str, Any] = {"jump": codes}
                if name == "adaptation_leak":
                    change = {"leak": replace(ada.leak, amount=codes)}
                model = replace(model, adaptation=replace(ada, **change))
            else:
                model = replace(model, **{name: codes})  # type: ignore[arg-type]
        return model

    @property
    def gain(self) -> float:
        """What one code of the output is worth."""
        return 2.0**-self.model.word.frac if self.model.output == "membrane" else 1.0

    def begin(self, shape: tuple[int, ...]) -> States:
        """States before the first step, tensors of ``shape`` (batch first)."""
        found = {}
        for state in self.model.states:
            first = torch.tensor(state.initial, dtype=self.dtype)
            found[state.name] = _spread(first, shape).expand(shape)
        return found

    def step(self, current: Any, states: States, p: States | None = None) -> tuple[Any, States]:
        """One step of [batch, ...]: outputs and new states. ``p``: :meth:`parameters_for`, where
        the caller has them."""
        p = p or self.parameters_for(tuple(current.shape))
        codes = current.to(self.dtype) * 2.0**self.model.input_frac
        out, new = step(self.model, p, self.shape, codes, states)
        out = out if self.gain == 1.0 else out * self.gain
        return out.to(current.dtype), new

    def forward(self, currents: Any) -> Any:
        """All steps of currents [batch, steps, ...]: outputs of the same shape."""
        shape = (currents.shape[0], *currents.shape[2:])
        states, p = self.begin(shape), self.parameters_for(shape)
        outs = []
        for t in range(currents.shape[1]):
            out, states = self.step(currents[:, t], states, p)
            outs.append(out)
        return torch.stack(outs, 1)


def _spread(value: Any, shape: tuple[int, ...]) -> Any:
    """[1] or [channels] so that it broadcasts over [batch, features] or [batch, channels, ...];
    element ``e`` of features is of channel ``e % channels``."""
    channels = len(value)
    if channels == 1:
        return value
    if len(shape) == 2 and shape[1] % channels == 0:
        if shape[1] == channels:
            return value
        return value.repeat(shape[1] // channels)
    if shape[1] != channels:
        raise UsageError(f"neurons of {channels} channels given currents of {shape[1]}")
    return value.reshape(-1, *[1] * (len(shape) - 2))
