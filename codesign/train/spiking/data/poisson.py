"""Poisson patterns: each class is a rate for each of 48 inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codesign.train.spiking.data.events import Events, joined, stream

INPUTS, CLASSES, DURATION, SAMPLES = 48, 6, 200, 900
#: Expected events of an input in a sample: quiet and active.
RATES = (0.3, 2.5)


@stream("poisson")
def poisson(data: Path | None, seed: int) -> Events:
    """Six classes; a third of the inputs, a class's own choice, fire often, the others seldom."""
    rng = np.random.default_rng(seed)
    active = np.stack([rng.permutation(INPUTS) < INPUTS // 3 for _ in range(CLASSES)])
    samples, labels = [], []
    for index in range(SAMPLES):
        label = index % CLASSES
        counts = rng.poisson(np.where(active[label], RATES[1], RATES[0]))
        x = np.repeat(np.arange(INPUTS), counts)
        t = rng.integers(0, DURATION, len(x))
        samples.append(np.stack([t, x, np.zeros(len(x), np.int64)], axis=1))
        labels.append(label)
    return joined(samples, labels, INPUTS, DURATION, polarity=False)
