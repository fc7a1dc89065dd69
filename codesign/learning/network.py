"""Learning layers one after the other, each with a learning signal of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from codesign.learning.layer import LearningLayer, Record
from codesign.learning.rival import Rival


@dataclass(frozen=True, eq=False)
class LearningNet:
    """``layers`` and the signal of each. The class is that of the last layer's best score, the
    first of equals, after the last step."""

    layers: tuple[LearningLayer, ...]
    signals: tuple[Rival, ...]

    def __post_init__(self) -> None:
        if not self.layers or len(self.layers) != len(self.signals):
            raise ValueError(f"{len(self.layers)} layers with {len(self.signals)} signals")
        for n, (layer, signal) in enumerate(zip(self.layers, self.signals, strict=True)):
            word, (lo, hi) = layer.rule.signal, signal.span
            if len(signal.signs) != layer.outputs:
                raise ValueError(
                    f"layer {n} has {layer.outputs} outputs, its signal {len(signal.signs)}"
                )
            if lo < word.lo or hi > word.hi:
                raise ValueError(f"layer {n}: signals {lo}..{hi} outside {word.lo}..{word.hi}")
            if n and layer.inputs != self.layers[n - 1].outputs:
                raise ValueError(
                    f"layer {n} takes {layer.inputs} spikes, layer {n - 1} gives "
                    f"{self.layers[n - 1].outputs}"
                )

    def frame(
        self,
        weights: list[np.ndarray],
        x: np.ndarray,
        target: int | None,
        records: list[Record] | None = None,
    ) -> tuple[list[np.ndarray], int]:
        """One frame, int [steps, inputs]: the weights after it, and its class. Without a target
        nothing is learned."""
        states = [layer.begin(w) for layer, w in zip(self.layers, weights, strict=True)]
        scores = [signal.begin() for signal in self.signals]
        for now in x.astype(np.int64):
            for n, (layer, signal) in enumerate(zip(self.layers, self.signals, strict=True)):
                states[n] = layer.forward(states[n], now)
                now = states[n].spikes
                scores[n], m = signal.step(scores[n], now, target or 0)
                if target is not None:
                    states[n] = layer.learn(states[n], m)
                if records is not None:
                    records[n].enter(states[n], m)
        return [state.weights for state in states], int(scores[-1].argmax())

    def train(
        self, weights: list[np.ndarray], frames: Iterable[np.ndarray], targets: Iterable[int]
    ) -> tuple[list[np.ndarray], list[Record], np.ndarray]:
        """Weights after all frames, every word of every step, and the classes given on the way."""
        records, classes = [Record() for _ in self.layers], []
        for x, target in zip(frames, targets, strict=True):
            weights, found = self.frame(weights, x, int(target), records)
            classes.append(found)
        return weights, records, np.array(classes, np.int64)

    def classify(self, weights: list[np.ndarray], frames: Iterable[np.ndarray]) -> np.ndarray:
        """The class of each frame, int64; nothing is learned."""
        return np.array([self.frame(weights, x, None)[1] for x in frames], np.int64)
