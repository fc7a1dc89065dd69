"""A dense layer of spiking neurons whose weights a rule changes at the end of every step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from codesign.learning.tess import Tess
from codesign.neurons import Lif
from codesign.neurons.base import tiled


@dataclass(frozen=True, eq=False)
class LayerState:
    """What a layer holds. int64: ``weights`` [inputs, outputs], ``pre`` [inputs], ``post`` and
    ``psi`` [outputs], ``x`` [inputs] and ``spikes`` [outputs] of the step, ``states`` of its
    neurons."""

    weights: np.ndarray
    pre: np.ndarray
    post: np.ndarray
    psi: np.ndarray
    x: np.ndarray
    spikes: np.ndarray
    states: dict[str, np.ndarray]


@dataclass
class Record:
    """Every word after every step of a run: lists of steps, frame after frame."""

    spikes: list[np.ndarray] = field(default_factory=list)
    states: list[dict[str, np.ndarray]] = field(default_factory=list)
    pre: list[np.ndarray] = field(default_factory=list)
    psi: list[np.ndarray] = field(default_factory=list)
    post: list[np.ndarray] = field(default_factory=list)
    signal: list[np.ndarray] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)

    def enter(self, state: LayerState, m: np.ndarray) -> None:
        """The step that ended with ``state``."""
        for name in ("spikes", "states", "pre", "psi", "post", "weights"):
            getattr(self, name).append(getattr(state, name))
        self.signal.append(m)


@dataclass(frozen=True, eq=False)
class LearningLayer:
    """``inputs`` spikes (0 or 1) to ``outputs`` neurons. One step:

    1. ``current = x @ w`` with the weights the step before left, exactly; the neurons' step.
    2. ``Psi`` of the membrane that was compared with the threshold (:meth:`distance`): the state
       ``v`` where the reset comes in the next step (``reset_timing = next``) or never, ``v`` and
       what its spike took away where a reset subtracts in the ``same`` step.
    3. The learning signal ``m``, codes of ``rule.signal``, which may depend on the spikes of 1.
    4. Traces, factors and weights as :class:`~codesign.learning.tess.Tess` says.

    A frame begins with states and traces at their initial values; weights go on.
    """

    neuron: Lif
    rule: Tess
    inputs: int
    outputs: int

    def __post_init__(self) -> None:
        model = self.neuron
        if self.inputs < 1 or self.outputs < 1 or self.outputs % model.channels:
            raise ValueError(
                f"{model.channels} channels of neurons do not divide {self.outputs} outputs "
                f"of {self.inputs} inputs"
            )
        if not _compared_is_known(model):
            raise ValueError(
                "a learning layer looks at the membrane that was compared, which reset "
                f"'{model.reset}', reset_timing '{model.reset_timing}', reset_vs_leak "
                f"'{model.reset_vs_leak}' do not keep: use reset_timing 'next', or reset "
                "'subtract' with reset_timing 'same' and reset_vs_leak 'after', or reset 'none'"
            )
        if model.adaptation or model.spike_levels > 1 or model.output != "spikes":
            raise ValueError(
                "a learning layer has neurons of one spike level without threshold adaptation "
                "that give spikes"
            )
        if model.input_frac != self.rule.weight.frac:
            raise ValueError(
                f"currents are sums of weights of {self.rule.weight.frac} fraction bits; the "
                f"neurons expect {model.input_frac}: use with_input_fracs"
            )

    def begin(self, weights: np.ndarray) -> LayerState:
        """The state before the first step of a frame; weights int [inputs, outputs]."""
        weights = np.asarray(weights, dtype=np.int64)
        word = self.rule.weight
        if weights.shape != (self.inputs, self.outputs):
            raise ValueError(f"weights are [{self.inputs}, {self.outputs}], got {weights.shape}")
        if weights.min() < word.lo or weights.max() > word.hi:
            raise ValueError(
                f"weights lie in {word.lo}..{word.hi}, got {weights.min()}..{weights.max()}"
            )
        rows, columns = np.zeros(self.inputs, np.int64), np.zeros(self.outputs, np.int64)
        states = self.neuron.begin((self.outputs,))
        return LayerState(weights, rows, columns, columns, rows, columns, states)

    def forward(self, state: LayerState, x: np.ndarray) -> LayerState:
        """Steps 1 and 2, and the traces; ``x``: int64 [inputs] of 0 and 1."""
        if x.shape != (self.inputs,) or ((x != 0) & (x != 1)).any():
            raise ValueError(f"a step takes {self.inputs} spikes of 0 and 1, got {x.shape}")
        rule = self.rule
        spikes, states = self.neuron.step((x @ state.weights,), state.states)
        psi = rule.psi.of(self.distance(states["v"], spikes))
        pre, post = rule.decay(state.pre, x), rule.gather(state.post, psi)
        return LayerState(state.weights, pre, post, psi, x, spikes, states)

    @property
    def gives_back(self) -> bool:
        """Whether a spike took the threshold from the membrane in its own step."""
        return self.neuron.reset == "subtract" and self.neuron.reset_timing == "same"

    def distance(self, v: np.ndarray, spikes: np.ndarray) -> np.ndarray:
        """How far the membrane that was compared lay above the threshold, int64 [outputs], of the
        state ``v`` and the spikes of a step."""
        theta = tiled(self.neuron.theta, self.outputs)
        return v - theta * (1 - spikes) if self.gives_back else v - theta

    def learn(self, state: LayerState, m: np.ndarray) -> LayerState:
        """The weights for the next step; ``m``: int64 [outputs], codes of ``rule.signal``."""
        word = self.rule.signal
        if m.min() < word.lo or m.max() > word.hi:
            raise ValueError(
                f"the learning signal lies in {word.lo}..{word.hi}, got {m.min()}..{m.max()}"
            )
        g, h = self.rule.factors(m, state.psi, state.post)
        return replace(state, weights=self.rule.update(state.weights, g, h, state.pre, state.x))

    def run(
        self, weights: np.ndarray, frames: Iterable[np.ndarray], signals: Iterable[np.ndarray]
    ) -> tuple[np.ndarray, Record]:
        """A training run with given learning signals: frames of int [steps, inputs], signals of
        int [steps, outputs]. The weights it ends with, and every word of every step."""
        record = Record()
        for x, m in zip(frames, signals, strict=True):
            state = self.begin(weights)
            for now, error in zip(x.astype(np.int64), m.astype(np.int64), strict=True):
                state = self.learn(self.forward(state, now), error)
                record.enter(state, error)
            weights = state.weights
        return weights, record


def _compared_is_known(model: Lif) -> bool:
    """Whether the state after a step and its spike tell what was compared with the threshold."""
    if model.reset_timing == "same" and model.reset_vs_leak == "before":
        return False
    return (
        model.reset == "none"
        or model.reset_timing == "next"
        or (model.reset == "subtract" and model.reset_timing == "same")
    )
