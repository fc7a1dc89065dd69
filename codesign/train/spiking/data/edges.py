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
    along, polarity = np.repeat(np.arange(SIDE), 2), np.tile([1, 0], SIDE)
    place = np.where(polarity == 1, along, along + width)
    jitter = rng.normal(0, 2, (len(along), len(across)))
    ticks = np.floor(begin + (place / speed)[:, None] + jitter).astype(np.int64)
    at = (along if direction % 2 == 0 else SIDE - 1 - along)[:, None]
    pixels = across * SIDE + at if direction < 2 else at * SIDE + across
    events = np.stack([ticks, pixels, np.broadcast_to(polarity[:, None], ticks.shape)], axis=-1)
    return np.asarray(events[(ticks >= 0) & (ticks < DURATION)])


def _noise(rng: np.random.Generator) -> np.ndarray:
    ends = (DURATION, SIDE * SIDE, 2)
    return np.stack([rng.integers(0, end, NOISE) for end in ends], axis=1)
