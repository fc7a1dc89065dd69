"""Dense spikes to address events: only what is not zero goes on."""

from collections.abc import Iterable

import numpy as np
from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Process, Stage
from codesign.hdl.memories import Counter
from codesign.hdl.spikes.aer import code_shape, counted, event_signature
from codesign.hdl.stream import Component, stream_signature
from codesign.hdl.timing import Clock


class SpikeScan(Component):
    """``i``: frames of ``steps`` vectors of ``elements`` spikes in ``0..levels``
    (``-levels..levels`` if ``signed``), ``lanes`` (a divisor) a beat. ``o``: their events.

    One event a cycle; a beat without anything to send costs one cycle too. The end of a step is
    sent by its last beat.
    """

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
                "i": In(stream_signature(self._code, lanes)),
                "o": Out(event_signature(elements, levels, signed)),
            }
        )

    def timing(self, spikes: np.ndarray) -> "ScanTiming":
        """The event model for these ``spikes``, int [frames, steps, elements]."""
        words = np.asarray(spikes).reshape(-1, self._elements // self._lanes, self._lanes)
        return ScanTiming(np.count_nonzero(words, axis=2))

    def reference(self, spikes: np.ndarray) -> np.ndarray:
        """The same spikes."""
        return np.asarray(spikes)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, full, take, done = Signal(), Signal(), Signal(), Signal()
        waiting, marker = Signal(self._lanes), Signal()  # spikes to send; a step's end to send
        some, several, rest = Signal(), Signal(), Signal(self._lanes)
        m.d.comb += [
            ce.eq(~self.o.valid | self.o.ready),
            some.eq(waiting.any()),
            several.eq(_several(list(waiting))[1]),  # sooner than from the carry chain of ``rest``
            rest.eq(waiting & (waiting - 1)),
            done.eq(~full | ~(several | (some & marker))),
            self.i.ready.eq(ce & done),
            take.eq(self.i.valid & self.i.ready),
        ]
        # ``word`` is the beat taken next; the one held is the one before.
        word = Counter(m, "word", self._elements // self._lanes, take)
        step = Counter(m, "step", self._steps, take & word.last)
        first, base = (Signal(range(self._elements), name=n) for n in ("first", "base"))
        final = Signal()
        codes = Signal(len(self.i.payload.data.as_value()))
        with m.If(ce):
            m.d.sync += [self.o.valid.eq(full & (some | marker)), waiting.eq(rest)]
            with m.If(done):
                m.d.sync += full.eq(take)
            with m.If(~some):
                m.d.sync += marker.eq(0)
        with m.If(take):
            m.d.sync += [
                waiting.eq(self._spiking()),
                marker.eq(word.last),
                final.eq(step.last),
                base.eq(first),
                first.eq(Mux(word.last, 0, first + self._lanes)),
                codes.eq(self.i.payload.data.as_value()),
            ]
        self._send(m, ce, waiting, base, some, final, codes)
        return m

    def _spiking(self) -> Value:
        """A bit for each lane."""
        bits = Signal(self._lanes)
        value: Value = self.i.payload.data.as_value()
        if self._code.width == 1:
            return value
        width = self._code.width
        return sum((value[n * width :][:width].any() << n for n in range(self._lanes)), bits[:0])

    def _send(
        self,
        m: Module,
        ce: Value,
        waiting: Signal,
        base: Signal,
        some: Signal,
        final: Signal,
        codes: Signal,
    ) -> None:
        """The lowest spike waiting, or the end of the step, into the output registers."""
        lane, lowest = Signal(range(max(2, self._lanes))), Signal(self._lanes)
        m.d.comb += lowest.eq(waiting & ~(waiting - 1))
        for bit in range(len(lane)):
            chosen = [lowest[n] for n in range(self._lanes) if n >> bit & 1]
            if chosen:
                m.d.comb += lane[bit].eq(_any(chosen))
        data = self.o.payload.data
        with m.If(ce):
            m.d.sync += [
                data.address.eq(base + lane),
                data.step_end.eq(~some),
                self.o.payload.last.eq(~some & final),
            ]
            if self._counted:
                m.d.sync += data.count.eq(codes.word_select(lane, self._code.width))


def _any(bits: list[Value]) -> Value:
    found = bits[0]
    for bit in bits[1:]:
        found = found | bit
    return found


def _several(bits: list[Value]) -> tuple[Value, Value]:
    """Whether one of ``bits`` is set, and whether more than one is: a balanced tree."""
    if len(bits) == 1:
        return bits[0], Const(0, 1)
    half = len(bits) // 2
    (some, many), (others, more) = _several(bits[:half]), _several(bits[half:])
    return some | others, many | more | (some & others)


class ScanTiming(Stage):
    """Event model of :class:`SpikeScan`; ``events``: int [steps of all frames, words of a step]."""

    def __init__(self, events: np.ndarray) -> None:
        own = np.array(events, dtype=np.int64)
        own[:, -1] += 1
        self._beats = own.reshape(-1).tolist()

    def processes(self) -> Iterable[Process]:
        clock = Clock(2, self.o)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock: Clock) -> Process:
        for n, beats in enumerate(self._beats):
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            self.i.taken.put((yield from clock.issue(self.i.valid.at[n])))
            for more in range(beats):
                if more:
                    yield from clock.issue_run(1)
                clock.emit()
