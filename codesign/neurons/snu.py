"""Spiking neural units: SNU and sSNU (Woźniak et al. 2020), with axo-somatic and axo-axonic
synapses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from codesign.neurons.base import Neuron, State, tiled
from codesign.neurons.leak import Leak
from codesign.neurons.lif import vector
from codesign.neurons.rounding import ROUNDINGS, shift_right
from codesign.neurons.table import Table
from codesign.neurons.word import Word

ACTIVATIONS = ("identity", "relu")


@dataclass(frozen=True, eq=False)
class SomaticInput:
    """SNU-a: ``b = leak(b) + adapt * gain / 2**gain_frac`` moves the threshold by
    ``b * beta / 2**beta_frac``. With ``leak`` by rho, ``gain`` is ``1 - rho``. The input ``adapt``
    is worth ``2**-input_frac``; gain and beta: int64 [1] or [channels], of any sign."""

    word: Word
    leak: Leak
    input_frac: int
    gain: np.ndarray
    gain_frac: int
    beta: np.ndarray
    beta_frac: int

    def __post_init__(self) -> None:
        for name in ("gain", "beta"):
            object.__setattr__(self, name, vector(getattr(self, name)))
            if np.abs(getattr(self, name)).max() >= 1 << 16:
                raise ValueError(f"{name} has at most 16 bits")


@dataclass(frozen=True, eq=False)
class AxonicInput:
    """SNU-o: what leaves is ``y * table(gate)``; the input ``gate`` is worth ``2**-input_frac``."""

    table: Table
    input_frac: int

    def __post_init__(self) -> None:
        if self.table.codes.min() < 0:
            raise ValueError("the table of a gate holds no negative number")


@dataclass(frozen=True, eq=False)
class Snu(Neuron):
    """``s = g(current + leak(s * (1 - y)))``, ``y = h(s - theta)``.

    1. ``current``, worth ``2**-input_frac``, is brought to the scale of ``s`` with ``rounding``.
    2. ``s * (1 - y)``: of the step before; where y has fraction bits the product is brought back
       to those of s with ``rounding``. Then the leak.
    3. ``g``: ``identity`` or ``relu``; then the overflow of the word.
    4. ``h``: without a ``soft`` table ``y = [s > theta]`` (``gt``) or ``[s >= theta]`` (``ge``);
       with one, sSNU, ``y = soft(s - theta)``, whose entries lie in ``0..2**frac``.
    5. ``somatic``: h is of ``s + beta * b - theta`` with this step's b. ``axonic``: the output is y
       times the gate, with the fraction bits of both; the next step still sees y.

    ``theta``: codes of s, int64 [1] or [channels]. Every state begins with 0.
    """

    word: Word
    leak: Leak
    theta: np.ndarray
    g: str
    compare: str
    input_frac: int
    rounding: str
    soft: Table | None = None
    somatic: SomaticInput | None = None
    axonic: AxonicInput | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "theta", vector(self.theta))
        choices = {"g": ACTIVATIONS, "compare": ("gt", "ge"), "rounding": ROUNDINGS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}, got '{getattr(self, name)}'"
                )
        words = [self.word, self.somatic.word if self.somatic else self.word]
        if any(word.overflow == "sat_change" for word in words):
            raise ValueError("overflow 'sat_change' is for the membrane of a Lif")
        if any(word.bits > 32 for word in words):
            raise ValueError("the words of a spiking neural unit have at most 32 bits")
        if self.soft and not 0 <= self.soft.codes.min() <= self.soft.codes.max() <= self._one:
            raise ValueError(f"the entries of soft lie in 0..{self._one}, which is 1")
        for part in (self, self.somatic):
            if part is not None:
                part.leak.check(part.word)
        lengths = {len(p) for p in self.parameters().values()} - {1}
        if len(lengths) > 1:
            raise ValueError(f"parameters of {sorted(lengths)} channels in one neuron model")

    def parameters(self) -> dict[str, np.ndarray]:
        """Everything that may differ from neuron to neuron, int64 [1] or [channels]."""
        found = {"theta": self.theta, "leak": self.leak.amount}
        if self.somatic:
            found["somatic_leak"] = self.somatic.leak.amount
            found |= {"gain": self.somatic.gain, "beta": self.somatic.beta}
        return found

    @property
    def inputs(self) -> tuple[str, ...]:
        found = ("current", *(("adapt",) if self.somatic else ()))
        return (*found, *(("gate",) if self.axonic else ()))

    @property
    def input_fracs(self) -> tuple[int, ...]:
        parts = (self, self.somatic, self.axonic)
        return tuple(part.input_frac for part in parts if part)

    def with_input_fracs(self, fracs: tuple[int, ...]) -> Snu:
        given = dict(zip(self.inputs, fracs, strict=True))
        return replace(
            self,
            input_frac=given["current"],
            somatic=self.somatic and replace(self.somatic, input_frac=given["adapt"]),
            axonic=self.axonic and replace(self.axonic, input_frac=given["gate"]),
        )

    @property
    def channels(self) -> int:
        return max(len(p) for p in self.parameters().values())

    @property
    def y_frac(self) -> int:
        """Fraction bits of y."""
        return self.soft.frac if self.soft else 0

    @property
    def _one(self) -> int:
        return 1 << self.y_frac

    @property
    def y_hi(self) -> int:
        """Largest y."""
        return int(self.soft.codes.max()) if self.soft else 1

    @property
    def states(self) -> tuple[State, ...]:
        zero = np.zeros(1, np.int64)
        y = Word(max(1, self.y_hi.bit_length()), self.y_frac, False, "wrap")
        found = [State("s", self.word, zero), State("y", y, zero)]
        if self.somatic:
            found.append(State("b", self.somatic.word, zero))
        return tuple(found)

    @property
    def out(self) -> Word:
        frac = self.y_frac + (self.axonic.table.frac if self.axonic else 0)
        return Word(max(1, self.span[1].bit_length()), frac, False, "wrap")

    @property
    def span(self) -> tuple[int, int]:
        return 0, self.y_hi * (int(self.axonic.table.codes.max()) if self.axonic else 1)

    def step(
        self, inputs: tuple[np.ndarray, ...], states: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        elements = states["s"].shape[-1]
        given = dict(zip(self.inputs, inputs, strict=True))
        charge = shift_right(given["current"], self.input_frac - self.word.frac, self.rounding)
        kept = states["s"] * (self._one - states["y"])
        kept = shift_right(kept, self.y_frac, self.rounding)
        s = charge + _apply(self.leak, kept)
        s = self.word.fit(np.maximum(s, 0) if self.g == "relu" else s)
        new = {"s": s}
        level = s - tiled(self.theta, elements)
        if self.somatic:
            new["b"] = self._adapted(states["b"], given["adapt"])
            level = level + self._moved(new["b"])
        y = self.soft.read(level, self.word.frac, self.rounding) if self.soft else (
            (level > 0 if self.compare == "gt" else level >= 0).astype(np.int64)
        )  # fmt: skip
        new["y"] = y
        if self.axonic:
            return y * self.axonic.table.read(
                given["gate"], self.axonic.input_frac, self.rounding
            ), new  # fmt: skip
        return y, new

    def _adapted(self, b: np.ndarray, x: np.ndarray) -> np.ndarray:
        """This step's b."""
        own = self.somatic
        assert own is not None
        drop = own.input_frac + own.gain_frac - own.word.frac
        driven = shift_right(x * tiled(own.gain, b.shape[-1]), drop, self.rounding)
        return own.word.fit(_apply(own.leak, b) + driven)

    def _moved(self, b: np.ndarray) -> np.ndarray:
        """By how much b moves the threshold, in codes of s."""
        own = self.somatic
        assert own is not None
        drop = own.word.frac + own.beta_frac - self.word.frac
        return shift_right(b * tiled(own.beta, b.shape[-1]), drop, self.rounding)


def _apply(leak: Leak, v: np.ndarray) -> np.ndarray:
    amount = tiled(leak.amount, v.shape[-1])
    return (leak if amount is leak.amount else replace(leak, amount=amount)).apply(v)
