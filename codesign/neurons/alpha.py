"""Alpha neurons: the difference of two synaptic currents is the membrane (snnTorch's ``Alpha``)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from codesign.neurons.base import Neuron, State, tiled
from codesign.neurons.leak import Leak
from codesign.neurons.lif import vector
from codesign.neurons.rounding import ROUNDINGS, shift_right
from codesign.neurons.word import Word

#: Every semantic choice; none has a default.
ALPHA_CHOICES = {
    "compare": ("gt", "ge"),
    "reset": ("none", "zero", "subtract"),
    "rounding": ROUNDINGS,
    "gain_rounding": ROUNDINGS,
    "output": ("spikes", "membrane"),
}


@dataclass(frozen=True, eq=False)
class Alpha(Neuron):
    """One step, in this order; ``s'`` says whether v of the step before passed ``theta``.

    1. The input, worth ``2**-input_frac``, is brought to the scale of the currents, ``rounding``.
    2. ``e = rise(e) + input`` and ``h = fall(h) - input``, both of word ``synapse``.
    3. ``v = (e + h) * gain / 2**gain_frac`` on the scale of v, ``gain_rounding``: no leak of its
       own. ``gain`` is snnTorch's tau, ``log(beta) / (log(beta) - log(alpha))``.
    4. ``reset``, where ``s'``. ``zero``: all three are 0. ``subtract``, as snnTorch 1.0.0 has it:
       ``e - theta`` (in units of the membrane), ``h = 0``, and ``v`` plus h of the step before.
    5. The overflow of each word; ``s = [v > theta]`` (``gt``) or ``>=``.

    ``theta``: codes of v, ``gain``: at most 16 bits; int64 [1] or [channels].
    """

    word: Word
    synapse: Word
    rise: Leak
    fall: Leak
    gain: np.ndarray
    gain_frac: int
    theta: np.ndarray
    compare: str
    reset: str
    input_frac: int
    rounding: str
    gain_rounding: str
    output: str

    def __post_init__(self) -> None:
        for name, allowed in ALPHA_CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}, got '{getattr(self, name)}'"
                )
        for name in ("gain", "theta"):
            object.__setattr__(self, name, vector(getattr(self, name)))
        if np.abs(self.gain).max() >= 1 << 16:
            raise ValueError("gain has at most 16 bits")
        if "sat_change" in (self.word.overflow, self.synapse.overflow):
            raise ValueError("overflow 'sat_change' is for the membrane of a Lif")
        if self.reset == "subtract" and self.synapse.frac != self.word.frac:
            raise ValueError("reset 'subtract' adds currents and membrane: give them one scale")
        lengths = {len(p) for p in self.parameters().values()} - {1}
        if len(lengths) > 1:
            raise ValueError(f"parameters of {sorted(lengths)} channels in one neuron model")

    def parameters(self) -> dict[str, np.ndarray]:
        """Everything that may differ from neuron to neuron, int64 [1] or [channels]."""
        return {
            "theta": self.theta,
            "gain": self.gain,
            "rise": self.rise.amount,
            "fall": self.fall.amount,
        }

    @property
    def input_fracs(self) -> tuple[int, ...]:
        return (self.input_frac,)

    def with_input_fracs(self, fracs: tuple[int, ...]) -> Alpha:
        return replace(self, input_frac=fracs[0])

    @property
    def channels(self) -> int:
        return max(len(p) for p in self.parameters().values())

    @property
    def states(self) -> tuple[State, ...]:
        zero = np.zeros(1, np.int64)
        currents = (State("e", self.synapse, zero), State("h", self.synapse, zero))
        # without a reset nothing asks for the membrane of the step before
        return currents if self.reset == "none" else (State("v", self.word, zero), *currents)

    @property
    def out(self) -> Word:
        return self.word if self.output == "membrane" else Word(1, 0, False, "wrap")

    def step(
        self, inputs: tuple[np.ndarray, ...], states: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        elements = states["e"].shape[-1]
        if elements != self.channels and self.channels > 1:
            return self._tiled(elements)._step(inputs[0], states)
        return self._step(inputs[0], states)

    def _tiled(self, elements: int) -> Alpha:
        def leak(of: Leak) -> Leak:
            return replace(of, amount=tiled(of.amount, elements))

        return replace(
            self,
            rise=leak(self.rise),
            fall=leak(self.fall),
            gain=tiled(self.gain, elements),
            theta=tiled(self.theta, elements),
        )

    def _step(
        self, x: np.ndarray, old: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        given = shift_right(x, self.input_frac - self.synapse.frac, self.rounding)
        e, h = self.rise.apply(old["e"]) + given, self.fall.apply(old["h"]) - given
        shift = self.gain_frac + self.synapse.frac - self.word.frac
        v = shift_right((e + h) * self.gain, shift, self.gain_rounding)
        if self.reset != "none":
            e, h, v = self._reset(e, h, v, old)
        v = self.word.fit(v)
        new = {"e": self.synapse.fit(e), "h": self.synapse.fit(h)}
        if self.reset != "none":
            new["v"] = v
        return (v if self.output == "membrane" else self._fires(v).astype(np.int64)), new

    def _reset(
        self, e: np.ndarray, h: np.ndarray, v: np.ndarray, old: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        before = self._fires(old["v"])
        h_reset = np.where(before, 0, h)
        if self.reset == "zero":
            return np.where(before, 0, e), h_reset, np.where(before, 0, v)
        return np.where(before, e - self.theta, e), h_reset, np.where(before, v + old["h"], v)

    def _fires(self, v: np.ndarray) -> np.ndarray:
        return v > self.theta if self.compare == "gt" else v >= self.theta
