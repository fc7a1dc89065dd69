"""A stream a step late: what closes the loop of a recurrent network."""

from collections.abc import Iterable, Sequence
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import FOREVER, Process, Stage
from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, beats_for, range_shape, stream_signature


class Delay(Component):
    """A frame of ``steps`` (two or more) vectors gives ``initial``, then all but its last vector.

    Codes in ``lo..hi``; ``initial``: the codes of one vector; ``lanes`` divides its length. The
    initial vector of the next frame is offered before anything of that frame has come: it is the
    token that starts a loop. With ``waits``, for a delay outside of loops, it is offered once the
    frame has begun to come, so that nothing leaves a circuit before what it belongs to. A beat
    passes in the cycle in which it comes, or is held: ``i.ready`` does not depend on ``o.ready``,
    which breaks the circle of ready signals that a loop would be.

    ``persistent``: frames are one sequence. ``initial`` is given once after reset; then each vector
    that comes is given, the last one of a frame as the first of the next, for which it does not
    wait. For a delay outside of loops that does, see :class:`codesign.hdl.delay_line.DelayLine`.
    """

    def __init__(
        self,
        initial: Sequence[int],
        *,
        steps: int,
        lo: int,
        hi: int,
        lanes: int,
        waits: bool = False,
        persistent: bool = False,
    ) -> None:
        if len(initial) % lanes:
            raise ValueError(f"{lanes} lanes do not divide the vector of {len(initial)} elements")
        if steps < 2 - persistent:
            raise ValueError(f"a loop has two steps or more, got {steps}")
        if waits and persistent:
            raise ValueError("a persistent delay that waits is a DelayLine")
        self._initial, self._steps, self._lanes = [int(c) for c in initial], steps, lanes
        self._waits, self._persistent = waits, persistent
        self._beats = beats_for(len(initial), lanes)
        self._shape = range_shape(lo, hi)
        signature = stream_signature(self._shape, lanes)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def timing(self) -> "DelayTiming":
        """The event model of this component."""
        # frames that are one sequence: one frame without end
        return DelayTiming(FOREVER if self._persistent else self._steps, self._beats, self._waits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        give, take, dropping, starting = Signal(), Signal(), Signal(), Signal()
        full, coming = Signal(), Signal()
        m.d.comb += [
            coming.eq(self.i.valid & ~dropping),
            give.eq(self.o.valid & self.o.ready),
            take.eq(self.i.valid & self.i.ready),
        ]
        out_beat = Counter(m, "out_beat", self._beats, give)
        out_step = Counter(m, "out_step", self._steps, give & out_beat.last)
        if self._persistent:
            started = Signal()
            with m.If(give & out_beat.last):
                m.d.sync += started.eq(1)
            m.d.comb += starting.eq(~started)
        else:
            in_beat = Counter(m, "in_beat", self._beats, take)
            in_step = Counter(m, "in_step", self._steps, take & in_beat.last)
            m.d.comb += [starting.eq(out_step.value == 0), dropping.eq(in_step.last)]
        m.d.comb += [
            # while starting, a beat that comes or is held is of the same frame: the last vector
            # of the one before is dropped
            self.o.valid.eq((starting & (not self._waits)) | full | coming),
            self.i.ready.eq(dropping | ~full),
            self.o.payload.last.eq(out_step.last & out_beat.last),
        ]
        held = Signal.like(self.i.payload.data)
        passing = Signal()
        m.d.comb += passing.eq(self.o.ready & ~starting)
        m.d.sync += full.eq((full | coming) & ~passing)
        with m.If(~full):
            m.d.sync += held.eq(self.i.payload.data)
        self._data(m, starting, out_beat, full, held)
        return m

    def _data(self, m: Module, starting: Signal, beat: Counter, full: Signal, held: Any) -> None:
        """The initial codes while starting, the held beat or the input's otherwise."""
        rows = [self._initial[b * self._lanes :][: self._lanes] for b in range(self._beats)]
        for lane in range(self._lanes):
            target = self.o.payload.data[lane]
            m.d.comb += target.eq(Mux(full, held[lane], self.i.payload.data[lane]))
            with m.If(starting):
                if len({row[lane] for row in rows}) == 1:
                    m.d.comb += target.eq(Const(rows[0][lane], self._shape))
                    continue
                with m.Switch(beat.value):
                    for index, row in enumerate(rows):
                        with m.Case(index):
                            m.d.comb += target.eq(Const(row[lane], self._shape))


class DelayTiming(Stage):
    """Event model of :class:`Delay`: ``steps`` vectors of ``beats`` beats."""

    def __init__(self, steps: int, beats: int, waits: bool) -> None:
        self._steps, self._beats, self._waits = steps, beats, waits

    def processes(self) -> Iterable[Process]:
        return [self._give(), self._take()]

    def _place(self, n: int) -> tuple[int, int]:
        """(frame, beat in it) of beat ``n``."""
        return divmod(n, self._steps * self._beats)

    def _give(self) -> Process:
        """Output beats: the initial ones whenever their turn comes, or with the first beat of
        their frame; the others when they come."""
        out, m = self.o, 0
        while True:
            frame, place = self._place(m)
            t = 0
            if m:
                if len(out.taken.at) < m:
                    yield out.taken, m - 1
                t = out.taken.at[m - 1] + 1
            if place >= self._beats or self._waits:
                n = frame * self._steps * self._beats + max(place - self._beats, 0)
                if len(self.i.taken.at) <= n:
                    yield self.i.taken, n
                t = max(t, self.i.taken.at[n])
            out.valid.put(t)
            m += 1

    def _take(self) -> Process:
        """Input beats: taken once the one before has left, the last vector of a frame at once."""
        n, last, gone = 0, -1, -1  # gone: the output beat that must have left
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            t = max(self.i.valid.at[n], last + 1)
            _, place = self._place(n)
            if place < (self._steps - 1) * self._beats:
                if gone >= 0:
                    if len(self.o.taken.at) <= gone:
                        yield self.o.taken, gone
                    t = max(t, self.o.taken.at[gone] + 1)
                gone = n + self._beats
            last = t
            self.i.taken.put(t)
            n += 1
