"""Reducing windows: the largest code or the sum, of taps side by side or one after the other."""

from collections.abc import Iterable
from typing import Literal

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from codesign.hdl.adders.tree import levels
from codesign.hdl.events import Process, Stage
from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.timing import Clock
from codesign.hdl.windows.delay import memories, tapped_delay


class Pool(Component):
    """``max`` or ``sum`` over windows of ``beats * side`` taps, ``lanes`` channels at a time.

    ``i``: codes in ``in_lo..in_hi``; each window is ``beats`` beats of [side, lanes]. With
    ``folds`` above 1 those of so many channel folds are interleaved, one beat of each in turn
    (a whole map in its own order). ``o``: a beat of ``lanes`` codes in ``out_lo..out_hi`` per
    window, the sum plus ``offset``; ``windows`` per frame, all folds counted. Takes a beat every
    cycle; ``latency`` cycles from a window's last beat to its result.
    """

    def __init__(
        self,
        function: Literal["max", "sum"],
        *,
        in_lo: int,
        in_hi: int,
        out_lo: int,
        out_hi: int,
        lanes: int,
        beats: int = 1,
        side: int = 1,
        windows: int = 1,
        folds: int = 1,
        offset: int = 0,
    ) -> None:
        if min(lanes, beats, side, windows, folds) < 1 or windows % folds:
            raise ValueError(
                f"{windows} windows of {beats} x {side} taps in {folds} folds of {lanes} lanes"
            )
        self._function, self._offset = function, offset if function == "sum" else 0
        self._in, self._out = (int(in_lo), int(in_hi)), range_shape(out_lo, out_hi)
        self._lanes, self._beats, self._side = lanes, beats, side
        self._windows, self._folds = windows, folds
        self.latency = 1 + levels(side)
        super().__init__(
            {
                "i": In(stream_signature(range_shape(in_lo, in_hi), lanes * side)),
                "o": Out(stream_signature(self._out, lanes)),
            }
        )

    def timing(self) -> "PoolTiming":
        """The event model of this component."""
        return PoolTiming(self.latency, self._beats, self._folds)

    def memories(self) -> list[tuple[int, int]]:
        """(words, bits) of the memory for partial results."""
        return memories([self._folds - 1], self._lanes * self._out.width)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce = Signal()
        m.d.comb += [ce.eq(~self.o.valid | self.o.ready), self.i.ready.eq(ce)]
        valid: Value = self.i.valid
        terms = [
            [self.i.payload.data[t * self._lanes + lane] for t in range(self._side)]
            for lane in range(self._lanes)
        ]
        for level in range(levels(self._side)):
            terms = [self._level(m, ce, row, f"lane{n}_{level}") for n, row in enumerate(terms)]
            held = Signal(name=f"valid{level}")
            with m.If(ce):
                m.d.sync += held.eq(valid)
            valid = held
        self._accumulate(m, ce, valid, [row[0] for row in terms])
        return m

    def _level(self, m: Module, ce: Value, row: list[Value], name: str) -> list[Value]:
        """Pairs reduced, into registers."""
        values = [self._merge(a, b) for a, b in zip(row[::2], row[1::2], strict=False)]
        values += row[len(values) * 2 :]
        held = [Signal(v.shape(), name=f"{name}_{n}", reset_less=True)
                for n, v in enumerate(values)]  # fmt: skip
        with m.If(ce):
            m.d.sync += [h.eq(v) for h, v in zip(held, values, strict=True)]
        return held

    def _merge(self, a: Value, b: Value) -> Value:
        return a + b if self._function == "sum" else Mux(a > b, a, b)

    def _accumulate(self, m: Module, ce: Value, valid: Value, values: list[Value]) -> None:
        step = Signal()
        m.d.comb += step.eq(valid & ce)
        fold = Counter(m, "fold", self._folds, step)
        beat = Counter(m, "beat", self._beats, step & fold.last)
        window = Counter(m, "window", self._windows, step & beat.last)
        first = Signal()
        m.d.comb += first.eq(beat.value == 0)
        with m.If(ce):
            m.d.sync += [
                self.o.valid.eq(valid & beat.last),
                self.o.payload.last.eq(window.last),
            ]
        width = self._out.width
        totals = Signal(width * self._lanes, name="totals")
        before: Value = totals
        if self._beats > 1:
            before = tapped_delay(m, totals, [self._folds - 1], step)[self._folds - 1]
        for lane, value in enumerate(values):
            slot = slice(lane * width, (lane + 1) * width)
            old = before[slot].as_signed() if self._out.signed else before[slot]
            fresh = value + self._offset
            total = Mux(first, fresh, self._merge(old, value)) if self._beats > 1 else fresh
            m.d.comb += totals[slot].eq(total)
            with m.If(step & beat.last):
                m.d.sync += self.o.payload.data[lane].eq(totals[slot])


class PoolTiming(Stage):
    """Event model of :class:`Pool`."""

    def __init__(self, latency: int, beats: int, folds: int) -> None:
        self._latency, self._beats, self._folds = latency, beats, folds

    def processes(self) -> Iterable[Process]:
        clock = Clock(self._latency, self.o)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock: Clock) -> Process:
        valid, taken = self.i.valid, self.i.taken
        whole = self._beats * self._folds
        n = place = 0
        while True:
            if len(valid.at) <= n:
                yield valid, n
            taken.put((yield from clock.issue(valid.at[n])))
            n, place = n + 1, place + 1
            if place > whole - self._folds:
                clock.emit()
            if place == whole:
                place = 0
