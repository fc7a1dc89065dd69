"""What is said of a frame, as spikes before its own: whether to learn it, and its target."""

from collections.abc import Iterable
from itertools import repeat
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import Flow, In, Out

from codesign.hdl.events import Process, Stage, Wire
from codesign.hdl.learning.rival import frame_layout
from codesign.hdl.memories import Counter
from codesign.hdl.spikes.aer import event_signature
from codesign.hdl.stream import Component, stream_signature
from codesign.learning.header import header_bits, header_rows

SPIKE = unsigned(1)


class _Headed(Component):
    """``steps`` rows of ``elements`` codes, ``lanes`` (a divisor) a beat, with a header before
    them on one side only; ``frame``, in or out, is what the header of each frame says."""

    def __init__(
        self, elements: int, steps: int, lanes: int, classes: int, frame: Flow, code: Shape
    ) -> None:
        if lanes < 1 or elements % lanes:
            raise ValueError(f"{lanes} lanes do not divide a vector of {elements} spikes")
        rows = header_rows(classes, elements)
        self._lanes, self._classes = lanes, classes
        self._head, self._body = rows * elements // lanes, steps * elements // lanes
        codes, said = stream_signature(code, lanes), stream.Signature(frame_layout(classes))
        super().__init__({"i": In(codes), "o": Out(codes), "frame": frame(said)})


def _without(part: Component, heading: Value) -> list[Any]:
    """``part.o`` is ``part.i`` but for its header, which waits until that before it is taken."""
    return [
        part.i.ready.eq(Mux(heading, ~part.frame.valid, part.o.ready)),
        part.o.valid.eq(part.i.valid & ~heading),
        part.o.payload.eq(part.i.payload),
    ]


def _said(part: Component, bits: list[Signal]) -> list[Any]:
    """``part.frame`` says what the header's bits mean."""
    said = part.frame.payload
    return [said.learn.eq(bits[0]), said.target.eq(Cat(*bits[1:]))]


