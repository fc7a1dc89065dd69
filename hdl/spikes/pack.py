"""Address events to dense spikes."""

from collections.abc import Iterable

import numpy as np
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Process, Stage
from codesign.hdl.memories import Counter
from codesign.hdl.spikes.aer import code_shape, counted, event_signature
from codesign.hdl.stream import Component, stream_signature
from codesign.hdl.timing import Clock


class SpikePack(Component):
    """``i``: events of ``steps`` steps over ``elements``; ``o``: beats of ``lanes`` (a divisor)
    spikes in ``0..levels`` (``-levels..levels`` if ``signed``). A cycle for each event
    and one for each beat of a step."""

    def __init__(
        self, elements: int, steps: int, lanes: int, levels: int = 1, signed: bool = False
    ) -> None:
        if lanes < 1 or elements % lanes:
            raise ValueError(f"{lanes} lanes do not divide a vector of {elements} spikes")
        if steps < 1:
            raise ValueError(f"a frame has at least one step, got {steps}")
        self._elements, self._steps, self._lanes = elements, steps, lanes
        self._code, self._counted = code_shape(levels, signed), counted(levels, signed)
        super().__init__(
            {
                "i": In(event_signature(elements, levels, signed)),
                "o": Out(stream_signature(self._code, lanes)),
            }
        )

    def timing(self, spikes: np.ndarray) -> "PackTiming":
        """The event model for these ``spikes``, int [frames, steps, elements]."""
        words = np.asarray(spikes).reshape(-1, self._elements // self._lanes, self._lanes)
        return PackTiming(np.count_nonzero(words, axis=2))

    def reference(self, spikes: np.ndarray) -> np.ndarray:
        """The same spikes."""
        return np.asarray(spikes)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        data = self.i.payload.data
        ce, here, place, give = Signal(), Signal(), Signal(), Signal()
        base = Signal(range(self._elements))  # of the beat being filled
        offset = Signal(range(-self._elements, self._elements))
        m.d.comb += [
            ce.eq(~self.o.valid | self.o.ready),
            offset.eq(data.address - base),
            here.eq(~data.step_end & (offset < self._lanes)),
            place.eq(ce & self.i.valid & here),
            give.eq(ce & self.i.valid & ~here),
        ]
        word = Counter(m, "word", self._elements // self._lanes, give)
        step = Counter(m, "step", self._steps, give & word.last)
        m.d.comb += self.i.ready.eq(ce & (here | (data.step_end & word.last)))
        spikes = Signal(self._code.width * self._lanes)
        with m.If(ce):
            m.d.sync += self.o.valid.eq(give)
        with m.If(give):
            m.d.sync += [
                base.eq(Mux(word.last, 0, base + self._lanes)),
                self.o.payload.data.as_value().eq(spikes),
                self.o.payload.last.eq(word.last & step.last),
                spikes.eq(0),
            ]
        count = data.count if self._counted else 1
        for lane in range(self._lanes):
            with m.If(place & (offset == lane)):
                m.d.sync += spikes[lane * self._code.width :][: self._code.width].eq(count)
        return m


class PackTiming(Stage):
    """Event model of :class:`SpikePack`; ``events``: int [steps of all frames, beats of a step]."""

    def __init__(self, events: np.ndarray) -> None:
        self._steps = np.asarray(events).tolist()

    def processes(self) -> Iterable[Process]:
        clock = Clock(1, self.o)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock: Clock) -> Process:
        n = 0
        for step in self._steps:
            ahead = 0  # beats to give before event n has its place
            for events in step:
                for _ in range(events):
                    if len(self.i.valid.at) <= n:
                        yield self.i.valid, n
                    for _ in range(ahead):
                        yield from clock.issue(self.i.valid.at[n])
                        clock.emit()
                    self.i.taken.put((yield from clock.issue(self.i.valid.at[n])))
                    n, ahead = n + 1, 0
                ahead += 1
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            issued = 0
            for _ in range(ahead):
                issued = yield from clock.issue(self.i.valid.at[n])
                clock.emit()
            self.i.taken.put(issued)
            n += 1
