"""When the parts of a learning layer take and give their beats: event models, exact."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from codesign.hdl.events import Process, Stage, Times, Wire
from codesign.hdl.timing import Clock


@dataclass(frozen=True)
class StepWork:
    """What a step gives to do. ``scanned``: spikes in each beat of inputs; ``active``: inputs that
    spike or have a trace from the step before; ``changes``: whether any factor is not 0 (both
    where it learns)."""

    scanned: tuple[int, ...]
    active: int
    changes: bool

    @property
    def events(self) -> int:
        """Spikes."""
        return sum(self.scanned)


@dataclass(frozen=True)
class FrameWork:
    """A frame: whether it learns, its steps, and spikes of its header."""

    learns: bool
    steps: tuple[StepWork, ...]
    header: int


class DenseTiming(Stage):
    """Event model of :class:`LearningDense` behind a :class:`FrameGate`: ``i`` events, ``frame``
    what is said of each frame, ``signal`` the learning signal, ``o`` spikes."""

    frame: Wire
    signal: Wire

    def __init__(self, part: Any, work: Sequence[FrameWork]) -> None:
        self._part, self._work = part, list(work)
        self._groups = part.groups
        #: When the next step may begin, of each step that learns.
        self._opens = Times()

    def processes(self) -> Iterable[Process]:
        part, ends, currents = self._part, Wire(), Wire()
        fetch, out = Clock(1, ends), Clock(part.synapses.store.latency, currents)
        cells = Clock(part.neurons.latency, self.o)
        return [
            self._events(fetch),
            fetch.emissions(),
            self._unload(ends, currents, out),
            out.emissions(),
            self._neurons(currents, cells),
            cells.emissions(),
            self._phases(),
        ]

    def _events(self, clock: Clock) -> Process:
        """Slots of events, none before the weights of a step that learns are written."""
        start, n, step, opened, go = self._part.clearing, 0, 0, 0, 0
        for number, frame in enumerate(self._work):
            if len(self.frame.valid.at) <= number:
                yield self.frame.valid, number
            go = max(go, start, self.frame.valid.at[number])
            if frame.learns and step:  # all steps before have left the neurons
                last = step * self._groups - 1
                if len(self.o.valid.at) <= last:
                    yield self.o.valid, last
                go = max(go, self.o.valid.at[last])
            for at, work in enumerate(frame.steps):
                for beat in range(work.events + 1):
                    if len(self.i.valid.at) <= n:
                        yield self.i.valid, n
                    t = yield from clock.issue(max(self.i.valid.at[n], go))
                    if beat < work.events and self._groups > 1:
                        t = (yield from clock.issue_run(self._groups - 1))[-1]
                    self.i.taken.put(t)
                    if not at and not beat:
                        self.frame.taken.put(t)
                    n += 1
                clock.emit()
                step += 1
                if frame.learns:
                    if len(self._opens.at) <= opened:
                        yield self._opens, opened
                    go = self._opens.at[opened]
                    opened += 1

    def _unload(self, ends: Wire, currents: Wire, out: Clock) -> Process:
        """The currents of a step, once the step before has been handed on."""
        depth, given, n = self._part.synapses.depth, self._groups, 0
        while True:
            if len(ends.valid.at) <= n:
                yield ends.valid, n
            leaves = ends.valid.at[n]
            if n:
                before = n * given - 1
                if len(currents.valid.at) <= before:
                    yield currents.valid, before
                leaves = max(leaves, currents.valid.at[before])
            ends.taken.put(leaves)
            for _ in range(given):
                yield from out.issue(leaves + depth)
                out.emit()
            n += 1

    def _neurons(self, currents: Wire, clock: Clock) -> Process:
        """As :class:`NeuronTiming`."""
        loop, beats, n = self._part.neurons.loop, self._groups, 0
        issued: list[int] = []
        while True:
            if len(currents.valid.at) <= n:
                yield currents.valid, n
            written = issued.pop(0) + loop if len(issued) == beats else 0
            t = yield from clock.issue(currents.valid.at[n], written)
            if loop > beats:
                issued.append(clock.latest)
            currents.taken.put(t)
            clock.emit()
            n += 1

    def _phases(self) -> Process:
        """Membranes, learning signal, weights of each step that learns."""
        part, signal, step, n = self._part, self.signal, 0, 0
        for frame in self._work:
            for work in frame.steps:
                step += 1
                if not frame.learns:
                    continue
                last = step * self._groups - 1
                if len(self.o.valid.at) <= last:
                    yield self.o.valid, last
                told = self.o.valid.at[last] - 1  # seen before the register of the output
                free = told + part.outputs.gather_depth + 3
                for _ in range(self._groups):
                    if len(signal.valid.at) <= n:
                        yield signal.valid, n
                    taken = max(signal.valid.at[n], free)
                    signal.taken.put(taken)
                    free, n = taken + 1, n + 1
                made = taken + 2 + part.outputs.factor_depth
                self._opens.put(made + 2 + part.walk_cycles(work.active, work.changes))


class RivalTiming(Stage):
    """Event model of :class:`RivalSignal`: ``i`` spikes, ``frame``, ``signal``; its result is taken
    at once. ``learns``: of each frame."""

    frame: Wire
    signal: Wire

    def __init__(self, learns: Sequence[bool], steps: int, groups: int, classes: int) -> None:
        self._learns, self._steps = list(learns), steps
        self._groups, self._classes = groups, classes

    def processes(self) -> Iterable[Process]:
        clock = Clock(2, self.signal)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock: Clock) -> Process:
        n, free = 0, 0
        for number, learns in enumerate(self._learns):
            for step in range(self._steps):
                for _ in range(self._groups):
                    if len(self.i.valid.at) <= n:
                        yield self.i.valid, n
                    t = max(self.i.valid.at[n], free)
                    self.i.taken.put(t)
                    free, n = t + 1, n + 1
                if len(self.frame.valid.at) <= number:
                    yield self.frame.valid, number
                over = max(t + 3, self.frame.valid.at[number])
                if learns or step == self._steps - 1:
                    over += self._classes + 2
                if learns:
                    for _ in range(self._groups):
                        over = yield from clock.issue(over + 1)
                        clock.emit()
                    over = yield from clock.issue(over + 1)
                free = over + 1
            self.frame.taken.put(over)
