"""The event-based gated recurrent unit (Subramoney et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from codesign.neurons.base import Neuron, State, tiled
from codesign.neurons.lif import vector
from codesign.neurons.rounding import ROUNDINGS, shift_right
from codesign.neurons.table import Table
from codesign.neurons.word import Word

INPUTS = ("update", "reset", "candidate", "recurrent")


@dataclass(frozen=True, eq=False)
class Egru(Neuron):
    """``z = sigma(update)``, ``r = sigma(reset)``, ``g = tau(candidate + r * recurrent)``;
    ``c = z * h + (1 - z) * g``; an event where ``c > theta``: then ``c`` leaves and
    ``h = c - theta``, else 0 leaves and ``h = c``.

    The inputs are exact sums: ``W_z x + R_z y + b_z``, the same for r, ``W x``, and ``R y + b``;
    ``fracs`` are their fraction bits. ``sigma`` (entries 0..1) and ``tau`` are tables; tau's
    entries have the fraction bits of ``word``, that of h. ``candidate`` and ``r * recurrent`` are
    each brought to tau's ``in_frac``, then added. Whatever loses fraction bits is rounded with
    ``rounding``. ``compare``: ``gt`` or ``ge``. ``theta``: codes of h, at least 0, int64 [1] or
    [channels].
    """

    word: Word
    theta: np.ndarray
    compare: str
    sigma: Table
    tau: Table
    fracs: tuple[int, ...]
    rounding: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "theta", vector(self.theta))
        object.__setattr__(self, "fracs", tuple(int(f) for f in self.fracs))
        if self.compare not in ("gt", "ge"):
            raise ValueError(f"compare must be gt or ge, got '{self.compare}'")
        if self.rounding not in ROUNDINGS:
            raise ValueError(
                f"rounding must be one of {', '.join(ROUNDINGS)}, got '{self.rounding}'"
            )
        if len(self.fracs) != len(INPUTS):
            raise ValueError(f"fraction bits of {', '.join(INPUTS)}, got {self.fracs}")
        if self.word.overflow == "sat_change" or not self.word.signed:
            raise ValueError("h is a signed word that wraps or saturates as a whole")
        if self.word.bits > 32:
            raise ValueError(f"h has at most 32 bits, got {self.word.bits}")
        if self.sigma.codes.min() < 0 or self.sigma.codes.max() > self.one:
            raise ValueError(f"the entries of sigma lie in 0..{self.one}, which is 1")
        if self.tau.frac != self.word.frac:
            raise ValueError(f"tau has {self.tau.frac} fraction bits, h has {self.word.frac}")
        if self.theta.min() < 0:
            raise ValueError("theta must not be negative")

    @property
    def one(self) -> int:
        """1 among the entries of sigma."""
        return 1 << self.sigma.frac

    @property
    def inputs(self) -> tuple[str, ...]:
        return INPUTS

    @property
    def input_fracs(self) -> tuple[int, ...]:
        return self.fracs

    def with_input_fracs(self, fracs: tuple[int, ...]) -> Egru:
        return replace(self, fracs=fracs)

    def parameters(self) -> dict[str, np.ndarray]:
        """Everything that may differ from neuron to neuron, int64 [1] or [channels]."""
        return {"theta": self.theta}

    @property
    def channels(self) -> int:
        return len(self.theta)

    @property
    def states(self) -> tuple[State, ...]:
        return (State("h", self.word, np.zeros(1, np.int64)),)

    @property
    def out(self) -> Word:
        return self.word

    @property
    def span(self) -> tuple[int, int]:
        return 0, self.word.hi

    def step(
        self, inputs: tuple[np.ndarray, ...], states: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        h, theta = states["h"], tiled(self.theta, states["h"].shape[-1])
        update, reset, candidate, recurrent = inputs
        z = self.sigma.read(update, self.fracs[0], self.rounding)
        r = self.sigma.read(reset, self.fracs[1], self.rounding)
        own = shift_right(candidate, self.fracs[2] - self.tau.in_frac, self.rounding)
        drop = self.sigma.frac + self.fracs[3] - self.tau.in_frac
        g = self.tau.read(
            own + shift_right(r * recurrent, drop, self.rounding), self.tau.in_frac, self.rounding
        )
        mixed = shift_right(z * h + (self.one - z) * g, self.sigma.frac, self.rounding)
        c = self.word.fit(mixed)
        event = c > theta if self.compare == "gt" else c >= theta
        return np.where(event, c, 0), {"h": np.where(event, c - theta, c)}
