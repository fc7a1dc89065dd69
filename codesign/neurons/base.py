"""What a neuron model is: states, inputs, and one step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from codesign.neurons.word import Word


@dataclass(frozen=True, eq=False)
class State:
    """A word that each neuron keeps between steps. ``initial``: codes, int64 [1] or [channels]."""

    name: str
    word: Word
    initial: np.ndarray


class Neuron(ABC):
    """A frozen dataclass of integers. Element ``e`` of a layer is of channel ``e % channels``."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what arrives each step."""
        return ("current",)

    @property
    @abstractmethod
    def input_fracs(self) -> tuple[int, ...]:
        """Fraction bits of each input's codes."""

    @abstractmethod
    def with_input_fracs(self, fracs: tuple[int, ...]) -> Neuron:
        """The same neurons for inputs of another scale."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Length of its parameters; 1 where all neurons are alike."""

    @property
    @abstractmethod
    def states(self) -> tuple[State, ...]:
        """Its words of state."""

    @property
    @abstractmethod
    def out(self) -> Word:
        """What leaves each step: spikes, or a membrane."""

    @property
    def span(self) -> tuple[int, int]:
        """Smallest and largest output code."""
        return self.out.lo, self.out.hi

    @abstractmethod
    def step(
        self, inputs: tuple[np.ndarray, ...], states: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """One step: outputs and new states. All int64 [..., elements], the last axis a multiple
        of ``channels``."""

    def begin(self, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        """The states before the first step, int64 of ``shape`` [..., elements]."""
        return {s.name: np.broadcast_to(tiled(s.initial, shape[-1]), shape) for s in self.states}

    def run(
        self, *inputs: np.ndarray, states: dict[str, np.ndarray] | None = None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """All steps of inputs int64 [batch, steps, elements]: outputs, and every state after
        every step, of the same shape. ``states``: int64 [batch, elements] to go on from."""
        now = states or self.begin((inputs[0].shape[0], inputs[0].shape[2]))
        outs, seen = [], []
        for t in range(inputs[0].shape[1]):
            out, now = self.step(tuple(x[:, t] for x in inputs), now)
            outs.append(out)
            seen.append(now)
        traces = {s.name: np.stack([step[s.name] for step in seen], axis=1) for s in self.states}
        return np.stack(outs, axis=1), traces


def tiled(parameter: np.ndarray, elements: int) -> np.ndarray:
    """A parameter of [1] or [channels] for every one of ``elements``."""
    return np.tile(parameter, elements // len(parameter)) if len(parameter) > 1 else parameter
