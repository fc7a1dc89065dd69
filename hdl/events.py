"""The kernel of the timing models: processes that learn, beat by beat, when transfers happen.

A stream is two growing lists of cycles: ``valid[n]``, from when on beat ``n`` is offered (its
predecessors gone), and ``taken[n]``, when it is transferred. A component's model is one or more
generators that read such lists and append to others; ``yield (times, n)`` waits until
``times.at[n]`` is known. No entry ever changes, so the order in which processes run does not
matter (a Kahn network), and forks, joins, FIFOs and back-pressure are exact.

A component that does one thing if a beat is offered by cycle ``t`` and another if not yields
``(times, n, t)``: it goes on when the entry is known, or when nothing else can happen before
``t`` any more. It must not have any effect before cycle ``t`` afterwards.

A frame may have millions of beats, and a process that waits for each of them costs far more than
one that handles many at once. So a consumer may promise to take beats as they come
(:meth:`Wire.promise`): the producer then need not wait to see it happen, and beats travel in long
lists. Promises change nothing but speed.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Sequence

#: More beats than any design is run for.
FOREVER = 1 << 62


class Times:
    """Cycles that become known one after the other."""

    __slots__ = ("_waiting", "at")

    def __init__(self) -> None:
        self.at: list[int] = []
        self._waiting: list[tuple[int, Process, deque[Process]]] = []

    def put(self, t: int) -> None:
        """The next entry is ``t``; whoever waits for it may go on."""
        self.at.append(t)
        if self._waiting:
            self._wake()

    def extend(self, times: Sequence[int]) -> None:
        """The next entries, in order."""
        self.at += times
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        still, known = [], len(self.at)
        for entry in self._waiting:
            if known > entry[0]:
                entry[2].append(entry[1])
            else:
                still.append(entry)
        self._waiting = still

    def wait(self, index: int, process: "Process", ready: "deque[Process]") -> None:
        """``process`` goes on once entry ``index`` is known."""
        self._waiting.append((index, process, ready))


Process = Generator[tuple[Times, int] | tuple[Times, int, int], None, None]


class Wire:
    """One stream. Only its producer appends to ``valid``, only its consumer to ``taken``, and
    ``taken[n] >= max(valid[n], taken[n - 1] + 1)``."""

    __slots__ = ("_promises", "taken", "valid")

    def __init__(self) -> None:
        self.valid, self.taken = Times(), Times()
        self._promises: list[tuple[int, int]] = []  # ascending in both

    def promise(self, free: int, level: int = -FOREVER) -> None:
        """The consumer's word on beats ``n`` below number ``free`` that were not promised before:
        those that become valid in cycle ``level + n`` or later are taken at once. It may depend
        only on what is settled, and ``level`` may not fall."""
        given = self._promises
        if given and free <= given[-1][0]:
            return
        if given and level <= given[-1][1]:
            given.pop()
        elif len(given) > 8:
            known = len(self.taken.at)
            self._promises = given = [p for p in given if p[0] > known]
        given.append((free, level))

    def reach(self, n: int, t: int) -> int:
        """Up to which number beats from ``n`` on are sure to be taken at once, if that becomes
        valid in cycle ``t`` and each further one after its predecessor is taken: ``valid[n] - n``
        never falls then."""
        far = n
        for free, level in self._promises:
            if free > far:
                if t - n < level:
                    break
                far = free
        return far

    @property
    def open(self) -> bool:
        """Whether each beat is taken at once."""
        return self._promises == [(FOREVER, -FOREVER)]

    @property
    def waits(self) -> bool:
        """Whether a beat is offered that nobody has taken."""
        return len(self.valid.at) > len(self.taken.at)


class Stage(ABC):
    """Model of one component. Its streams are attributes holding a :class:`Wire` each, named as
    the component's ports (``i`` and ``o`` unless there are several)."""

    i: Wire
    o: Wire

    @abstractmethod
    def processes(self) -> Iterable[Process]:
        """The generators; called once, when every wire is connected."""


def link(source: Stage, target: Stage, out: str = "o", into: str = "i") -> Wire:
    """Connect port ``out`` of ``source`` to port ``into`` of ``target``."""
    wire = Wire()
    setattr(source, out, wire)
    setattr(target, into, wire)
    return wire


def simulate(stages: Iterable[Stage]) -> None:
    """Run the processes of ``stages`` until none can go on."""
    ready: deque[Process] = deque(p for stage in stages for p in stage.processes())
    patient: list[tuple[int, Times, int, Process]] = []
    while ready or patient:
        if not ready:
            ready.extend(_due(patient))
        process = ready.popleft()
        try:
            wish = next(process)
            while len(wish[0].at) > wish[1]:
                wish = next(process)
        except StopIteration:
            continue
        if len(wish) == 3:
            patient.append((wish[2], wish[0], wish[1], process))
        else:
            wish[0].wait(wish[1], process, ready)


def _due(patient: list[tuple[int, Times, int, Process]]) -> list[Process]:
    """Those whose entry is known by now; if none, the earliest: its entry comes too late."""
    found = [entry for entry in patient if len(entry[1].at) > entry[2]]
    found = found or [min(patient, key=lambda entry: entry[0])]
    for entry in found:
        patient.remove(entry)
    return [entry[3] for entry in found]


class Source(Stage):
    """``beats`` beats, valid from the first cycle on, or at a pace: evenly over ``interval``
    cycles for each ``frame`` beats."""

    def __init__(self, beats: int, frame: int = 1, interval: int = 0) -> None:
        self._beats, self._frame, self._interval = beats, frame, interval

    def processes(self) -> Iterable[Process]:
        yield self._run()

    def _run(self) -> Process:
        self.o.valid.extend([n * self._interval // self._frame for n in range(self._beats)])
        return
        yield  # a generator that never waits


class Sink(Stage):
    """Always ready."""

    def processes(self) -> Iterable[Process]:
        self.i.promise(FOREVER)
        yield self._run()

    def _run(self) -> Process:
        valid, taken = self.i.valid, self.i.taken
        n, last = 0, -1
        while True:
            if len(valid.at) <= n:
                yield valid, n
            times = in_turn(valid.at[n:], last)
            taken.extend(times)
            n, last = n + len(times), times[-1]


def in_turn(wishes: Sequence[int], last: int) -> list[int]:
    """Cycles in which what may happen from ``wishes`` on happens, one a cycle, after ``last``."""
    times = []
    for t in wishes:
        last = t if t > last else last + 1
        times.append(last)
    return times
