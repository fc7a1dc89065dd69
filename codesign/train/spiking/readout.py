"""Readouts: what the output layer's steps say about the class.

Each turns outputs [batch, steps, classes] into scores [batch, classes]; the largest wins, the
first of equals. ``so_far`` gives the score after each step from the score before, so that rules
that learn at every step have a loss at every step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from codesign.errors import UsageError
from codesign.spikes.bessel import Sections, design
from codesign.train.needs import need


class Readout(ABC):
    """One way of reading; ``neuron_output`` is what the last layer must emit."""

    neuron_output = "spikes"

    def unit(self, steps: int) -> float:
        """What a loss divides scores by: about how large they grow."""
        return 1.0

    @abstractmethod
    def so_far(self, score: Any, out: Any, t: int, steps: int) -> Any:
        """Score after step ``t`` from that before (0.0 at first) and the step's output."""

    def __call__(self, outs: Any) -> Any:
        """Scores [batch, classes] of outputs [batch, steps, classes]."""
        score: Any = 0.0
        for t in range(outs.shape[1]):
            score = self.so_far(score, outs[:, t], t, outs.shape[1])
        return score


class Count(Readout):
    """How often each output neuron fired."""

    def so_far(self, score: Any, out: Any, t: int, steps: int) -> Any:
        return score + out


class Membrane(Readout):
    """The last membrane of leaky integrators."""

    neuron_output = "membrane"

    def so_far(self, score: Any, out: Any, t: int, steps: int) -> Any:
        return out


class MembraneSum(Readout):
    """The sum of the membranes of leaky integrators over all steps."""

    neuron_output = "membrane"

    def unit(self, steps: int) -> float:
        return float(steps)

    def so_far(self, score: Any, out: Any, t: int, steps: int) -> Any:
        return score + out


class FirstSpike(Readout):
    """The neuron that fires first. To learn from, a spike of step t weighs ``2**(steps - 1 - t)``,
    so an earlier one beats all later ones; what is read is the first one's step alone."""

    def unit(self, steps: int) -> float:
        return 2.0 ** (steps - 1) / 4

    def so_far(self, score: Any, out: Any, t: int, steps: int) -> Any:
        return score + out * 2.0 ** (steps - 1 - t)

    def __call__(self, outs: Any) -> Any:
        """As the circuit has it: ``steps`` minus the step of the first spike, 0 for none. Neurons
        that fire first together are equal, whatever they do later."""
        torch = need("torch")
        steps = outs.shape[1]
        left = torch.arange(steps, 0, -1, dtype=outs.dtype).reshape(1, steps, 1)
        return ((outs.detach() > 0) * left).amax(dim=1)


#: Fraction bits of a filter's coefficients and of what it makes of spikes.
COEFFICIENT_BITS, GUARD_BITS = 12, 8


@dataclass(frozen=True)
class BesselLast(Readout):
    """The last step of the output spikes behind a Bessel low-pass of ``order`` (even), which is -3
    dB at ``cutoff`` times half a cycle a step: late spikes count more, very early ones no more."""

    order: int = 2
    cutoff: float = 0.25

    @cached_property
    def sections(self) -> Sections:
        """The filter in integers, as the file and the circuit have it."""
        try:
            return design(self.order, self.cutoff, COEFFICIENT_BITS, GUARD_BITS)
        except ValueError as reason:
            raise UsageError(str(reason), hint="--order 2 --cutoff 0.25") from None

    @cached_property
    def _responses(self) -> dict[int, np.ndarray]:
        return {}

    def response(self, steps: int) -> np.ndarray:
        """float64 [steps]: what a spike of each step adds to the last smoothed value."""
        if steps not in self._responses:
            finer = Sections(self.sections.coefficients, COEFFICIENT_BITS, 24)
            one = np.zeros((steps, 1), np.int64)
            one[0] = 1
            self._responses[steps] = finer.apply(one)[::-1, 0] * 2.0**-24
        return self._responses[steps]

    def unit(self, steps: int) -> float:
        return float(np.abs(self.response(steps)).max())

    def so_far(self, score: Any, out: Any, t: int, steps: int) -> Any:
        return score + out * float(self.response(steps)[t])

    def __call__(self, outs: Any) -> Any:
        """As the circuit computes it: in integers, which have no gradient."""
        torch = need("torch")
        codes = self.sections.apply(outs.detach().numpy().astype(np.int64))[:, -1]
        return torch.from_numpy((codes * 2.0**-GUARD_BITS).astype(np.float32))


READOUTS: dict[str, Readout] = {
    "count": Count(),
    "membrane": Membrane(),
    "membrane_sum": MembraneSum(),
    "first_spike": FirstSpike(),
    "bessel_last": BesselLast(),
}


def readout(name: str) -> Readout:
    """The one called ``name``; ``UsageError`` lists them."""
    if name not in READOUTS:
        raise UsageError(f"unknown readout '{name}'", hint=f"known: {', '.join(sorted(READOUTS))}")
    return READOUTS[name]
