"""Moving edges: what a sensor of 12 x 12 pixels sees of a bar that passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codesign.train.spiking.data.events import Events, joined, stream

SIDE, DURATION, SAMPLES, NOISE = 12, 240, 1000, 10


@stream("edges")
def edges(data: Path | None, seed: int) -> Events:
    """Four classes: a bar of random width, extent and speed moves right, left, down or up. Its
    front gives events of polarity 1, its back of polarity 0; a few events are noise."""
    rng = np.random.default_rng(seed)
    samples, labels = [], []
    for index in range(SAMPLES):
        label = index % 4
        samples.append(np.concatenate([_bar(rng, label), _noise(rng)]))
        labels.append(label)
    return joined(samples, labels, SIDE * SIDE, DURATION, polarity=True)


def _bar(rng: np.random.Generator, direction: int) -> np.ndarray:
    """int64 [events, 3] of t, x, p."""
    width = int(rng.integers(2, 5))
    low = int(rng.integers(0, SIDE // 2))
    across = np.arange(low, int(rng.integers(low + 4, SIDE + 1)))
    speed = rng.uniform(0.05, 0.09)  # pixels a tick
    begin = rng.uniform(0, 40)
    found = []
    for along in range(SIDE):
        for polarity, place in ((1, along), (0, along + width)):
            when = begin + place / speed + rng.normal(0, 2, len(across))
            ticks = np.floor(when).astype(np.int64)
            seen = (ticks >= 0) & (ticks < DURATION)
            at = along if direction % 2 == 0 else SIDE - 1 - along
            pixels = across * SIDE + at if direction < 2 else at * SIDE + across
            rows = np.stack([ticks, pixels, np.full(len(across), polarity)], axis=1)
            found.append(rows[seen])
    return np.concatenate(found)


def _noise(rng: np.random.Generator) -> np.ndarray:
    ends = (DURATION, SIDE * SIDE, 2)
    return np.stack([rng.integers(0, end, NOISE) for end in ends], axis=1)
