"""Softmax of integer codes in integers: a table of exponentials, their sum, and a division.

Many distances need two small tables instead of a large one: ``exp(-(a + b)) = exp(-a) exp(-b)``.
"""

import math
from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.divide import Divide
from codesign.hdl.events import Stage
from codesign.hdl.memories import rom, style_for
from codesign.hdl.product import Product
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.timing import Composite, Pipe
from codesign.hdl.vector_gather import VectorGather, gathered


class Exponentials(Component):
    """``E[total - data]`` of each lane (the last word from there on); latency 2.

    ``E`` is ``table``, or with ``fine`` (2^k words) ``E[d] = table[d >> k] * fine[d % 2^k] >>
    shift``; the product adds its own latency.
    """

    def __init__(
        self, lo: int, hi: int, table: Sequence[int], lanes: int, *,
        fine: Sequence[int] = (), shift: int = 0,
    ) -> None:  # fmt: skip
        if len(fine) & (len(fine) - 1):
            raise ValueError(f"the number of fine words is a power of two, got {len(fine)}")
        self._shape, self._span, self._lanes = range_shape(lo, hi), hi - lo, lanes
        self._tables = [[int(word) for word in words] for words in (table, fine) if len(words)]
        widths = [max(words).bit_length() for words in self._tables]
        self._product = Product(widths[0], widths[1], shift) if len(fine) else None
        #: The largest exponential, that of distance zero.
        self.largest = math.prod(words[0] for words in self._tables) >> shift
        super().__init__(
            {
                "i": In(stream.Signature(gathered(self._shape, lanes, self._shape))),
                "o": Out(stream_signature(unsigned(self.largest.bit_length()), lanes)),
            }
        )

    @property
    def latency(self) -> int:
        """Registers from input to output."""
        return 2 + (self._product.latency if self._product else 0)

    def timing(self) -> Pipe:
        """The event model of this component."""
        return Pipe(self.latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce = Signal()
        m.d.comb += [ce.eq(~self.o.valid | self.o.ready), self.i.ready.eq(ce)]
        valid = self.i.valid
        for stage in range(self.latency):
            held = self.o.valid if stage == self.latency - 1 else Signal(name=f"valid{stage}")
            with m.If(ce):
                m.d.sync += held.eq(valid)
            valid = held
        top = math.prod(map(len, self._tables)) - 1
        for j in range(self._lanes):
            distance = Signal(range(self._span + 1), name=f"distance{j}")
            m.d.comb += distance.eq(self.i.payload.total - self.i.payload.data[j])
            place = Signal(range(max(top + 1, 2)), name=f"place{j}")
            with m.If(ce):
                m.d.sync += place.eq(Mux(distance > top, top, distance))
            m.d.comb += self.o.payload.data[j].eq(self._word(m, ce, j, place))
        return m

    def _word(self, m: Module, ce: Value, j: int, place: Value) -> Value:
        """The word of lane ``j`` at ``place``, a cycle and the product's later."""
        below = len(self._tables[-1]).bit_length() - 1 if self._product else 0
        parts = [place[below:], place[:below]] if self._product else [place]
        words = []
        for name, words_of, part in zip(("table", "fine"), self._tables, parts, strict=False):
            width = max(words_of).bit_length()
            style = style_for(len(words_of), width)
            address, data = rom(m, f"{name}{j}", words_of, width, style, ce)
            m.d.comb += address.eq(part)
            words.append(data)
        return self._product.build(m, ce, f"product{j}", *words) if self._product else words[0]


class Softmax(Component):
    """``o = floor(2**bits * E[i] / sum(E))`` with ``E[i] = table[max(x) - x[i]]`` for each of
    ``vectors`` vectors of ``elements`` codes in ``lo..hi``.

    ``table``: positive first word, none larger; ``fine``, ``shift``: see :class:`Exponentials`.
    ``lanes`` divide ``elements``. One beat a cycle.
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
        fine: Sequence[int] = (),
        shift: int = 0,
    ) -> None:
        if not len(table) or table[0] < 1 or max(table) > table[0] or min(table) < 0:
            raise ValueError("a table of exponentials starts with its largest word, above zero")
        largest = VectorGather(lo, hi, elements, lanes, "max")
        exponentials = Exponentials(lo, hi, table, lanes, fine=fine, shift=shift)
        total = VectorGather(0, exponentials.largest, elements, lanes, "sum")
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
