"""Exact event models of the components' handshakes, in plain Python; :mod:`.events` runs them.

``run_chain`` gives the two numbers of a chain, latency and initiation interval (II), in cycles.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from math import gcd

from codesign.hdl.events import Process, Sink, Source, Stage, Times, Wire, link, simulate

__all__ = [
    "Clock",
    "Composite",
    "DownsizerTiming",
    "Fifo",
    "Fork",
    "Join",
    "MatVecTiming",
    "Pipe",
    "Stage",
    "drive",
    "run_chain",
    "width_adapter_timing",
]


class Clock:
    """Enabled cycles of a stalling pipeline (``ce = ~o.valid | o.ready``) and real cycles.

    ``latency`` registers lie between issue and output: a beat issued in enabled cycle ``k`` is
    transferred in enabled cycle ``k + latency``; the cycles it waits for ``o.ready`` are skipped.
    """

    def __init__(self, latency: int, output: Wire) -> None:
        self._latency, self._out = latency, output
        self._last = -1  # enabled cycle of the latest issue
        self._offset = 0  # real minus enabled cycles, as far as stalls are absorbed
        self._absorbed = 0
        self._keys = Times()  # enabled cycles in which output beats are transferred

    @property
    def latest(self) -> int:
        """Enabled cycle of the latest issue."""
        return self._last

    def issue(self, t: int, enabled: int = 0) -> Generator[tuple[Times, int], None, int]:
        """Issue in the first enabled cycle that is not before real cycle ``t`` nor before enabled
        cycle ``enabled``; return the real cycle."""
        k, keys, out = max(self._last + 1, enabled), self._keys.at, self._out
        while True:
            while self._absorbed < len(keys) and keys[self._absorbed] <= k:
                m = self._absorbed
                if len(out.taken.at) <= m:
                    yield out.taken, m
                self._offset += out.taken.at[m] - out.valid.at[m]
                self._absorbed = m + 1
            if k + self._offset >= t:
                break
            k = t - self._offset
            if self._absorbed < len(keys):
                k = min(k, keys[self._absorbed])
        self._last = k
        return k + self._offset

    def issue_run(self, count: int) -> Generator[tuple[Times, int], None, list[int]]:
        """Issue ``count`` beats that are all there, in successive enabled cycles; their cycles."""
        k, keys, out = self._last + 1, self._keys.at, self._out
        times: list[int] = []
        while count:
            while self._absorbed < len(keys) and keys[self._absorbed] <= k:
                m = self._absorbed
                if len(out.taken.at) <= m:
                    yield out.taken, m
                self._offset += out.taken.at[m] - out.valid.at[m]
                self._absorbed = m + 1
            n = count
            if self._absorbed < len(keys):
                n = min(n, keys[self._absorbed] - k)
            times += range(k + self._offset, k + n + self._offset)
            k, count = k + n, count - n
        self._last = k - 1
        return times

    def emit(self) -> None:
        """The latest issue completes an output beat."""
        self._keys.put(self._last + self._latency)

    def emissions(self) -> Process:
        """Offers the output beats; one of the stage's processes."""
        m, offset, keys, out = 0, 0, self._keys, self._out
        while True:
            if len(keys.at) <= m:
                yield keys, m
            visible = keys.at[m] + offset
            out.valid.put(visible)
            if len(out.taken.at) <= m:
                yield out.taken, m
            offset += out.taken.at[m] - visible
            m += 1


class Join(Stage):
    """A stalling pipeline that takes a beat from each of ``inputs`` in the same cycle."""

    def __init__(self, latency: int, inputs: Sequence[str]) -> None:
        self._latency, self._inputs = latency, tuple(inputs)

    def processes(self) -> Iterable[Process]:
        clock = Clock(self._latency, self.o)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock: Clock) -> Process:
        wires = [getattr(self, name) for name in self._inputs]
        n = 0
        while True:
            t = 0
            for wire in wires:
                if len(wire.valid.at) <= n:
                    yield wire.valid, n
                t = max(t, wire.valid.at[n])
            t = yield from clock.issue(t)
            for wire in wires:
                wire.taken.put(t)
            clock.emit()
            n += 1


