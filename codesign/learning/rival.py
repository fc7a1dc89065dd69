"""A learning signal made on the chip: what a fixed classifier of the layer's spikes gets wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Rival:
    """``signs`` int [outputs, classes] is a fixed classifier (TESS: random signs; identity: the
    layer's spikes are the classes). Every step::

        score_c = score_c + sum_i s_i * signs_ic
        r       = the best class but the target, the first of equals
        m_i     = signs_ir - signs_it    if score_t - score_r < margin, else 0

    the subgradient of the multi-class hinge loss (Crammer and Singer 2001): no softmax, and no
    change where the answer is right by ``margin``. Scores begin at 0 with each frame.
    """

    signs: np.ndarray
    margin: int

    def __post_init__(self) -> None:
        signs = np.array(self.signs, dtype=np.int64)
        signs.setflags(write=False)
        object.__setattr__(self, "signs", signs)
        if signs.ndim != 2 or signs.shape[1] < 2:
            raise ValueError(f"signs are [outputs, classes], 2 classes or more, got {signs.shape}")
        if self.margin < 0:
            raise ValueError(f"a margin is not negative, got {self.margin}")

    @property
    def classes(self) -> int:
        """How many."""
        return self.signs.shape[1]

    @property
    def span(self) -> tuple[int, int]:
        """Smallest and largest ``m`` that can occur."""
        apart = self.signs[:, :, None] - self.signs[:, None, :]
        return int(apart.min()), int(apart.max())

    def begin(self) -> np.ndarray:
        """Scores before the first step, int64 [classes]."""
        return np.zeros(self.classes, np.int64)

    def step(
        self, scores: np.ndarray, spikes: np.ndarray, target: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """New scores, int64 [classes], and ``m``, int64 [outputs]."""
        if not 0 <= target < self.classes:
            raise ValueError(f"the target is a class of 0..{self.classes - 1}, got {target}")
        scores = scores + spikes @ self.signs
        others = scores.copy()
        others[target] = np.iinfo(np.int64).min
        rival = int(others.argmax())
        if scores[target] - scores[rival] >= self.margin:
            return scores, np.zeros(len(self.signs), np.int64)
        return scores, self.signs[:, rival] - self.signs[:, target]


def random_signs(outputs: int, classes: int, seed: int) -> np.ndarray:
    """Signs -1 and 1, int64 [outputs, classes]."""
    return np.random.default_rng(seed).integers(0, 2, (outputs, classes)) * 2 - 1
