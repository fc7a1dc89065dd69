"""A stream a step late that goes on from frame to frame, outside of loops."""

from collections.abc import Iterable, Sequence

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Process, Stage
from codesign.hdl.memories import Counter, pack
from codesign.hdl.stream import Component, beats_for, range_shape, stream_signature


class DelayLine(Component):
    """Each vector that comes gives the one before, across frames; the first after reset gives
    ``initial``.

    Codes in ``lo..hi``; ``initial``: the codes of one vector; ``lanes`` divides its length;
    ``steps``: vectors of a frame. A beat is exchanged, in the cycle in which it comes and its
    successor is ready, for the beat in its place of the vector before: the last vector of a frame
    is kept until the next frame comes, so that nothing leaves a circuit before what it belongs to.
    """

    def __init__(self, initial: Sequence[int], *, steps: int, lo: int, hi: int, lanes: int) -> None:
        if len(initial) % lanes:
            raise ValueError(f"{lanes} lanes do not divide the vector of {len(initial)} elements")
        if steps < 1:
            raise ValueError(f"a frame has a step or more, got {steps}")
        self._initial, self._steps, self._lanes = [int(c) for c in initial], steps, lanes
        self._beats = beats_for(len(initial), lanes)
        self._shape = range_shape(lo, hi)
        signature = stream_signature(self._shape, lanes)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def timing(self) -> "DelayLineTiming":
        """The event model of this component."""
        return DelayLineTiming()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        take = Signal()
        m.d.comb += [
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready),
            take.eq(self.i.valid & self.o.ready),
        ]
        beat = Counter(m, "beat", self._beats, take)
        step = Counter(m, "step", self._steps, take & beat.last)
        m.d.comb += self.o.payload.last.eq(step.last & beat.last)
        before = self._kept(m, take, beat)
        started, first = Signal(), Signal.like(before, name="first")
        with m.If(take & beat.last):
            m.d.sync += started.eq(1)
        words = [
            pack(
                [
                    (code, self._shape.width)
                    for code in self._initial[b * self._lanes :][: self._lanes]
                ]
            )
            for b in range(self._beats)
        ]
        if len(set(words)) == 1:
            m.d.comb += first.eq(words[0])
        else:
            with m.Switch(beat.value):
                for index, word in enumerate(words):
                    with m.Case(index):
                        m.d.comb += first.eq(word)
        m.d.comb += self.o.payload.data.as_value().eq(Mux(started, before, first))
        return m

    def _kept(self, m: Module, take: Signal, beat: Counter) -> Signal:
        """The beat in the present place of the vector before. The memory is read a cycle ahead,
        so that it can be block RAM; what it holds at reset is never given."""
        data = self.i.payload.data.as_value()
        kept = Signal(len(data), name="kept")
        if self._beats == 1:
            with m.If(take):
                m.d.sync += kept.eq(data)
            return kept
        m.submodules.vector = memory = Memory(shape=Shape(len(data)), depth=self._beats, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.addr.eq(beat.value),
            write.data.eq(data),
            write.en.eq(take),
            read.addr.eq(beat.following),
            read.en.eq(1),
            kept.eq(read.data),
        ]
        return kept


class DelayLineTiming(Stage):
    """Event model of :class:`DelayLine`: no registers lie between input and output."""

    def processes(self) -> Iterable[Process]:
        yield self._run()

    def _run(self) -> Process:
        n, previous = 0, -1
        valid, out = self.i.valid, self.o
        while True:
            if len(valid.at) <= n:
                self.i.promise(out.reach(n, previous + 1), previous + 1 - n)
                yield valid, n
            t = max(valid.at[n], previous + 1)
            out.valid.put(t)
            if len(out.taken.at) <= n:
                yield out.taken, n
            previous = out.taken.at[n]
            self.i.taken.put(previous)
            n += 1
