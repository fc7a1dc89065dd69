"""Your own events, from an ``.npz`` of plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from codesign.errors import UsageError
from codesign.train.spiking.data.events import Events, stream

FORMAT = (
    "an .npz with t, x (or address), optionally y and width, optionally p (0, 1), start "
    "(samples + 1), label (samples), optionally size, duration, test (0, 1 per sample)"
)


@stream("events")
def events(data: Path | None, seed: int) -> Events:
    """Events of :data:`FORMAT`. ``size`` and ``duration`` are by default the largest address and
    time, plus 1; without ``test``, every fifth sample is for test."""
    if data is None:
        raise UsageError("events need their file", hint=f"give --data events.npz: {FORMAT}")
    try:
        with np.load(data, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"not readable: {error}", where=str(data), hint=FORMAT) from None
    try:
        return from_arrays(found)
    except UsageError as error:
        raise UsageError(error.what, where=str(data), hint=error.hint or FORMAT) from None


def from_arrays(found: dict[str, np.ndarray]) -> Events:
    """Events of arrays by name; ``UsageError`` where one is missing, unsorted or out of range."""
    t = _vector(found, "t")
    x = _vector(found, "address" if "address" in found else "x")
    if not len(t):
        raise UsageError("there is no event in it")
    if "y" in found:
        width, y = _one(found, "width"), _vector(found, "y")
        if len(y) != len(x):
            raise UsageError(f"there are {len(x)} of 'x' but {len(y)} of 'y'")
        outside = np.flatnonzero((x < 0) | (x >= width))
        if outside.size:
            i = int(outside[0])
            raise UsageError(f"event {i} has x {x[i]}, outside 0..{width - 1}")
        x = y * width + x
    label = _vector(found, "label")
    start = _vector(found, "start") if "start" in found else np.array([0, len(t)])
    test = np.arange(len(label)) % 5 == 4
    if "test" in found:
        test = _vector(found, "test") != 0
    return Events(
        t,
        x,
        _vector(found, "p") if "p" in found else None,
        start,
        label,
        test,
        _size(found, "size", x),
        _size(found, "duration", t),
    )


def _vector(found: dict[str, np.ndarray], name: str) -> np.ndarray:
    """int64 [n]; whole numbers of any type."""
    if name not in found:
        raise UsageError(f"array '{name}' is missing", hint=FORMAT)
    array: Any = np.atleast_1d(found[name])
    if array.ndim != 1 or array.dtype.kind not in "iubf":
        raise UsageError(f"'{name}' must be a vector of numbers, got {array.dtype} {array.shape}")
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.int64)
    if (whole != array).any():
        i = int(np.flatnonzero(whole != array)[0])
        raise UsageError(f"'{name}' must hold whole numbers, entry {i} is {array[i]}")
    return np.asarray(whole)


def _one(found: dict[str, np.ndarray], name: str) -> int:
    values = _vector(found, name)
    if len(values) != 1:
        raise UsageError(f"'{name}' must be one whole number, got {len(values)}")
    return int(values[0])


def _size(found: dict[str, np.ndarray], name: str, values: np.ndarray) -> int:
    if name in found:
        return _one(found, name)
    return int(max(values.max(initial=0), 0)) + 1
