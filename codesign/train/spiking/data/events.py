"""Streams of events: when, where, and which way; and their frames, one for each time step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codesign.errors import UsageError

#: Classes of a data set, and bytes of its frames: beyond, a number in the file is damaged.
MAX_CLASSES, MAX_FRAMES = 1 << 12, 1 << 33

STREAMS: dict[str, Callable[[Path | None, int], Events]] = {}


@dataclass(frozen=True, eq=False)
class Events:
    """Labelled samples of events.

    ``t``, ``x``: int64 [events], ticks from 0 and addresses in ``0..size-1``; ``p``: int64
    [events] of 0 and 1, or None; ``start``: int64 [samples + 1], sample i has the events
    ``start[i]..start[i+1]-1``, sorted by time; ``label``: int64 [samples]; ``test``: bool
    [samples]; ``duration``: ticks of a sample. All is checked: ``UsageError`` names the first
    event that is out of order or range.
    """

    t: np.ndarray
    x: np.ndarray
    p: np.ndarray | None
    start: np.ndarray
    label: np.ndarray
    test: np.ndarray
    size: int
    duration: int

    def __post_init__(self) -> None:
        if self.size < 1 or self.duration < 1:
            raise UsageError(
                f"events need size and duration of at least 1, got {self.size} and {self.duration}"
            )
        for name in ("x", "p"):
            array = getattr(self, name)
            if array is not None and len(array) != len(self.t):
                raise UsageError(f"there are {len(self.t)} times but {len(array)} of '{name}'")
        self._check_samples()
        _in_range("time", self.t, self.duration, "ticks")
        _in_range("address", self.x, self.size, "addresses")
        if self.p is not None:
            _in_range("polarity", self.p, 2, "polarities")
        back = np.flatnonzero(np.diff(self.t) < 0) + 1
        back = np.setdiff1d(back, self.start)
        if back.size:
            i = int(back[0])
            raise UsageError(
                f"events are not sorted by time: event {i} is at {self.t[i]}, "
                f"the one before at {self.t[i - 1]}",
                hint="sort the events of each sample by t",
            )

    def _check_samples(self) -> None:
        start = self.start
        bad = len(start) < 2 or start[0] != 0 or start[-1] != len(self.t)
        if bad or (np.diff(start) < 0).any():
            raise UsageError(
                f"'start' must rise from 0 to the number of events, {len(self.t)}",
                hint="one number a sample, where its events begin, and the end",
            )
        if len(self.label) != len(start) - 1 or len(self.test) != len(self.label):
            raise UsageError(f"there are {len(start) - 1} samples but {len(self.label)} labels")
        if self.label.min() < 0:
            raise UsageError(f"labels are whole numbers from 0, got {self.label.min()}")
        if self.label.max() >= MAX_CLASSES:
            raise UsageError(
                f"label {self.label.max()}: there are at most {MAX_CLASSES} classes",
                hint="number the classes 0, 1, 2, ...",
            )

    @property
    def features(self) -> int:
        """Inputs of a network: an input for each address and polarity."""
        return self.size * (1 if self.p is None else 2)

    def frames(self, steps: int) -> np.ndarray:
        """uint8 [samples, steps, features]: 1 where at least one event fell into the step; event
        of tick t into step ``t * steps // duration``, polarity 1 behind all addresses of 0."""
        if steps < 1:
            raise UsageError(f"a network runs at least 1 time step, got T = {steps}")
        samples = len(self.label)
        if samples * steps * self.features > MAX_FRAMES:
            raise UsageError(
                f"{samples} samples of {steps} steps and {self.features} inputs are more than "
                f"{MAX_FRAMES >> 30} GiB of frames",
                hint="addresses count from 0; take fewer samples, steps or addresses",
            )
        sample = np.repeat(np.arange(samples), np.diff(self.start))
        place = self.x if self.p is None else self.p * self.size + self.x
        out = np.zeros((samples, steps, self.features), dtype=np.uint8)
        out[sample, self.t * steps // self.duration, place] = 1
        return out


def _in_range(what: str, array: np.ndarray, end: int, unit: str) -> None:
    if array.dtype.kind not in "iu":
        raise UsageError(f"each {what} must be a whole number, got {array.dtype}")
    wrong = np.flatnonzero((array < 0) | (array >= end))
    if wrong.size:
        i = int(wrong[0])
        raise UsageError(
            f"event {i} has {what} {array[i]}, outside 0..{end - 1}",
            hint=f"there are {end} {unit}",
        )


def stream(name: str) -> Callable[[Callable[[Path | None, int], Events]], Callable]:
    """Decorator: make a loader known under ``name``. It gets the ``--data`` path and a seed."""

    def enter(loader: Callable[[Path | None, int], Events]) -> Callable:
        STREAMS[name] = loader
        return loader

    return enter


def joined(
    samples: list[np.ndarray], labels: list[int], size: int, duration: int, polarity: bool
) -> Events:
    """Events of samples int64 [events, 3] of t, x, p in any order; every fifth is for test."""
    parts = [s[np.argsort(s[:, 0], kind="stable")] for s in samples]
    whole = np.concatenate(parts)
    return Events(
        whole[:, 0],
        whole[:, 1],
        whole[:, 2] if polarity else None,
        np.cumsum([0, *(len(s) for s in parts)]),
        np.array(labels, dtype=np.int64),
        np.arange(len(labels)) % 5 == 4,
        size,
        duration,
    )
