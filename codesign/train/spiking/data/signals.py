"""Signals over time, which delta codes are made of: generated ones, and a user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codesign.errors import UsageError

SIGNALS: dict[str, Callable[[Path | None, int, int], Signals]] = {}
FORMAT = "an .npz with x (samples, steps, features) in 0..1 or -1..1, label, optionally test (0, 1)"
#: Generated signals: classes, features, samples, and how far noise reaches.
CLASSES, FEATURES, SAMPLES, NOISE = 5, 8, 600, 0.01


@dataclass(frozen=True, eq=False)
class Signals:
    """``x``: float32 [samples, steps, features] in 0..1, or in -1..1 where some are negative;
    ``label``: int64 [samples]; ``test``: bool [samples]. ``UsageError`` for other arrays."""

    x: np.ndarray
    label: np.ndarray
    test: np.ndarray

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or not self.x.size:
            raise UsageError(f"signals are (samples, steps, features), got shape {self.x.shape}")
        if not (np.abs(self.x) <= 1).all():
            raise UsageError("signals lie in 0..1, or in -1..1", hint="divide by the largest value")
        if len(self.label) != len(self.x) or len(self.test) != len(self.x):
            raise UsageError(f"there are {len(self.x)} signals but {len(self.label)} labels")
        if self.label.dtype.kind not in "iu" or self.label.min() < 0:
            raise UsageError("labels are whole numbers from 0")

    @property
    def signed(self) -> bool:
        """Whether some are negative."""
        return bool(self.x.min() < 0)


def signals(name: str) -> Callable[[Callable[[Path | None, int, int], Signals]], Callable]:
    """Decorator: make a loader known under ``name``. It gets the ``--data`` path, a seed and T."""

    def enter(loader: Callable[[Path | None, int, int], Signals]) -> Callable:
        SIGNALS[name] = loader
        return loader

    return enter


@signals("waves")
def waves(data: Path | None, seed: int, steps: int) -> Signals:
    """Five classes; each is a motion of eight features of its own, two sines each. A sample has a
    random offset, gain and onset, and noise: only the changes tell the classes apart."""
    shapes = np.random.default_rng(99)  # the classes are the same whatever the seed
    speed = shapes.uniform(0.4, 1.6, (CLASSES, FEATURES, 2, 1))
    phase = shapes.uniform(0, 2 * np.pi, (CLASSES, FEATURES, 2, 1))
    rng = np.random.default_rng(seed)
    label = np.arange(SAMPLES, dtype=np.int64) % CLASSES
    onset = rng.uniform(-0.04, 0.04, (SAMPLES, 1, 1, 1))
    time = np.arange(steps) / max(steps - 1, 1) + onset
    wave = np.sin(2 * np.pi * speed[label] * time + phase[label]).sum(2) / 2
    gain = rng.uniform(0.2, 0.3, (SAMPLES, 1, 1))
    offset = rng.uniform(0.3, 0.7, (SAMPLES, FEATURES, 1))
    found = offset + gain * wave + rng.normal(0, NOISE, wave.shape)
    x = np.clip(np.moveaxis(found, 1, 2), 0, 1).astype(np.float32)
    return Signals(x, label, np.arange(SAMPLES) // CLASSES % 5 == 4)


@signals("signals")
def users(data: Path | None, seed: int, steps: int) -> Signals:
    """Signals of :data:`FORMAT`; without ``test``, every fifth sample is for test."""
    if data is None:
        raise UsageError("signals need their file", hint=f"give --data signals.npz: {FORMAT}")
    try:
        with np.load(data, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"not readable: {error}", where=str(data), hint=FORMAT) from None
    for name in ("x", "label"):
        if name not in found or found[name].dtype.kind not in "iuf":
            what = f"array '{name}' is missing or holds no numbers"
            raise UsageError(what, where=str(data), hint=FORMAT)
    label = np.atleast_1d(found["label"])
    test = np.atleast_1d(found.get("test", np.arange(len(label)) % 5 == 4)) != 0
    made = Signals(found["x"].astype(np.float32), label, test)
    if made.x.shape[1] != steps:
        what = f"its signals have {made.x.shape[1]} steps, the network T = {steps}"
        raise UsageError(what, where=str(data), hint=f"--steps {made.x.shape[1]}")
    return made
