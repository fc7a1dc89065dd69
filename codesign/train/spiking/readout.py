"""Readouts: what the output layer's steps say about the class.

Each turns outputs [batch, steps, classes] into scores [batch, classes]; the largest wins, the
first of equals. ``so_far`` gives the score after each step from the score before, so that rules
that learn at every step have a loss at every step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from codesign.errors import UsageError


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
    """The neuron that fires first: a spike of step t weighs ``2**(steps - 1 - t)``, so an earlier
    one beats all later ones."""

    def unit(self, steps: int) -> float:
        return 2.0 ** (steps - 1) / 4

    def so_far(self, score: Any, out: Any, t: int, steps: int) -> Any:
        return score + out * 2.0 ** (steps - 1 - t)


READOUTS: dict[str, Readout] = {
    "count": Count(),
    "membrane": Membrane(),
    "membrane_sum": MembraneSum(),
    "first_spike": FirstSpike(),
}


def readout(name: str) -> Readout:
    """The one called ``name``; ``UsageError`` lists them."""
    if name not in READOUTS:
        raise UsageError(f"unknown readout '{name}'", hint=f"known: {', '.join(sorted(READOUTS))}")
    return READOUTS[name]
