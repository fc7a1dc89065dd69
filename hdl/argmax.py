"""Which element of a frame is the largest."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from codesign.hdl.adders.tree import levels
from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, beats_for, range_shape, stream_signature
from codesign.hdl.timing import Pipe

#: Compare-and-select levels between two registers.
LEVELS_PER_STAGE = 2


class ArgMax(Component):
    """Index of the first maximum of each vector.

    ``i``: beats of ``lanes`` codes in ``in_lo..in_hi``, ``elements`` per vector, ``vectors`` in a
    frame (where there are several, ``lanes`` divides ``elements``). ``o``: one beat of one lane
    per vector, 0..elements-1. One input beat a cycle; ``latency`` registers.
    """

    def __init__(self, in_lo: int, in_hi: int, elements: int, lanes: int, vectors: int = 1) -> None:
        if not 1 <= lanes <= elements:
            raise ValueError(f"lanes must lie in 1..{elements} (the elements), got {lanes}")
        if vectors < 1 or (vectors > 1 and elements % lanes):
            raise ValueError(f"{lanes} lanes do not divide the {elements} elements of a vector")
        self._lo, self._elements, self._lanes = int(in_lo), elements, lanes
        self._vectors = vectors
        self._beats = beats_for(elements, lanes)
        self._shape = range_shape(in_lo, in_hi)
        super().__init__(
            {
                "i": In(stream_signature(self._shape, lanes)),
                "o": Out(stream_signature(range_shape(0, elements - 1), 1)),
            }
        )

    @property
    def latency(self) -> int:
        """Registers from the last input beat's transfer to the output's."""
        return argmax_latency(self._elements, self._lanes)

    def timing(self) -> Pipe:
        """The event model of this component."""
        return Pipe(self.latency, self._beats, self._beats)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, take = Signal(), Signal()
        m.d.comb += [
            ce.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(ce),
            take.eq(self.i.valid & ce),
        ]
        beat = Counter(m, "beat", self._beats, take)
        flags = [take, beat.value == 0, beat.last]
        entries = [(v, Const(j, 1)[:0]) for j, v in enumerate(self._inputs(m, beat))]
        number: Value = beat.value
        total = levels(self._lanes)
        for level in range(total):
            entries = [self._larger(m, level, j, entries) for j in range((len(entries) + 1) // 2)]
            if (level + 1) % LEVELS_PER_STAGE == 0 or level == total - 1:
                held = [Signal.like(f, name=f"flag{level}_{n}") for n, f in enumerate(flags)]
                kept = [(Signal.like(v), Signal.like(j)) for v, j in entries]
                before = Signal.like(number, name=f"number{level}")
                with m.If(ce):
                    m.d.sync += [h.eq(f) for h, f in zip(held, flags, strict=True)]
                    m.d.sync += before.eq(number)
                    for (v, j), (w, k) in zip(kept, entries, strict=True):
                        m.d.sync += [v.eq(w), j.eq(k)]
                flags, entries, number = held, kept, before
        self._running(m, ce, flags, entries[0], number)
        return m

    def _inputs(self, m: Module, beat: Counter) -> list[Value]:
        """The beat's codes; padding becomes the least code, which a real one always beats."""
        real = self._elements - (self._beats - 1) * self._lanes
        values = []
        for j in range(self._lanes):
            code = self.i.payload.data[j]
            values.append(code if j < real else Mux(beat.last, Const(self._lo, self._shape), code))
        return values

    def _larger(self, m: Module, level: int, j: int, entries: list) -> tuple[Value, Value]:
        """The larger of two (value, index) pairs, the first on ties; a lone one passes."""
        first = entries[2 * j]
        index = Signal(level + 1, name=f"index{level}_{j}")
        value = Signal(self._shape, name=f"value{level}_{j}")
        if 2 * j + 1 == len(entries):
            m.d.comb += [value.eq(first[0]), index.eq(first[1])]
            return value, index
        second = entries[2 * j + 1]
        wins = Signal(name=f"second{level}_{j}")
        m.d.comb += [
            wins.eq(second[0] > first[0]),
            value.eq(Mux(wins, second[0], first[0])),
            index.eq(Mux(wins, second[1], first[1]) | (wins << level)),
        ]
        return value, index

    def _running(self, m: Module, ce: Value, flags: list, entry: tuple, number: Value) -> None:
        """Compare with the best of the frame's earlier beats."""
        valid, first, last = flags
        best, where = Signal(self._shape), self.o.payload.data[0]
        better = Signal()
        m.d.comb += better.eq(first | (entry[0] > best))
        with m.If(ce):
            m.d.sync += self.o.valid.eq(valid & last)
            with m.If(valid & better):
                m.d.sync += [best.eq(entry[0]), where.eq(number * self._lanes + entry[1])]
        given = Signal()
        m.d.comb += given.eq(self.o.valid & self.o.ready)
        vector = Counter(m, "vector", self._vectors, given)
        m.d.comb += self.o.payload.last.eq(vector.last)


def argmax_latency(elements: int, lanes: int) -> int:
    """Registers of an :class:`ArgMax` of these sizes."""
    return 1 + -(-levels(lanes) // LEVELS_PER_STAGE)


def argmax_timing(elements: int, lanes: int) -> Pipe:
    """The event model of an :class:`ArgMax` of these sizes."""
    beats = beats_for(elements, lanes)
    return Pipe(argmax_latency(elements, lanes), beats, beats)
