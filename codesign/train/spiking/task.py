"""What is learned: inputs, labels, and how inputs become what arrives each step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codesign.errors import UsageError
from codesign.train.datasets import DATASETS, load
from codesign.train.spiking.data import SIGNALS, STREAMS
from codesign.train.spiking.encode import COUNTS, Encoding

#: Smallest code of 8 bits that spikes.
LOW = {"digits": 16, "mnist": 32}
#: Smallest change of an 8-bit code that a delta code tells.
SMALLEST_CHANGE = 6


@dataclass(frozen=True, eq=False)
class Task:
    """``*_x``: float32 [n, features] in 0..1 (-1..1 where codes are signed), signals [n, steps,
    features] of these, or uint8 frames [n, steps, features] of events. ``*_y``: int64 [n]."""

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
    name: str,
    encoding: str,
    steps: int,
    data: Path | None,
    seed: int,
    low: int | None = None,
    bits: int | None = None,
) -> Task:
    """The data set called ``name`` (of pictures, signals or events), cut into ``steps``. ``bits``:
    of a code, by default 8, or as many as the steps of a count can say.

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
    if name in SIGNALS:
        return _signals(name, encoding, steps, data, seed, low, bits)
    if name not in DATASETS:
        known = ", ".join(sorted({*DATASETS, *STREAMS, *SIGNALS}))
        raise UsageError(f"unknown data set '{name}'", hint=f"known: {known}")
    kind = "latency" if encoding == "auto" else encoding
    if kind in ("events", "delta"):
        raise UsageError(f"'{name}' holds pictures, '{kind}' encodes signals over time")
    signed = kind == "ternary"
    if bits is None:
        bits = counted(kind, steps) if kind in COUNTS else 8
    least = LOW.get(name, 1) if low is None and kind == "latency" else low or 0
    how = Encoding(kind, steps, bits, least, signed=signed)
    d = load(name, data)
    train_x, test_x = (2 * x - 1 if signed else x for x in (d.train_x, d.test_x))
    return Task(name, how, train_x, d.train_y, test_x, d.test_y)


def counted(kind: str, steps: int) -> int:
    """Bits of the largest codes that ``steps`` steps can say: ``2**bits - 1`` in as many steps
    (binary), ``2**(bits - 1)`` (ternary), or one bit in each (bitwise); 16 at most."""
    if steps < 1:
        raise UsageError(f"a network runs at least 1 time step, got T = {steps}")
    if kind == "bitwise":
        return min(steps, 16)
    return min((steps + 1).bit_length() - 1 if kind == "binary" else steps.bit_length(), 16)


def _signals(
    name: str,
    encoding: str,
    steps: int,
    data: Path | None,
    seed: int,
    low: int | None,
    bits: int | None,
) -> Task:
    if encoding not in ("auto", "delta"):
        raise UsageError(f"'{name}' holds signals over time, they are delta-coded, not {encoding}")
    if steps < 1:
        raise UsageError(f"a network runs at least 1 time step, got T = {steps}")
    found = SIGNALS[name](data, seed, steps)
    if found.test.all() or not found.test.any():
        raise UsageError("signals need samples to train on and samples to test with")
    low = SMALLEST_CHANGE if low is None else low
    how = Encoding("delta", steps, bits or 8, low, signed=found.signed)
    parts = (found.x[~found.test], found.label[~found.test])
    return Task(name, how, *parts, found.x[found.test], found.label[found.test])
