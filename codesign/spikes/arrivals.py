"""The order in which the events of a stream come: all that their cycles depend on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Arrivals:
    """``address``: int64 [events] in the order in which they come; ``per_step``: int64 [steps of
    all frames], how many of them belong to each."""

    address: np.ndarray
    per_step: np.ndarray

    @staticmethod
    def of(spikes: np.ndarray) -> Arrivals:
        """Of spikes int [frames, steps, ...]: ascending addresses in each step."""
        flat = np.asarray(spikes)
        flat = flat.reshape(flat.shape[0] * flat.shape[1], -1)
        step, address = np.nonzero(flat)
        return Arrivals(address, np.bincount(step, minlength=len(flat)).astype(np.int64))

    def beats(self, steps: int) -> np.ndarray:
        """Beats of each frame of so many ``steps``, the ends of steps counted: int64 [frames]."""
        found: np.ndarray = self.per_step.reshape(-1, steps).sum(axis=1) + steps
        return found

    def words(self, elements: int, lanes: int) -> np.ndarray:
        """Events of each word of ``lanes`` of the ``elements``, int64 [steps, words]: for events
        that come in ascending order."""
        words = elements // lanes
        step = np.repeat(np.arange(len(self.per_step)), self.per_step)
        place = step * words + self.address // lanes
        return np.bincount(place, minlength=len(self.per_step) * words).reshape(-1, words)
