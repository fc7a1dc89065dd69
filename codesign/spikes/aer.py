"""Address events: the spikes of a frame as the list of those that happen.

The stream form: for each time step the addresses of the spiking elements, ascending, then one
beat that ends the step; ``last`` on that of the final step. A spike of several levels carries its
``count``. So there is exactly one event stream for a spike tensor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Columns of a table of beats.
ADDRESS, COUNT, STEP_END, LAST = range(4)


@dataclass(frozen=True, eq=False)
class Events:
    """Spikes of one frame of ``steps`` steps over ``elements`` elements.

    ``time``, ``address`` and ``count``: int64 [events], ordered by time, then address, no element
    twice in a step; counts in ``1..levels``, or as far below zero if ``signed`` (ternary spikes
    are signed, of one level). Anything else is a ``ValueError`` that names the first event at
    fault.
    """

    steps: int
    elements: int
    levels: int
    time: np.ndarray
    address: np.ndarray
    count: np.ndarray
    signed: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"a frame has at least one time step, got T = {self.steps}")
        if self.elements < 1 or self.levels < 1:
            raise ValueError(
                f"events need an element and a level, got {self.elements} elements, "
                f"{self.levels} levels"
            )
        columns = [_column(name, getattr(self, name)) for name in ("time", "address", "count")]
        if len({len(column) for column in columns}) != 1:
            raise ValueError(f"times, addresses and counts of {[len(c) for c in columns]} events")
        for name, column in zip(("time", "address", "count"), columns, strict=True):
            object.__setattr__(self, name, column)
        self._inside("time step", self.time, 0, self.steps - 1)
        self._inside("address", self.address, 0, self.elements - 1)
        size = np.abs(self.count) if self.signed else self.count
        self._inside("count", self.count, -self.levels if self.signed else 1, self.levels)
        self._inside("count's size" if self.signed else "count", size, 1, self.levels)
        self._ordered()

    def _inside(self, what: str, values: np.ndarray, lo: int, hi: int) -> None:
        bad = np.flatnonzero((values < lo) | (values > hi))
        if bad.size:
            raise ValueError(f"event {bad[0]}: {what} {values[bad[0]]} lies outside {lo}..{hi}")

    def _ordered(self) -> None:
        place = self.time * self.elements + self.address
        bad = np.flatnonzero(np.diff(place) <= 0)
        if not bad.size:
            return
        n = int(bad[0]) + 1
        now = f"event {n} (time {self.time[n]}, address {self.address[n]})"
        before = f"event {n - 1} (time {self.time[n - 1]}, address {self.address[n - 1]})"
        if place[n] == place[n - 1]:
            raise ValueError(f"{now} is the same as the one before; add their counts")
        raise ValueError(f"{now} stands after {before}; sort by time, then address")

    def per_step(self) -> np.ndarray:
        """Events of each step, int64 [steps]."""
        return np.bincount(self.time, minlength=self.steps).astype(np.int64)


def _column(name: str, values: object) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise ValueError(f"{name} is a vector of integers, got {array.dtype} {array.shape}")
    column = array.astype(np.int64)
    column.setflags(write=False)
    return column


def encode(spikes: np.ndarray, levels: int = 1, signed: bool = False) -> Events:
    """Events of spikes int [steps, elements] in ``0..levels``, or ``-levels..levels``."""
    spikes = np.asarray(spikes)
    if spikes.ndim != 2 or not np.issubdtype(spikes.dtype, np.integer):
        raise ValueError(
            f"spikes are integers [steps, elements], got {spikes.dtype} {spikes.shape}"
        )
    least = -levels if signed else 0
    if spikes.size and (spikes.min() < least or spikes.max() > levels):
        t, e = np.argwhere((spikes < least) | (spikes > levels))[0]
        raise ValueError(
            f"spike {spikes[t, e]} of element {e} in step {t} is not in {least}..{levels}"
        )
    time, address = np.nonzero(spikes)
    steps, elements = spikes.shape
    return Events(steps, elements, levels, time, address, spikes[time, address], signed)


def decode(events: Events) -> np.ndarray:
    """Spikes int64 [steps, elements]: the inverse of :func:`encode`."""
    spikes = np.zeros((events.steps, events.elements), np.int64)
    spikes[events.time, events.address] = events.count
    return spikes


def to_beats(events: Events) -> np.ndarray:
    """The stream: int64 [events + steps, 4], columns address, count, step_end, last.

    A beat that ends a step has address and count 0.
    """
    table = np.zeros((len(events.time) + events.steps, 4), np.int64)
    places = np.arange(len(events.time)) + events.time
    table[places, ADDRESS], table[places, COUNT] = events.address, events.count
    ends = np.cumsum(events.per_step() + 1) - 1
    table[ends, STEP_END] = 1
    table[ends[-1], LAST] = 1
    return table


def from_beats(
    table: np.ndarray, steps: int, elements: int, levels: int = 1, signed: bool = False
) -> Events:
    """Events of one frame of beats int [beats, 4]; ``ValueError`` where it breaks the rules."""
    table = np.asarray(table)
    if table.ndim != 2 or table.shape[1] != 4:
        raise ValueError(f"beats are rows of address, count, step_end, last; got {table.shape}")
    ends = table[:, STEP_END] == 1
    if ends.sum() != steps or not len(table) or not ends[-1]:
        raise ValueError(f"a frame of {steps} steps has {ends.sum()} beats that end one")
    last = np.flatnonzero(table[:, LAST])
    if last.tolist() != [len(table) - 1]:
        raise ValueError(f"'last' stands on beats {last.tolist()}, not on {len(table) - 1} alone")
    time = np.cumsum(ends) - ends
    own = table[~ends]
    return Events(steps, elements, levels, time[~ends], own[:, ADDRESS], own[:, COUNT], signed)