class Pipe(Stage):
    """A stalling pipeline: one output beat per ``group`` input beats, the frame's rest included.

    ``beats``: input beats per frame; ``group`` restarts at each frame. Upsizer, ArgMax, Requant
    and the matrix-vector unit with a single row fold are all this.
    """

    def __init__(self, latency: int, group: int = 1, beats: int = 1) -> None:
        self._latency, self._group, self._beats = latency, group, beats

    def processes(self) -> Iterable[Process]:
        clock = Clock(self._latency, self.o)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock: Clock) -> Process:
        valid, taken = self.i.valid, self.i.taken
        n = place = 0
        while True:
            if len(valid.at) <= n:
                yield valid, n
            issued = yield from clock.issue(valid.at[n])
            taken.put(issued)
            n, place = n + 1, place + 1
            if place == self._beats or place % self._group == 0:
                clock.emit()
            if place == self._beats:
                place = 0


class MatVecTiming(Stage):
    """The folded matrix-vector unit: ``nf`` passes over ``sf`` input beats per vector.

    With more than one pass the beats go through a buffer of two vectors whose ``ready`` depends
    only on how many slots are taken, not on the pipeline's clock enable.
    """

    def __init__(self, nf: int, sf: int, latency: int) -> None:
        self.nf, self.sf, self._latency = nf, sf, latency

    def processes(self) -> Iterable[Process]:
        clock = Clock(self._latency, self.o)
        if self.nf == 1:
            return [self._straight(clock), clock.emissions()]
        freed = Times()  # cycles in which the buffer's slots become free
        return [self._load(freed), self._replay(clock, freed), clock.emissions()]

    def _straight(self, clock: Clock) -> Process:
        n = 0
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            issued = yield from clock.issue(self.i.valid.at[n])
            self.i.taken.put(issued)
            n += 1
            if n % self.sf == 0:
                clock.emit()

    def _load(self, freed: Times) -> Process:
        n, previous, slots = 0, -1, 2 * self.sf
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            taken = max(self.i.valid.at[n], previous + 1)
            if n >= slots:
                if len(freed.at) <= n - slots:
                    yield freed, n - slots
                taken = max(taken, freed.at[n - slots] + 1)
            self.i.taken.put(taken)
            n, previous = n + 1, taken

    def _replay(self, clock: Clock, freed: Times) -> Process:
        n = 0
        while True:
            for _ in range(self.sf):
                if len(self.i.taken.at) <= n:
                    yield self.i.taken, n
                yield from clock.issue(self.i.taken.at[n])
                n += 1
            clock.emit()
            for fold in range(1, self.nf):
                times = yield from clock.issue_run(self.sf)
                if fold == self.nf - 1:
                    for t in times:
                        freed.put(t)
                clock.emit()


class DownsizerTiming(Stage):
    """Holds one beat and hands it on in ``ratio`` chunks; ``chunks`` per frame, padding dropped."""

    def __init__(self, ratio: int, chunks: int) -> None:
        self._ratio, self._chunks = ratio, chunks

    def processes(self) -> Iterable[Process]:
        yield self._run()

    def _run(self) -> Process:
        n = place = sent = free = 0
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            moment = max(self.i.valid.at[n], free)
            self.i.taken.put(moment)
            count = min(self._ratio, self._chunks - place)
            place = (place + count) % self._chunks
            for _ in range(count):
                self.o.valid.put(moment + 1)
                if len(self.o.taken.at) <= sent:
                    yield self.o.taken, sent
                moment = self.o.taken.at[sent]
                sent += 1
            free = moment  # of the last chunk's transfer: the next beat may enter
            n += 1


