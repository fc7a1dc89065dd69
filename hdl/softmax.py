"""Softmax of integer codes in integers: a table of exponentials, their sum, and a division."""

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.divide import Divide
from codesign.hdl.events import Stage
from codesign.hdl.memories import rom, style_for
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.timing import Composite, Pipe
from codesign.hdl.vector_gather import VectorGather, gathered


class Exponentials(Component):
    """``table[total - data]`` of each lane (the last word from there on); latency 2."""

    def __init__(self, lo: int, hi: int, table: Sequence[int], lanes: int) -> None:
        self._shape, self._span, self._lanes = range_shape(lo, hi), hi - lo, lanes
        self._table = [int(word) for word in table]
        self._word = unsigned(max(self._table).bit_length())
        super().__init__(
            {
                "i": In(stream.Signature(gathered(self._shape, lanes, self._shape))),
                "o": Out(stream_signature(self._word, lanes)),
            }
        )

    def timing(self) -> Pipe:
        """The event model of this component."""
        return Pipe(2)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, before = Signal(), Signal()
        m.d.comb += [ce.eq(~self.o.valid | self.o.ready), self.i.ready.eq(ce)]
        with m.If(ce):
            m.d.sync += [before.eq(self.i.valid), self.o.valid.eq(before)]
        top = len(self._table) - 1
        style = style_for(len(self._table), self._word.width)
        for j in range(self._lanes):
            distance = Signal(range(self._span + 1), name=f"distance{j}")
            m.d.comb += distance.eq(self.i.payload.total - self.i.payload.data[j])
            place = Signal(range(max(top + 1, 2)), name=f"place{j}")
            address, data = rom(m, f"table{j}", self._table, self._word.width, style, ce)
            with m.If(ce):
                m.d.sync += place.eq(Mux(distance > top, top, distance))
            m.d.comb += [address.eq(place), self.o.payload.data[j].eq(data)]
        return m


class Softmax(Component):
    """``o = floor(2**bits * E[i] / sum(E))`` with ``E[i] = table[max(x) - x[i]]`` for each of
    ``vectors`` vectors of ``elements`` codes in ``lo..hi``.

    ``table``: positive first word, none larger. ``lanes`` divide ``elements``. One beat a cycle.
    """

    def __init__(
        self,
        lo: int,
        hi: int,
        table: Sequence[int],
        *,
        elements: int,
        vectors: int,
        lanes: int,
        bits: int,
    ) -> None:
        if not len(table) or table[0] < 1 or max(table) > table[0] or min(table) < 0:
            raise ValueError("a table of exponentials starts with its largest word, above zero")
        largest = VectorGather(lo, hi, elements, lanes, "max")
        exponentials = Exponentials(lo, hi, table, lanes)
        total = VectorGather(0, int(table[0]), elements, lanes, "sum")
        divide = Divide(total.shape, total.total, lanes, bits, vectors * largest.beats)
        self._parts: dict[str, wiring.Component] = {
            "largest": largest,
            "exponentials": exponentials,
            "total": total,
            "divide": divide,
        }
        super().__init__(
            {
                "i": In(stream_signature(range_shape(lo, hi), lanes)),
                "o": Out(stream_signature(range_shape(0, 1 << bits), lanes)),
            }
        )

    def timing(self) -> Stage:
        """The event model of this component."""
        return Composite([part.timing() for part in self._parts.values()])  # type: ignore[attr-defined]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        given = Signal(name="o_transfer")
        end = self._parts["divide"]
        # Own ports first: see hdl/chain.py.
        m.d.comb += [given.eq(self.o.valid & self.o.ready), self.o.payload.eq(end.o.payload)]
        source = wiring.flipped(self.i)
        for name, part in self._parts.items():
            m.submodules[name] = part
            wiring.connect(m, source, part.i)
            source = part.o
        m.d.comb += [self.o.valid.eq(end.o.valid), end.o.ready.eq(self.o.ready)]
        return m
