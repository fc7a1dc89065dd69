"""A learning layer and its signal over the frames of a run: every word in the order of hardware."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from codesign.learning.layer import LayerState, LearningLayer
from codesign.learning.rival import Rival


@dataclass
class Log:
    """What learning writes, in the order of writing: arrays int32, a row for each word. Of ``pre``:
    input, trace; of ``post``: group, Psi of each lane, its trace; of ``weights``: row of the
    memory, weight of each lane. ``active``, ``changes``: of every step of every frame."""

    pre: list[np.ndarray] = field(default_factory=list)
    post: list[np.ndarray] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)
    active: list[int] = field(default_factory=list)
    changes: list[bool] = field(default_factory=list)

    def rows(self, name: str, lanes: int) -> np.ndarray:
        """All rows of ``pre``, ``post`` or ``weights``, int32 [words, columns]."""
        columns = {"pre": 2, "post": 1 + 2 * lanes, "weights": 1 + lanes}[name]
        return np.concatenate([np.zeros((0, columns), np.int32), *getattr(self, name)])


@dataclass(frozen=True, eq=False)
class TaughtRun:
    """What a run of n frames of T steps left: ``spikes`` and each of ``states`` int64
    [n, T, outputs], ``weights`` int64 [inputs, outputs] after it, and its ``log``."""

    spikes: np.ndarray
    states: dict[str, np.ndarray]
    weights: np.ndarray
    log: Log


@dataclass(frozen=True, eq=False)
class Taught:
    """``layer`` with the learning signal ``rival``, ``lanes`` outputs at a time."""

    layer: LearningLayer
    rival: Rival
    lanes: int

    def run(
        self, weights: np.ndarray, x: np.ndarray, learn: np.ndarray, target: np.ndarray
    ) -> TaughtRun:
        """Frames ``x`` int [n, T, inputs], which ``learn`` [n] or not, of classes ``target``."""
        log, steps = Log(), x.shape[1]
        shape = (len(x), steps, self.layer.outputs)
        spikes = np.zeros(shape, np.int64)
        states = {s.name: np.zeros(shape, np.int64) for s in self.layer.neuron.states}
        n = 0
        while n < len(x):
            if learn[n]:
                weights = self._frame(weights, x[n], int(target[n]), spikes[n], states, n, log)
                n += 1
                continue
            many = int(np.argmax(np.append(learn[n:], True)))  # frames that only pass
            out, after = self.layer.neuron.run(x[n : n + many].astype(np.int64) @ weights)
            spikes[n : n + many] = out
            for name, words in after.items():
                states[name][n : n + many] = words
            log.active += [0] * (many * steps)
            log.changes += [False] * (many * steps)
            n += many
        return TaughtRun(spikes, states, weights, log)

    def _frame(
        self,
        weights: np.ndarray,
        x: np.ndarray,
        target: int,
        spikes: np.ndarray,
        states: dict[str, np.ndarray],
        number: int,
        log: Log,
    ) -> np.ndarray:
        """A frame that learns: the weights after it."""
        state, scores = self.layer.begin(weights), self.rival.begin()
        listed: list[int] = []  # inputs with a trace, in the order in which they got one
        for t, now in enumerate(x.astype(np.int64)):
            state = self.layer.forward(state, now)
            scores, m = self.rival.step(scores, state.spikes, target)
            state = self.layer.learn(state, m)
            spikes[t] = state.spikes
            for name, words in state.states.items():
                states[name][number, t] = words
            final = t == len(x) - 1
            listed = self._enter(log, state, m, listed, final)
        return state.weights

    def _enter(
        self, log: Log, state: LayerState, m: np.ndarray, listed: list[int], final: bool
    ) -> list[int]:
        """Logs a step; the inputs that keep a trace."""
        had = set(listed)
        listed = [*listed, *(j for j in np.flatnonzero(state.x).tolist() if j not in had)]
        g, h = self.layer.rule.factors(m, state.psi, state.post)
        changes = bool(g.any() or h.any())
        lanes, groups = self.lanes, self.layer.outputs // self.lanes
        parts = [np.arange(groups)[:, None], state.psi.reshape(-1, lanes)]
        log.post.append(np.hstack([*parts, state.post.reshape(-1, lanes)]).astype(np.int32))
        rows = np.array(listed, np.int64)
        traces = 0 * rows if final else state.pre[rows]
        log.pre.append(np.stack([rows, traces], axis=1).astype(np.int32))
        if changes:
            places = rows[:, None] + np.arange(groups) * self.layer.inputs
            codes = state.weights[rows].reshape(-1, lanes)
            log.weights.append(np.hstack([places.reshape(-1, 1), codes]).astype(np.int32))
        log.active.append(len(listed))
        log.changes.append(changes)
        return [] if final else [j for j in listed if state.pre[j]]