class Fifo(Stage):
    """``depth`` places (None: without bound), one register from input to output.

    ``ready`` is registered, so a place is reusable the cycle after it empties. A register slice
    is one of two places.
    """

    def __init__(self, depth: int | None) -> None:
        self.depth = depth

    def processes(self) -> Iterable[Process]:
        yield self._run()

    def _run(self) -> Process:
        n, previous, depth = 0, -1, self.depth
        valid, out = self.i.valid, self.o
        while True:
            if len(valid.at) <= n:
                yield valid, n
            taken = max(valid.at[n], previous + 1)
            if depth is not None and n >= depth:
                if len(out.taken.at) <= n - depth:
                    yield out.taken, n - depth
                taken = max(taken, out.taken.at[n - depth] + 1)
            self.i.taken.put(taken)
            out.valid.put(taken + 1)
            n, previous = n + 1, taken

    def occupancy(self) -> int:
        """After a simulation: the fewest places that would not have delayed any beat."""
        arrivals, departures = self.i.taken.at, self.o.taken.at
        most, gone = 0, 0
        for n, t in enumerate(arrivals):
            while gone < len(departures) and departures[gone] < t:
                gone += 1
            most = max(most, n + 1 - gone)
        return most


class Fork(Stage):
    """Hands each beat to every output; each takes it when it can, then the next one enters."""

    def __init__(self, outputs: Sequence[str]) -> None:
        self._outputs = tuple(outputs)

    def processes(self) -> Iterable[Process]:
        yield self._run()

    def _run(self) -> Process:
        wires = [getattr(self, name) for name in self._outputs]
        n, previous = 0, -1
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            t = max(self.i.valid.at[n], previous + 1)
            for wire in wires:
                wire.valid.put(t)
            for wire in wires:
                if len(wire.taken.at) <= n:
                    yield wire.taken, n
                t = max(t, wire.taken.at[n])
            self.i.taken.put(t)
            n, previous = n + 1, t


class Composite(Stage):
    """Stages in a row as one."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = list(stages)

    def processes(self) -> Iterable[Process]:
        self._stages[0].i, self._stages[-1].o = self.i, self.o
        for first, second in zip(self._stages, self._stages[1:], strict=False):
            link(first, second)
        return [p for stage in self._stages for p in stage.processes()]


def width_adapter_timing(elements: int, from_lanes: int, to_lanes: int) -> list[Stage]:
    """The models of what ``width_adapter`` builds for the same arguments (none if equal)."""
    common = gcd(from_lanes, to_lanes)
    stages: list[Stage] = []
    narrow = -(-elements // common)
    if from_lanes != common:
        stages.append(DownsizerTiming(from_lanes // common, narrow))
    if to_lanes != common:
        stages.append(Pipe(1, to_lanes // common, narrow))
    return stages


def drive(
    build: Callable[[], Sequence[Stage]], beats_per_frame: int, frames: int
) -> tuple[list[int], list[int]]:
    """Feed ``frames`` frames from an always-valid source; cycles of input and output transfers."""
    stages = [Source(beats_per_frame * frames), *build(), Sink()]
    for first, second in zip(stages, stages[1:], strict=False):
        link(first, second)
    simulate(stages)
    return stages[0].o.taken.at, stages[-1].i.taken.at


def run_chain(
    build: Callable[[], Sequence[Stage]], beats_per_frame: int, frames: int = 64
) -> tuple[int, int]:
    """(latency, II) in cycles of the chain that ``build()`` makes afresh.

    Latency: one frame alone, first input transfer to last output transfer. II: distance between
    the last output beats of successive frames once it repeats; the mean over the final half of
    ``frames`` rounded up if it never does.
    """
    taken, out = drive(build, beats_per_frame, 1)
    latency = out[-1] - taken[0]
    taken, out = drive(build, beats_per_frame, frames)
    per_frame = len(out) // frames
    ends = out[per_frame - 1 :: per_frame]
    half = frames // 2
    return latency, -(-(ends[-1] - ends[half - 1]) // (frames - half))
