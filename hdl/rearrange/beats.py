"""A map of elements as a map of beats: which one each output beat shows, and which lanes of it."""

from dataclasses import dataclass

import numpy as np

from codesign.hdl.stream import beats_for

#: Different ways to wire the lanes of a beat, chosen between by a multiplexer.
MAX_PATTERNS = 8


@dataclass(frozen=True, eq=False)
class BeatMap:
    """``source``: int64 [P], the input beat of each output beat, -1 where all of it is padding.

    ``patterns``: int64 [n, lanes], the input lane each output lane shows, -1 for padding;
    ``choice``: int64 [P], which pattern an output beat has.
    """

    source: np.ndarray
    patterns: np.ndarray
    choice: np.ndarray

    @property
    def straight(self) -> bool:
        """Whether every lane shows the same lane of the input."""
        lanes = self.patterns.shape[1]
        return len(self.patterns) == 1 and np.array_equal(self.patterns[0], np.arange(lanes))


def beat_map(index: np.ndarray, elements: int, lanes: int) -> BeatMap | None:
    """``index`` (int64 [outputs], -1 padding) in beats of ``lanes``; None where an output beat
    needs several input beats, or the lanes too many patterns.

    What lies behind the frame's end in the last beat may be anything.
    """
    count = beats_for(len(index), lanes)
    padded = np.full(count * lanes, -2, dtype=np.int64)
    padded[: len(index)] = index
    rows = padded.reshape(count, lanes)
    beats = np.where(rows >= 0, rows // lanes, -1)
    source = beats.max(axis=1)
    if ((beats >= 0) & (beats != source[:, None])).any():
        return None
    wanted = np.where(rows >= 0, rows % lanes, rows)
    wanted[source < 0] = -2  # padding as a whole: the lanes do not matter
    patterns, choice = _patterns(wanted)
    return BeatMap(source, patterns, choice) if len(patterns) <= MAX_PATTERNS else None


def _patterns(wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Patterns and choices; -2 matches anything."""
    lanes = wanted.shape[1]
    if ((wanted == np.arange(lanes)) | (wanted == -2)).all():  # the usual case, found quickly
        return np.arange(lanes)[None], np.zeros(len(wanted), dtype=np.int64)
    kinds, kind = np.unique(wanted, axis=0, return_inverse=True)
    found: list[np.ndarray] = []
    place = np.zeros(len(kinds), dtype=np.int64)
    for number in np.argsort((kinds == -2).sum(axis=1), kind="stable"):
        row = kinds[number]
        match = next((n for n, f in enumerate(found) if ((f == row) | (row == -2)).all()), None)
        if match is None:
            straight = np.arange(lanes)
            fits = ((straight == row) | (row == -2)).all()
            found.append(straight if fits else np.where(row == -2, -1, row))
            match = len(found) - 1
        place[number] = match
    return np.stack(found), place[kind.reshape(-1)]
