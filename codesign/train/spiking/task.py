"""What is learned: inputs, labels, and how inputs become what arrives each step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codesign.errors import UsageError
from codesign.train.datasets import DATASETS, load
from codesign.train.spiking.data import STREAMS
from codesign.train.spiking.encode import Encoding

#: Smallest code of 8 bits that spikes.
LOW = {"digits": 16, "mnist": 32}


@dataclass(frozen=True, eq=False)
class Task:
    """``*_x``: float32 [n, features] in 0..1, or uint8 frames [n, steps, features] of events.
    ``*_y``: int64 [n]."""

    name: str
    encoding: Encoding
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(max(self.train_y.max(), self.test_y.max())) + 1

    @property
    def features(self) -> int:
        """Inputs of the network."""
        return int(self.encoding(self.train_x[:1]).shape[-1])


def load_task(
    name: str, encoding: str, steps: int, data: Path | None, seed: int, low: int | None = None
) -> Task:
    """The data set called ``name`` (of pictures or of events), cut into ``steps``.

    Raises :class:`UsageError` for an unknown one, T < 1, or an encoding that is not for it.
    """
    if name in STREAMS:
        if encoding not in ("events", "auto"):
            raise UsageError(f"'{name}' holds events: they need no encoding, got '{encoding}'")
        how = Encoding("events", steps)
        found = STREAMS[name](data, seed)
        frames, label, test = found.frames(steps), found.label, found.test
        if test.all() or not test.any():
            raise UsageError("events need samples to train on and samples to test with")
        return Task(name, how, frames[~test], label[~test], frames[test], label[test])
    if name not in DATASETS:
        known = ", ".join(sorted({*DATASETS, *STREAMS}))
        raise UsageError(f"unknown data set '{name}'", hint=f"known: {known}")
    kind = "latency" if encoding == "auto" else encoding
    if kind in ("events", "delta"):
        raise UsageError(f"'{name}' holds pictures, '{kind}' encodes signals over time")
    how = Encoding(kind, steps, 8, LOW.get(name, 1) if low is None else low)
    d = load(name, data)
    return Task(name, how, d.train_x, d.train_y, d.test_x, d.test_y)
