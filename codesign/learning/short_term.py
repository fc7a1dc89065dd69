"""Synapses with short-term plasticity: a weight, and a part that Hebb raises and time lowers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from codesign.learning.layer import Record
from codesign.neurons import Leak, Lif, Word


@dataclass(frozen=True, eq=False)
class ShortTerm:
    """``G = W + F`` (Rodriguez, Guo and Moraitis 2022). One step::

        current_i = sum_j x_j (W_ji + F_ji)           exactly
        s         = the neurons' step
        F_ji      = word.fit(leak(F_ji) + gain_i * x_j * s_i)

    ``word`` and ``leak`` are those of F, which has the weights' scale; ``gain`` int64 [1] or
    [outputs], of either sign. ``weights``: int64 [inputs, outputs]. F begins at 0 with each frame.
    """

    neuron: Lif
    weights: np.ndarray
    word: Word
    leak: Leak
    gain: np.ndarray

    def __post_init__(self) -> None:
        for name in ("weights", "gain"):
            array = np.array(getattr(self, name), dtype=np.int64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.weights.ndim != 2 or not self.weights.size:
            raise ValueError(f"weights are [inputs, outputs], got {self.weights.shape}")
        if self.gain.shape not in ((1,), (self.outputs,)):
            raise ValueError(f"a gain for all or for each of {self.outputs} outputs")
        if len(self.leak.amount) != 1:
            raise ValueError("one leak for all synapses, not one for each")
        if self.word.overflow not in ("sat_step", "sat_narrow") or not self.word.signed:
            raise ValueError("F is a signed word that clamps (sat_step or sat_narrow)")
        if self.word.frac != self.neuron.input_frac:
            raise ValueError(
                f"F has {self.word.frac} fraction bits, the weights {self.neuron.input_frac}; "
                "they are added, so they must be the same"
            )
        if self.neuron.spike_levels > 1 or self.neuron.output != "spikes":
            raise ValueError("plastic synapses need neurons that give spikes of one level")
        if self.outputs % self.neuron.channels:
            raise ValueError(f"{self.neuron.channels} channels do not divide {self.outputs}")

    @property
    def inputs(self) -> int:
        """Rows of the weights."""
        return self.weights.shape[0]

    @property
    def outputs(self) -> int:
        """Columns of the weights."""
        return self.weights.shape[1]

    def current(self, f: np.ndarray, x: np.ndarray) -> np.ndarray:
        """int64 [outputs] for ``f``, int64 [inputs, outputs], and the inputs' spikes ``x``."""
        found: np.ndarray = x @ (self.weights + f)
        return found

    def learned(self, f: np.ndarray, x: np.ndarray, spikes: np.ndarray) -> np.ndarray:
        """F after a step in which the inputs gave ``x``, int64 [inputs], the outputs ``spikes``."""
        return self.word.fit(self.leak.apply(f) + x[:, None] * (self.gain * spikes))

    def run(self, frames: Iterable[np.ndarray]) -> Record:
        """Frames of int [steps, inputs], 0 and 1. ``weights`` of the record is F."""
        record, none = Record(), np.zeros(0, np.int64)
        for x in frames:
            f, states = np.zeros_like(self.weights), self.neuron.begin((self.outputs,))
            for now in x.astype(np.int64):
                spikes, states = self.neuron.step((self.current(f, now),), states)
                f = self.learned(f, now, spikes)
                record.spikes.append(spikes)
                record.states.append(states)
                record.weights.append(f)
                record.signal.append(none)
        return record
