"""Delta coding: spikes where a signal rises or falls."""

from collections.abc import Iterable

import numpy as np
from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Process, Stage
from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.timing import Clock
from codesign.hdl.windows.delay import tapped_delay
from codesign.spikes import encoders


class DeltaEncoder(Component):
    """``i``: frames of ``steps`` vectors of ``features`` codes in ``lo..hi``, ``lanes`` (a divisor)
    a beat. ``o``: 2 * features spikes a step: first where a code rose by ``low`` (at least 1) or
    more since the step before (from 0), then where it fell
    (:func:`codesign.spikes.encoders.delta`).

    A beat a cycle out; half of these take one in."""

    def __init__(
        self, *, lo: int, hi: int, low: int, features: int, steps: int, lanes: int
    ) -> None:
        if lanes < 1 or features % lanes:
            raise ValueError(f"{lanes} lanes do not divide a vector of {features} codes")
        if steps < 1:
            raise ValueError(f"a frame has at least one step, got {steps}")
        if low < 0:
            raise ValueError(f"a change has a size from 0, got {low}")
        self._least, self._steps, self._lanes = max(1, low), steps, lanes
        self._beats, self._shape = features // lanes, range_shape(lo, hi)
        super().__init__(
            {
                "i": In(stream_signature(self._shape, lanes)),
                "o": Out(stream_signature(range_shape(0, 1), lanes)),
            }
        )

    def timing(self) -> "DeltaTiming":
        """The event model of this component."""
        return DeltaTiming(self._beats)

    def reference(self, codes: np.ndarray) -> np.ndarray:
        """int64 [frames, steps, 2 * features] of codes int [frames, steps, features]."""
        return encoders.delta(codes, self._least)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, falling, take, tells = (Signal(name=n) for n in ("ce", "falling", "take", "tells"))
        m.d.comb += [
            ce.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(ce & ~falling),
            take.eq(self.i.valid & self.i.ready),
            tells.eq(ce & falling),
        ]
        beat = Counter(m, "beat", self._beats, take)
        back = Counter(m, "fall_beat", self._beats, tells)
        step = Counter(m, "step", self._steps, tells & back.last)
        with m.If(take & beat.last):
            m.d.sync += falling.eq(1)
        with m.If(tells & back.last):
            m.d.sync += falling.eq(0)
        rises, falls = self._changes(m, step, take)
        kept = self._kept(m, falls, beat, back, take)
        with m.If(ce):
            m.d.sync += [
                self.o.valid.eq(take | falling),
                self.o.payload.last.eq(falling & back.last & step.last),
            ]
        with m.If(tells):
            m.d.sync += self.o.payload.data.as_value().eq(kept)
        with m.Elif(take):
            m.d.sync += self.o.payload.data.as_value().eq(Cat(rises))
        return m

    def _changes(self, m: Module, step: Counter, take: Value) -> tuple[list[Value], list[Value]]:
        """Which lanes rise and fall."""
        word = self.i.payload.data.as_value()
        before = tapped_delay(m, word, [self._beats - 1], take)[self._beats - 1]
        rises, falls = [], []
        for n in range(self._lanes):
            code = self.i.payload.data[n]
            old = Signal(self._shape, name=f"old{n}")
            with m.If(step.value != 0):
                m.d.comb += old.eq(before[n * self._shape.width :][: self._shape.width])
            rises.append(code - old >= self._least)
            falls.append(old - code >= self._least)
        return rises, falls

    def _kept(
        self, m: Module, falls: list[Value], beat: Counter, back: Counter, take: Value
    ) -> Value:
        """The falls of a step, kept until its rises are told."""
        memory = Memory(shape=self._lanes, depth=self._beats, init=[])
        m.submodules.falls = memory
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(beat.value),
            write.data.eq(Cat(falls)),
            write.en.eq(take),
            read.addr.eq(back.value),
        ]
        return read.data


class DeltaTiming(Stage):
    """Event model of :class:`DeltaEncoder`: so many beats in and out, then as many out."""

    def __init__(self, beats: int) -> None:
        self._beats = beats

    def processes(self) -> Iterable[Process]:
        clock = Clock(1, self.o)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock: Clock) -> Process:
        n = 0
        while True:
            for _ in range(self._beats):
                if len(self.i.valid.at) <= n:
                    yield self.i.valid, n
                self.i.taken.put((yield from clock.issue(self.i.valid.at[n])))
                clock.emit()
                n += 1
            for _ in range(self._beats):
                yield from clock.issue_run(1)
                clock.emit()
