"""Exact event models of the components' handshakes, in plain Python; :mod:`.events` runs them.

``run_chain`` gives the two numbers of a chain, latency and initiation interval (II), in cycles.
"""

from collections.abc import Callable, Iterable, Sequence
from math import gcd

from codesign.hdl.clock import Clock
from codesign.hdl.events import (
    FOREVER,
    Process,
    Sink,
    Source,
    Stage,
    Times,
    Wire,
    in_turn,
    link,
    simulate,
)

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


def fill(source: Wire, freed: Times, places: int, onward: Wire | None = None) -> Process:
    """Takes beats of ``source`` while any of ``places`` is free: beat ``n`` after cycle
    ``freed.at[n - places]``. ``onward`` offers each in the next cycle."""
    n, previous, valid = 0, -1, source.valid
    seen, level = 0, -FOREVER
    while True:
        if len(valid.at) <= n:
            gone = freed.at
            for t in gone[seen:]:
                if t + 1 - seen - places > level:
                    source.promise(seen + places, level)
                    level = t + 1 - seen - places
                seen += 1
            source.promise(seen + places, level)
            yield valid, n
        end = min(len(valid.at), places + len(freed.at))
        if end <= n:
            yield freed, n - places
            continue
        times = []
        for beat, t in enumerate(valid.at[n:end], n - places):
            previous = t if t > previous else previous + 1
            if beat >= 0 and freed.at[beat] >= previous:
                previous = freed.at[beat] + 1
            times.append(previous)
        source.taken.extend(times)
        if onward is not None:
            onward.valid.extend([t + 1 for t in times])
        n = end


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
                many = clock.sure(self._inputs(place, 1))
                if many:
                    self.i.promise(n + self._inputs(place, many), clock.soonest - n)
                yield valid, n
            many = clock.sure(self._inputs(place, 1), valid.at[n])
            if many:
                count = min(len(valid.at) - n, self._inputs(place, many))
                times = clock.follow(valid.at[n : n + count], self._ends(place, count))
                taken.extend(times)
            else:
                count = 1
                taken.put((yield from clock.issue(valid.at[n])))
                if self._ends(place, 1):
                    clock.emit()
            n, place = n + count, (place + count) % self._beats

    def _inputs(self, place: int, outputs: int) -> int:
        """Input beats, from that numbered ``place`` in its frame on, that so many outputs need."""
        frames, rest = divmod(place // self._group + outputs, -(-self._beats // self._group))
        return frames * self._beats + min(rest * self._group, self._beats) - place

    def _ends(self, place: int, count: int) -> Sequence[int]:
        """Which of ``count`` input beats from ``place`` on complete an output beat."""
        if self._beats % self._group == 0:
            return range(self._group - 1 - place % self._group, count, self._group)
        places = ((place + m) % self._beats + 1 for m in range(count))
        return [m for m, p in enumerate(places) if p % self._group == 0 or p == self._beats]


class MatVecTiming(Stage):
    """The folded matrix-vector unit: ``nf`` passes over ``sf`` input beats per vector.

    With more than one pass the beats go through a buffer of two vectors whose ``ready`` depends
    only on how many slots are taken, not on the pipeline's clock enable.
    """

    def __init__(self, nf: int, sf: int, latency: int) -> None:
        self.nf, self.sf, self._latency = nf, sf, latency

    def processes(self) -> Iterable[Process]:
        if self.nf == 1:
            straight = self._straight()
            straight.i, straight.o = self.i, self.o
            return straight.processes()
        clock = Clock(self._latency, self.o)
        freed = Times()  # cycles in which the buffer's slots become free
        return [
            fill(self.i, freed, 2 * self.sf), self._replay(clock, freed), clock.emissions()
        ]  # fmt: skip

    def _straight(self) -> Pipe:
        return Pipe(self._latency, self.sf, self.sf)

    def _replay(self, clock: Clock, freed: Times) -> Process:
        n, taken, sf = 0, self.i.taken, self.sf
        while True:
            end = n + sf
            while n < end:
                if len(taken.at) <= n:
                    yield taken, n
                if clock.sure(end - n, taken.at[n]):
                    arrivals = taken.at[n:end]
                    n += len(arrivals)
                    clock.follow(arrivals, [len(arrivals) - 1] if n == end else [])
                    continue
                yield from clock.issue(taken.at[n])
                n += 1
                if n == end:
                    clock.emit()
            yield from clock.run((self.nf - 2) * sf, sf)
            yield from clock.run(sf, sf, freed)


class DownsizerTiming(Stage):
    """Holds one beat and hands it on in ``ratio`` chunks; ``chunks`` per frame, padding dropped."""

    def __init__(self, ratio: int, chunks: int) -> None:
        self._ratio, self._chunks = ratio, chunks

    def processes(self) -> Iterable[Process]:
        yield self._run()

    def _run(self) -> Process:
        n = place = sent = free = 0
        valid, out = self.i.valid, self.o
        while True:
            if len(valid.at) <= n:
                self.i.promise(n + 1, free - n)
                yield valid, n
            moment = max(valid.at[n], free)
            self.i.taken.put(moment)
            count = min(self._ratio, self._chunks - place)
            place = (place + count) % self._chunks
            end = sent + count
            while sent < end:
                many = min(end, out.reach(sent, moment + 1)) - sent
                if many:
                    out.valid.extend(range(moment + 1, moment + many + 1))
                    sent, moment = sent + many, moment + many
                    continue
                out.valid.put(moment + 1)
                if len(out.taken.at) <= sent:
                    yield out.taken, sent
                moment = out.taken.at[sent]
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
        yield self._flow() if self.depth is None else self._limited(self.depth)

    def _limited(self, depth: int) -> Process:
        if depth > 1 and self.o.open:  # it never holds two
            return (yield from self._flow())
        return (yield from fill(self.i, self.o.taken, depth, self.o))

    def _flow(self) -> Process:
        n, previous, valid = 0, -1, self.i.valid
        self.i.promise(FOREVER)
        while True:
            if len(valid.at) <= n:
                yield valid, n
            times = in_turn(valid.at[n:], previous)
            self.i.taken.extend(times)
            self.o.valid.extend([t + 1 for t in times])
            n, previous = n + len(times), times[-1]

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
        n, previous, valid = 0, -1, self.i.valid
        while True:
            if len(valid.at) <= n:
                sure = min(w.reach(n, previous + 1) for w in wires)
                self.i.promise(sure, previous + 1 - n)
                yield valid, n
            t = max(valid.at[n], previous + 1)
            sure = min(w.reach(n, t) for w in wires)
            if sure > n:
                times = in_turn(valid.at[n:sure], previous)
                for wire in wires:
                    wire.valid.extend(times)
            else:
                for wire in wires:
                    wire.valid.put(t)
                for wire in wires:
                    if len(wire.taken.at) <= n:
                        yield wire.taken, n
                    t = max(t, wire.taken.at[n])
                times = [t]
            self.i.taken.extend(times)
            n, previous = n + len(times), times[-1]


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