class HeaderStrip(_Headed):
    """``i``: frames of ``rows`` header rows and ``steps`` rows of ``elements`` codes (spikes, where
    nothing else is said), ``lanes`` (a divisor) a beat. ``o``: the same without the headers, of
    which ``frame`` tells each: a bit is the lowest of a code. What a header holds beyond its bits
    is not looked at."""

    def __init__(
        self, elements: int, steps: int, lanes: int, classes: int, code: Shape = SPIKE
    ) -> None:
        super().__init__(elements, steps, lanes, classes, Out, code)

    def timing(self) -> "StripTiming":
        """The event model of this component."""
        return StripTiming(repeat((self._head, self._body)))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        taken, heading = Signal(), Signal()
        m.d.comb += taken.eq(self.i.valid & self.i.ready)
        beat = Counter(m, "beat", self._head + self._body, taken)
        m.d.comb += [
            heading.eq(beat.value < self._head),
            *_without(self, heading),
        ]
        bits = [Signal(name=f"header{n}") for n in range(header_bits(self._classes))]
        for n, bit in enumerate(bits):
            with m.If(taken & (beat.value == n // self._lanes)):
                m.d.sync += bit.eq(Value.cast(self.i.payload.data[n % self._lanes])[0])
        with m.If(self.frame.ready):
            m.d.sync += self.frame.valid.eq(0)
        with m.If(taken & (beat.value == self._head - 1)):
            m.d.sync += self.frame.valid.eq(1)
        m.d.comb += _said(self, bits)
        return m


class EventStrip(Component):
    """:class:`HeaderStrip` for address events over ``elements``: ``i``: ``rows`` steps of a header,
    each bit of which is an event where it is 1 (bit n at address ``n % elements`` of step
    ``n // elements``), then ``steps`` steps of spikes. ``o``: those steps; ``frame``: what the
    header of each frame says. Events of the header at other addresses mean nothing."""

    def __init__(self, elements: int, steps: int, classes: int) -> None:
        self._elements, self._steps, self._classes = elements, steps, classes
        self.rows = header_rows(classes, elements)
        events = event_signature(elements)
        super().__init__(
            {
                "i": In(events),
                "o": Out(events),
                "frame": Out(stream.Signature(frame_layout(classes))),
            }
        )

    def timing(self, beats: Iterable[tuple[int, int]]) -> "StripTiming":
        """The event model for frames of so many beats of header and of spikes, ends of steps
        included."""
        return StripTiming(beats)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        data = self.i.payload.data
        taken, heading, over = Signal(), Signal(), Signal()
        m.d.comb += [taken.eq(self.i.valid & self.i.ready), over.eq(taken & data.step_end)]
        step = Counter(m, "step", self.rows + self._steps, over)
        m.d.comb += [
            heading.eq(step.value < self.rows),
            *_without(self, heading),
        ]
        bits = [Signal(name=f"header{n}") for n in range(header_bits(self._classes))]
        for n, bit in enumerate(bits):
            row, address = divmod(n, self._elements)
            with m.If(taken & ~data.step_end & (step.value == row) & (data.address == address)):
                m.d.sync += bit.eq(1)
        with m.If(self.frame.valid & self.frame.ready):  # nothing else sets them in this cycle
            m.d.sync += [self.frame.valid.eq(0), Cat(*bits).eq(0)]
        with m.If(over & (step.value == self.rows - 1)):
            m.d.sync += self.frame.valid.eq(1)
        m.d.comb += _said(self, bits)
        return m


class HeaderInsert(_Headed):
    """The reverse: ``o`` is the header that ``frame`` says, then ``steps`` rows of ``i``."""

    def __init__(self, elements: int, steps: int, lanes: int, classes: int) -> None:
        super().__init__(elements, steps, lanes, classes, In, SPIKE)

    def timing(self) -> "InsertTiming":
        """The event model of this component."""
        return InsertTiming(self._head, self._body)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        given, heading = Signal(), Signal()
        m.d.comb += given.eq(self.o.valid & self.o.ready)
        beat = Counter(m, "beat", self._head + self._body, given)
        said = self.frame.payload
        bits = Cat(said.learn, said.target)
        wide = self._head * self._lanes
        padded = Cat(bits, Const(0, max(1, wide - len(bits))))[:wide]
        data = Signal(self._lanes)
        with m.Switch(beat.value):
            for n in range(self._head):
                with m.Case(n):
                    m.d.comb += data.eq(padded[n * self._lanes :][: self._lanes])
        m.d.comb += [
            heading.eq(beat.value < self._head),
            self.o.valid.eq(Mux(heading, self.frame.valid, self.i.valid)),
            self.o.payload.data.as_value().eq(Mux(heading, data, self.i.payload.data.as_value())),
            self.o.payload.last.eq(beat.last),
            self.i.ready.eq(~heading & self.o.ready),
            self.frame.ready.eq(given & (beat.value == self._head - 1)),
        ]
        return m


class StripTiming(Stage):
    """Event model of :class:`HeaderStrip` and :class:`EventStrip`; ``beats``: of the header and of
    the spikes of each frame."""

    frame: Wire

    def __init__(self, beats: Iterable[tuple[int, int]]) -> None:
        self._beats = beats

    def processes(self) -> Iterable[Process]:
        yield self._run()

    def _run(self) -> Process:
        i, o, frame = self.i, self.o, self.frame
        n, previous, told, given = 0, -1, 0, 0
        for head, body in self._beats:
            for beat in range(head + body):
                if len(i.valid.at) <= n:
                    yield i.valid, n
                t = max(i.valid.at[n], previous + 1)
                if beat < head:
                    if told:  # the header before must have been taken
                        if len(frame.taken.at) < told:
                            yield frame.taken, told - 1
                        t = max(t, frame.taken.at[told - 1] + 1)
                else:
                    o.valid.put(t)
                    if len(o.taken.at) <= given:
                        yield o.taken, given
                    t = o.taken.at[given]
                    given += 1
                i.taken.put(t)
                n, previous = n + 1, t
                if beat == head - 1:
                    frame.valid.put(t + 1)
                    told += 1


class InsertTiming(Stage):
    """Event model of :class:`HeaderInsert`."""

    frame: Wire

    def __init__(self, head: int, body: int) -> None:
        self._head, self._body = head, body

    def processes(self) -> Iterable[Process]:
        yield self._run()

    def _run(self) -> Process:
        i, o, frame = self.i, self.o, self.frame
        n, previous, number, given = 0, -1, 0, 0
        while True:
            for beat in range(self._head + self._body):
                if beat < self._head:
                    if len(frame.valid.at) <= number:
                        yield frame.valid, number
                    t = max(frame.valid.at[number], previous + 1)
                else:
                    if len(i.valid.at) <= n:
                        yield i.valid, n
                    t = max(i.valid.at[n], previous + 1)
                o.valid.put(t)
                if len(o.taken.at) <= given:
                    yield o.taken, given
                previous = o.taken.at[given]
                given += 1
                if beat == self._head - 1:
                    frame.taken.put(previous)
                    number += 1
                if beat >= self._head:
                    i.taken.put(previous)
                    n += 1
