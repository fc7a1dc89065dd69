"""The spikes that an event-driven layer is planned for, and where that number comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.ir import record


@record("expected_spikes")
@dataclass(frozen=True)
class Expected:
    """``spikes``: events in each step of a frame. ``frames``: of the recording whose mean they
    are; 0: they follow from a share of spikes."""

    spikes: tuple[int, ...]
    frames: int = 0

    @staticmethod
    def evenly(spikes: int, steps: int) -> Expected:
        """The same in each of ``steps`` steps."""
        return Expected((spikes,) * steps)

    @staticmethod
    def mean_of(counts: np.ndarray) -> Expected:
        """Of recorded ``counts`` int64 [frames, steps].

        A frame takes the sum of its steps, and a step the most of its events' work and of what it
        takes without any (to be scanned, to hand its currents on). So the mean of each step is
        kept, not one for all: a frame whose spikes come early waits in its quiet steps for what
        has nothing to do with spikes. Whole numbers, so that they are frames which can be
        simulated; rounded up as sums from the first step on, so that the frame's total is off
        by less than one spike: rounding each step would plan a layer of one spike in ten steps
        for ten.
        """
        frames = len(counts)
        up_to = -(-np.cumsum(counts.sum(axis=0, dtype=np.int64)) // frames)
        return Expected(tuple(np.diff(up_to, prepend=0).tolist()), frames)

    @property
    def mean(self) -> float:
        """Events a step, over the frame."""
        return sum(self.spikes) / len(self.spikes)

    @property
    def rounded(self) -> int:
        """:attr:`mean`, rounded up."""
        return -(-sum(self.spikes) // len(self.spikes))

    def describe(self) -> str:
        """For the reason of a plan."""
        found = f", measured on {self.frames} frames" if self.frames else ""
        return f"{self.mean:.4g} spikes a step expected{found}"
