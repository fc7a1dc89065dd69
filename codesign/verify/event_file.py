"""A user's own events, as a file of arrays: one row for each spike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from codesign.errors import UsageError
from codesign.plan import Circuit
from codesign.spikes import Events, decode

#: Arrays of the file; ``count`` and ``frames`` may be left out.
NAMES = ("frame", "time", "address", "count", "frames")
#: Numbers that frames may hold altogether: beyond, a frame's number is damaged.
MAX_ELEMENTS = 1 << 27
HINT = "write it with numpy.savez(path, frame=..., time=..., address=..., count=..., frames=N)"


@dataclass(frozen=True, eq=False)
class EventFile:
    """Spikes of ``frames`` frames, in order of frame, time and address: int64 vectors, one entry
    for each. ``where``: what errors call it."""

    frame: np.ndarray
    time: np.ndarray
    address: np.ndarray
    count: np.ndarray
    frames: int
    where: str

    @staticmethod
    def of(arrays: Mapping[str, np.ndarray], where: str) -> EventFile:
        """Of the arrays of an archive; ``UsageError`` where they are no events."""
        missing = [name for name in NAMES[:3] if name not in arrays]
        unknown = [name for name in arrays if name not in NAMES]
        if missing or unknown:
            what = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(unknown)}"
            raise UsageError(f"an archive of events {what}", where=where, hint=HINT)
        columns = {name: _column(name, arrays[name], where) for name in NAMES[:4] if name in arrays}
        columns.setdefault("count", np.ones_like(columns["frame"]))
        if len({len(column) for column in columns.values()}) != 1:
            sizes = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
            raise UsageError(f"arrays of different lengths: {sizes}", where=where, hint=HINT)
        frame = columns["frame"]
        late = np.flatnonzero(np.diff(frame) < 0)
        if late.size:
            n = int(late[0]) + 1
            raise UsageError(
                f"event {n} of frame {frame[n]} stands after one of frame {frame[n - 1]}",
                where=where,
                hint="sort the events by frame, then time, then address",
            )
        return EventFile(**columns, frames=_frames(arrays, frame, where), where=where)

    def codes(self, circuit: Circuit) -> np.ndarray:
        """What the circuit is sent, int64 [frames, elements]; ``UsageError`` naming the first
        event that breaks the rules of :mod:`codesign.spikes`."""
        source = circuit.source
        if source.format.lo or source.format.hi > 255 or len(source.shape) < 2:
            raise UsageError(
                f"events for an input of {source.format.label()}, which are no spikes",
                where=self.where,
                hint="give the inputs as one array of numbers (.npy)",
            )
        if self.frames * source.elements > MAX_ELEMENTS:
            raise UsageError(
                f"{self.frames} frames of {source.elements} elements are more than "
                f"{MAX_ELEMENTS >> 20} Mi",
                where=self.where,
                hint="frames count from 0; verify fewer of them at a time",
            )
        steps = source.shape[0]
        found = self.spikes(steps, source.elements // steps, source.format.hi)
        return found.reshape(len(found), -1)

    def spikes(self, steps: int, elements: int, levels: int) -> np.ndarray:
        """The same as spikes int64 [frames, steps, elements] in ``0..levels``."""
        found = []
        cuts = np.searchsorted(self.frame, np.arange(self.frames + 1))
        for k, (a, b) in enumerate(zip(cuts, cuts[1:], strict=False)):
            own = slice(a, b)
            columns = self.time[own], self.address[own], self.count[own]
            try:
                events = Events(steps, elements, levels, *columns)
            except ValueError as error:
                raise UsageError(
                    f"frame {k}, {error}",
                    where=self.where,
                    hint=f"a frame has {steps} time steps and addresses 0..{elements - 1}, "
                    "sorted by time, then address, none twice in a step",
                ) from error
            found.append(decode(events))
        return np.stack(found)


def _column(name: str, array: np.ndarray, where: str) -> np.ndarray:
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UsageError(
            f"'{name}' is a vector of integers, got {array.dtype} {array.shape}",
            where=where,
            hint=HINT,
        )
    return array.astype(np.int64)


def _frames(arrays: Mapping[str, np.ndarray], frame: np.ndarray, where: str) -> int:
    """How many frames there are: as the archive says, or up to the last event's."""
    known = int(frame[-1]) + 1 if frame.size else 0
    if "frames" in arrays:
        given = arrays["frames"]
        if given.ndim or given.dtype.kind not in "iu":
            raise UsageError("'frames' is one integer", where=where, hint=HINT)
        known = int(given)
    if known < 1 or (frame.size and (frame[0] < 0 or frame[-1] >= known)):
        raise UsageError(f"events of frames that are not 0..{known - 1}", where=where, hint=HINT)
    return known
