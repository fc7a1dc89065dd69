"""The leaky integrate-and-fire family: IF, LIF, current-based and adaptive LIF, integrators."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from codesign.neurons.base import Neuron, State, tiled
from codesign.neurons.leak import Leak
from codesign.neurons.rounding import ROUNDINGS, shift_right
from codesign.neurons.word import Word

#: Every semantic choice; none has a default.
CHOICES = {
    "compare": ("gt", "ge"),
    "reset": ("none", "zero", "subtract", "value"),
    "reset_timing": ("same", "next", "both"),
    "reset_vs_leak": ("before", "after", "instead"),
    "reset_vs_input": ("before", "after"),
    "rounding": ROUNDINGS,
    "refractory_mode": ("hold", "silent"),
    "output": ("spikes", "membrane"),
}
SYN_ORDERS = ("new", "previous", "leaked")


def vector(array: object) -> np.ndarray:
    """A parameter: int64 [n], read-only."""
    out = np.atleast_1d(np.array(array, dtype=np.int64))
    if out.ndim != 1 or not out.size:
        raise ValueError(f"a neuron's parameter is a vector of integers, got shape {out.shape}")
    out.setflags(write=False)
    return out


@dataclass(frozen=True, eq=False)
class Synapse:
    """A synaptic current ``i = leak(i) + input`` between input and membrane.

    ``order``: whether the membrane sees the ``new`` current or that of the ``previous`` step;
    ``leaked``: the new one, and the input leaks with it, ``i = leak(i + input)`` (Xylo).
    ``reset``: whether a spike clears it too.
    """

    word: Word
    leak: Leak
    order: str
    reset: bool

    def __post_init__(self) -> None:
        if self.order not in SYN_ORDERS:
            raise ValueError(f"syn_order must be one of {SYN_ORDERS}, got '{self.order}'")


@dataclass(frozen=True, eq=False)
class Adaptation:
    """A threshold that rises with each spike: a step compares with ``theta + a`` and leaves
    ``a = leak(a) + jump * s``. In units of the membrane (Bellec et al. 2018: ``a = beta * b``,
    ``jump = beta * (1 - rho)``)."""

    word: Word
    leak: Leak
    jump: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "jump", vector(self.jump))
        if self.jump.min() < 0:
            raise ValueError("a threshold jumps upward: jump must not be negative")


@dataclass(frozen=True, eq=False)
class Lif(Neuron):
    """One step, in this order; ``s'`` is what the step before fired, see :meth:`fired`.

    1. The input, worth ``2**-input_frac``, is brought to the scale of the membrane, or of the
       synapse if there is one, with ``rounding``.
    2. The synapse: ``i = leak(i) + input``, cleared first where ``s'`` and it resets too; the
       membrane receives the new or the previous ``i``. ``bias`` goes to the membrane directly.
    3. ``reset_timing = next``: reset where ``s'``, before the leak (``reset_vs_leak = before``),
       after it, or in its place (``instead``: no leak where ``s'``, Spiker+); with
       ``reset_vs_input = after``, after the charge, which is then lost too.
    4. Leak and charge: ``v = leak(v) + input``, and the overflow of its word.
    5. ``s``: how many of ``theta``, twice that, ... up to ``spike_levels`` times, v exceeds
       (``gt``) or reaches (``ge``); with adaptation ``theta + a``. None while refractory.
    6. ``reset_timing = same``: reset where ``s``. ``reset_vs_leak = before`` here means that the
       leak comes last, of what the reset left, and not in 4.
       ``reset_timing = both`` (snnTorch without ``reset_delay``): 3 as ``next``, where ``s'`` is
       what the membrane left by the step before says, then ``v -= (s - s') * theta`` here.
    7. A spike starts ``refractory`` steps in which none follows; ``hold`` also keeps leak and
       charge from the membrane meanwhile, ``silent`` does not.

    Resets: to zero, to ``reset_value``, or by the threshold compared with, times ``s``.
    ``output``: the spikes, or the membrane itself (a leaky integrator when ``reset`` is none).
    ``theta``, ``bias``, ``reset_value`` and ``v0`` are codes of the membrane, int64 [1] or
    [channels].
    """

    word: Word
    leak: Leak
    theta: np.ndarray
    compare: str
    reset: str
    reset_timing: str
    reset_vs_leak: str
    reset_vs_input: str
    input_frac: int
    rounding: str
    spike_levels: int
    refractory: int
    refractory_mode: str
    output: str
    synapse: Synapse | None = None
    adaptation: Adaptation | None = None
    bias: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    reset_value: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    v0: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}, got '{getattr(self, name)}'"
                )
        for name in ("theta", "bias", "reset_value", "v0"):
            object.__setattr__(self, name, vector(getattr(self, name)))
        for name in ("reset_value", "v0"):
            codes = getattr(self, name)
            if codes.min() < self.word.lo or codes.max() > self.word.hi:
                raise ValueError(f"{name} lies outside {self.word.lo}..{self.word.hi}")
        if max(np.abs(self.theta).max(), np.abs(self.bias).max()) >= 1 << 48:
            raise ValueError("theta and bias have at most 48 bits")
        if not 1 <= self.spike_levels <= 255:
            raise ValueError(f"spike_levels must lie in 1..255, got {self.spike_levels}")
        if self.spike_levels > 1 and self.theta.min() < 1:
            raise ValueError("several spike levels need a positive threshold")
        if not 0 <= self.refractory <= 255:
            raise ValueError(f"refractory must lie in 0..255 steps, got {self.refractory}")
        self._check_combinations()
        self._check_lengths()

    def _check_combinations(self) -> None:
        """Choices that have a meaning alone but not together."""
        plain = self.refractory == 0 and self.adaptation is None
        if self.reset_timing == "both" and not (self.reset == "subtract" and plain):
            raise ValueError(
                "reset_timing 'both' is for reset 'subtract', without refractory or adaptation"
            )
        if self.reset_vs_leak == "instead" and not (
            self.reset_timing == "next" and self.reset_vs_input == "before"
        ):
            raise ValueError(
                "reset_vs_leak 'instead' is for reset_timing 'next', reset_vs_input 'before'"
            )
        if self.word.overflow == "sat_change" and self.reset_timing != "same":
            raise ValueError("overflow 'sat_change' is for reset_timing 'same'")
        synapse = self.synapse.word.overflow if self.synapse else "wrap"
        words = [synapse, self.adaptation.word.overflow if self.adaptation else "wrap"]
        if "sat_change" in words:
            raise ValueError("overflow 'sat_change' is for the membrane alone")
        for part in (self, self.synapse, self.adaptation):
            if part is not None:
                part.leak.check(part.word)

    def _check_lengths(self) -> None:
        lengths = {len(p) for p in self.parameters().values()} - {1}
        if len(lengths) > 1:
            raise ValueError(f"parameters of {sorted(lengths)} channels in one neuron model")

    def parameters(self) -> dict[str, np.ndarray]:
        """Everything that may differ from neuron to neuron, int64 [1] or [channels]."""
        found = {
            "theta": self.theta,
            "bias": self.bias,
            "reset_value": self.reset_value,
            "v0": self.v0,
            "leak": self.leak.amount,
        }
        if self.synapse:
            found["synapse_leak"] = self.synapse.leak.amount
        if self.adaptation:
            found["adaptation_leak"] = self.adaptation.leak.amount
            found["jump"] = self.adaptation.jump
        return found

    @property
    def input_fracs(self) -> tuple[int, ...]:
        return (self.input_frac,)

    def with_input_fracs(self, fracs: tuple[int, ...]) -> Lif:
        return replace(self, input_frac=fracs[0])

    @property
    def channels(self) -> int:
        return max(len(p) for p in self.parameters().values())

    @property
    def states(self) -> tuple[State, ...]:
        zero = np.zeros(1, np.int64)
        found = [State("v", self.word, self.v0)]
        if self.synapse:
            found.append(State("i", self.synapse.word, zero))
        if self.adaptation:
            found.append(State("a", self.adaptation.word, zero))
        if self.remembers:
            found.append(State("s", Word(self.spike_levels.bit_length(), 0, False, "wrap"), zero))
        if self.refractory:
            found.append(State("r", Word(self.refractory.bit_length(), 0, False, "wrap"), zero))
        return tuple(found)

    @property
    def out(self) -> Word:
        if self.output == "membrane":
            return self.word
        return Word(self.spike_levels.bit_length(), 0, False, "wrap")

    @property
    def span(self) -> tuple[int, int]:
        whole = self.output == "membrane"
        return (self.word.lo, self.word.hi) if whole else (0, self.spike_levels)

    @property
    def late(self) -> bool:
        """Whether a step begins with the reset of the one before."""
        return self.reset_timing != "same"

    @property
    def remembers(self) -> bool:
        """Whether the spike of the step before is a state: where v no longer tells."""
        clears = self.synapse is not None and self.synapse.reset
        return (
            self.late
            and (self.refractory > 0 or self.adaptation is not None)
            and (self.reset != "none" or clears)
        )

    def fired(self, states: dict[str, np.ndarray]) -> np.ndarray:
        """``s'`` where resets come in the next step: a state ``s`` of its own with refractory or
        adaptive neurons; else what the membrane, which still holds its value, says again."""
        if self.remembers:
            return states["s"]
        return self._spikes(states["v"], tiled(self.theta, states["v"].shape[-1]))

    def step(
        self, inputs: tuple[np.ndarray, ...], states: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        whole = self._per_element(states["v"].shape[-1])
        return whole._step(inputs[0], states)

    def _per_element(self, elements: int) -> Lif:
        """The same neurons with a parameter for each of ``elements``."""
        if elements == self.channels or self.channels == 1:
            return self

        def leak(of: Leak) -> Leak:
            return replace(of, amount=tiled(of.amount, elements))

        names = ("theta", "bias", "reset_value", "v0")
        own: dict[str, Any] = {name: tiled(getattr(self, name), elements) for name in names}
        syn, ada = self.synapse, self.adaptation
        return replace(
            self,
            leak=leak(self.leak),
            synapse=syn and replace(syn, leak=leak(syn.leak)),
            adaptation=ada and replace(ada, leak=leak(ada.leak), jump=tiled(ada.jump, elements)),
            **own,
        )

    def _step(
        self, x: np.ndarray, old: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        word, new = self.word, dict(old)
        theta = self.theta + old["a"] if self.adaptation else self.theta
        before = self.fired(old) if self.late else np.zeros_like(old["v"])
        charge = self._charge(x, old, new, before)
        v = word.fit(self._integrate(old["v"], charge, before, theta))
        free = old["r"] == 0 if self.refractory else np.ones(v.shape, bool)
        holds = self.refractory_mode == "hold"
        if holds:
            v = np.where(free, v, word.fit(self._reset(old["v"], before, theta)))
        spikes = self._spikes(v, theta) * free
        if not self.late:
            v = word.fit(self._reset(v, spikes, theta))
            if self.reset_vs_leak == "before":
                v = np.where(free | (not holds), self.leak.apply(v), v)
            if self.synapse and self.synapse.reset:
                new["i"] = np.where(spikes > 0, 0, new["i"])
        elif self.reset_timing == "both":
            v = word.fit(self._reset(v, spikes - before, theta))
        new["v"] = v
        if self.remembers:
            new["s"] = spikes
        if self.adaptation:
            a = self.adaptation
            new["a"] = a.word.fit(a.leak.apply(old["a"]) + a.jump * spikes)
        if self.refractory:
            new["r"] = np.where(spikes > 0, self.refractory, np.maximum(old["r"] - 1, 0))
        return (v if self.output == "membrane" else spikes), new

    def _integrate(
        self, v: np.ndarray, charge: np.ndarray, before: np.ndarray, theta: np.ndarray
    ) -> np.ndarray:
        """Steps 3 and 4, but for the word's overflow at the end."""
        old = v
        add, early = self.word.after_add, self.late and self.reset_vs_input == "before"
        if early and self.reset_vs_leak == "before":
            v = add(self._reset(v, before, theta))
        if self.reset_vs_leak == "instead":
            v = np.where(before > 0, add(self._reset(v, before, theta)), self.leak.apply(v))
        elif self.late or self.reset_vs_leak == "after":
            v = self.leak.apply(v)
        if early and self.reset_vs_leak == "after":
            v = add(self._reset(v, before, theta))
        if self.word.overflow == "sat_change":
            clamp = self.word.fit
            change = clamp(clamp(v - old + charge) + self.bias)
            v = old + change
        else:
            v = add(v + charge + self.bias)
        if self.late and not early:
            v = self._reset(v, before, theta)
        return v

    def _charge(
        self,
        x: np.ndarray,
        old: dict[str, np.ndarray],
        new: dict[str, np.ndarray],
        before: np.ndarray,
    ) -> np.ndarray:
        """What the membrane receives but for the bias; the synapse's current goes into ``new``."""
        syn = self.synapse
        if syn is None:
            return shift_right(x, self.input_frac - self.word.frac, self.rounding)
        given = shift_right(x, self.input_frac - syn.word.frac, self.rounding)
        held = np.where(before > 0, 0, old["i"]) if syn.reset else old["i"]
        if syn.order == "leaked":
            new["i"] = syn.leak.apply(syn.word.fit(held + given))
        else:
            new["i"] = syn.word.fit(syn.leak.apply(held) + given)
        seen = held if syn.order == "previous" else new["i"]
        return shift_right(seen, syn.word.frac - self.word.frac, self.rounding)

    def _spikes(self, v: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """int64: how many multiples of the threshold v has passed."""
        count = np.zeros_like(v)
        for level in range(1, self.spike_levels + 1):
            count += v > level * theta if self.compare == "gt" else v >= level * theta
        return count

    def _reset(self, v: np.ndarray, spikes: np.ndarray, theta: np.ndarray) -> np.ndarray:
        if self.reset == "none":
            return v
        if self.reset == "subtract":
            return v - spikes * theta
        value: np.ndarray | int = self.reset_value if self.reset == "value" else 0
        return np.where(spikes > 0, value, v)
