"""The event model of a neuron array."""

from collections.abc import Iterable, Sequence

from codesign.hdl.events import Process, Stage, Wire
from codesign.hdl.timing import Clock


class NeuronTiming(Stage):
    """A stalling pipeline that takes a beat of each input at once, but none before the states of
    the beat that is ``beats`` older are written, ``loop`` enabled cycles after it was taken."""

    def __init__(self, inputs: Sequence[str], beats: int, loop: int, latency: int) -> None:
        self._inputs, self._beats = tuple(inputs), beats
        self._loop, self._latency = loop, latency

    def processes(self) -> Iterable[Process]:
        clock = Clock(self._latency, self.o)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock: Clock) -> Process:
        wires: list[Wire] = [getattr(self, name) for name in self._inputs]
        issued: list[int] = []  # enabled cycles of the latest ``beats`` beats, oldest first
        n = 0
        while True:
            t = 0
            for wire in wires:
                if len(wire.valid.at) <= n:
                    yield wire.valid, n
                t = max(t, wire.valid.at[n])
            written = issued.pop(0) + self._loop if len(issued) == self._beats else 0
            t = yield from clock.issue(t, written)
            if self._loop > self._beats:
                issued.append(clock.latest)
            for wire in wires:
                wire.taken.put(t)
            clock.emit()
            n += 1
