"""Holds each vector until its maximum or sum is known, then plays it back beside it."""

from collections.abc import Iterable

from amaranth.hdl import Array, Module, Mux, Shape, Signal, Value
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from codesign.hdl.adders.tree import levels
from codesign.hdl.events import Process, Stage, Times
from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, beats_for, range_shape, stream_signature
from codesign.hdl.timing import Clock


def gathered(shape: Shape, lanes: int, total: Shape) -> StructLayout:
    """A beat of :class:`VectorGather`'s output: ``data`` and the vector's ``total``."""
    return StructLayout({"data": ArrayLayout(shape, lanes), "total": total})


class VectorGather(Component):
    """``i``: vectors of ``elements`` codes in ``lo..hi``, ``lanes`` a beat (which divide them).

    ``o``: the same beats, each with ``total``: the vector's maximum (``function`` ``max``), sum
    (``sum``) or sum of squares (``squares``). A beat a cycle in and out; a vector is played while
    the next ones load.
    """

    def __init__(self, lo: int, hi: int, elements: int, lanes: int, function: str) -> None:
        if lanes < 1 or elements % lanes:
            raise ValueError(f"{lanes} lanes do not divide the {elements} elements of a vector")
        if function not in ("max", "sum", "squares"):
            raise ValueError(f"function is max, sum or squares, got {function!r}")
        self._lo, self._hi, self._lanes, self._function = int(lo), int(hi), lanes, function
        self.beats = beats_for(elements, lanes)
        self.shape = range_shape(lo, hi)
        self.total = self._wide(elements)
        self.slots = max(2 * self.beats, self.beats + self._registers + 2)
        super().__init__(
            {
                "i": In(stream_signature(self.shape, lanes)),
                "o": Out(stream.Signature(gathered(self.shape, lanes, self.total))),
            }
        )

    @property
    def _registers(self) -> int:
        """Registers in the tree over the lanes: one a level, and one behind squares."""
        return levels(self._lanes) + int(self._function == "squares")

    def _wide(self, count: int) -> Shape:
        """Shape of the total of ``count`` elements."""
        if self._function == "squares":
            return range_shape(0, count * max(self._lo**2, self._hi**2))
        times = count if self._function == "sum" else 1
        return range_shape(min(self._lo, times * self._lo), max(self._hi, times * self._hi))

    def timing(self) -> "GatherTiming":
        """The event model of this component."""
        return GatherTiming(self.beats, self._registers, self.slots)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, take, issue, complete = Signal(), Signal(), Signal(), Signal()
        most = self.slots // self.beats + 1
        used, vectors = Signal(range(self.slots + 1)), Signal(range(most + 1))
        m.d.comb += [
            ce.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(used != self.slots),
            take.eq(self.i.valid & self.i.ready),
            issue.eq(ce & (vectors != 0)),
        ]
        m.d.sync += used.eq(used + take - issue)
        place = Counter(m, "place", self.beats, issue)
        m.d.sync += vectors.eq(vectors + complete - (issue & place.last))
        with m.If(ce):
            m.d.sync += self.o.valid.eq(issue)
        self._memory(m, take, issue, ce)
        totals = Array(Signal(self.total, name=f"total{n}") for n in range(most))
        write = Counter(m, "total_write", most, complete)
        read = Counter(m, "total_read", most, issue & place.last)
        with m.If(issue):
            m.d.sync += self.o.payload.total.eq(totals[read.value])
        result, done = self._running(m, take)
        m.d.comb += complete.eq(done)
        with m.If(complete):
            m.d.sync += totals[write.value].eq(result)
        return m

    def _memory(self, m: Module, take: Value, issue: Value, ce: Value) -> None:
        memory = Memory(shape=ArrayLayout(self.shape, self._lanes), depth=self.slots, init=[])
        m.submodules.slots = memory
        port, out = memory.write_port(), memory.read_port()
        m.d.comb += [
            port.addr.eq(Counter(m, "write_slot", self.slots, take).value),
            port.data.eq(self.i.payload.data),
            port.en.eq(take),
            out.addr.eq(Counter(m, "read_slot", self.slots, issue).value),
            out.en.eq(ce),
            self.o.payload.data.eq(out.data),
        ]

    def _running(self, m: Module, take: Value) -> tuple[Value, Value]:
        """The total and, in the cycle in which it is complete, a flag."""
        beat = Counter(m, "beat", self.beats, take)
        first = Signal()
        m.d.comb += first.eq(beat.value == 0)
        parts: list[Value] = [self.i.payload.data[j] for j in range(self._lanes)]
        flags: list[Value] = [take, first, beat.last]
        if self._function == "squares":
            squares = [Signal(self._wide(1), name=f"square{j}") for j in range(self._lanes)]
            m.d.sync += [s.eq(x * x) for s, x in zip(squares, parts, strict=True)]
            parts, flags = list(squares), _delayed(m, "square", flags)
        for level in range(levels(self._lanes)):
            pairs = zip(parts[::2], parts[1::2], strict=False)
            wide = self._wide(2 << level)
            joined = [Signal(wide, name=f"part{level}_{n}") for n in range((len(parts) + 1) // 2)]
            both = [self._join(a, b) for a, b in pairs] + parts[len(parts) // 2 * 2 :]
            m.d.sync += [j.eq(b) for j, b in zip(joined, both, strict=True)]
            parts, flags = list(joined), _delayed(m, f"level{level}", flags)
        valid, first_now, last = flags
        running, result = Signal(self.total, name="running"), Signal(self.total, name="result")
        with m.If(first_now):
            m.d.comb += result.eq(parts[0])
        with m.Else():
            m.d.comb += result.eq(self._join(running, parts[0]))
        with m.If(valid):
            m.d.sync += running.eq(result)
        done = Signal(name="vector_done")
        m.d.comb += done.eq(valid & last)
        return result, done

    def _join(self, a: Value, b: Value) -> Value:
        return Mux(a > b, a, b) if self._function == "max" else a + b


def _delayed(m: Module, name: str, flags: list[Value]) -> list[Value]:
    held = [Signal(name=f"{name}_flag{n}") for n in range(len(flags))]
    m.d.sync += [h.eq(f) for h, f in zip(held, flags, strict=True)]
    return list(held)


class GatherTiming(Stage):
    """Vectors of ``beats`` beats are played once complete, ``delay`` registers later; ``slots``
    beats are held."""

    def __init__(self, beats: int, delay: int, slots: int) -> None:
        self._beats, self._delay, self._slots = beats, delay, slots

    def processes(self) -> Iterable[Process]:
        clock, freed = Clock(1, self.o), Times()
        return [self._load(freed), self._play(clock, freed), clock.emissions()]

    def _load(self, freed: Times) -> Process:
        n, previous = 0, -1
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            taken = max(self.i.valid.at[n], previous + 1)
            if n >= self._slots:
                if len(freed.at) <= n - self._slots:
                    yield freed, n - self._slots
                taken = max(taken, freed.at[n - self._slots] + 1)
            self.i.taken.put(taken)
            n, previous = n + 1, taken

    def _play(self, clock: Clock, freed: Times) -> Process:
        end = self._beats - 1
        while True:
            if len(self.i.taken.at) <= end:
                yield self.i.taken, end
            start = self.i.taken.at[end] + 1 + self._delay
            for _ in range(self._beats):
                issued = yield from clock.issue(start)
                freed.put(issued)
                clock.emit()
            end += self._beats
