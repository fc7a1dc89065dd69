"""The indices of the k largest (or smallest) elements of each vector, in order."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Stage
from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.timing import Composite, Pipe
from codesign.hdl.width_adapter import adapter_timing, width_adapter


class _Sorter(Component):
    """Keeps the best ``k`` of the elements so far, in order; one element a cycle, latency 1."""

    def __init__(
        self, in_range: tuple[int, int], elements: int, k: int, vectors: int, largest: bool
    ) -> None:
        self._elements, self._k, self._vectors, self._largest = elements, k, vectors, largest
        self._shape = range_shape(*in_range)
        super().__init__(
            {
                "i": In(stream_signature(self._shape, 1)),
                "o": Out(stream_signature(range_shape(0, elements - 1), k)),
            }
        )

    def timing(self) -> Pipe:
        """The event model of this component."""
        return Pipe(1, self._elements, self._elements)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        take, x = Signal(), Signal(self._shape)
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            take.eq(self.i.valid & self.i.ready),
            x.eq(self.i.payload.data[0]),
        ]
        place = Counter(m, "place", self._elements, take)
        number = Signal(range(max(self._elements, 2)))
        m.d.comb += number.eq(place.value)
        best = [Signal(self._shape, name=f"best{j}") for j in range(self._k)]
        where = [Signal.like(number, name=f"where{j}") for j in range(self._k)]
        held = Signal(self._k)  # slots that hold an element of this vector
        above = None  # whether x goes before the slot above
        for j in range(self._k):
            before = Signal(name=f"before{j}")
            better = (x > best[j]) if self._largest else (x < best[j])
            m.d.comb += before.eq(~held[j] | better)
            value, index = Signal.like(x, name=f"value{j}"), Signal.like(number, name=f"index{j}")
            m.d.comb += [value.eq(best[j]), index.eq(where[j])]
            with m.If(before):
                m.d.comb += [value.eq(x), index.eq(number)]
            if above is not None:
                with m.If(above):
                    m.d.comb += [value.eq(best[j - 1]), index.eq(where[j - 1])]
            above = before
            with m.If(take):
                m.d.sync += [best[j].eq(value), where[j].eq(index)]
            with m.If(take & place.last):
                m.d.sync += self.o.payload.data[j].eq(index)
        with m.If(take):
            m.d.sync += held.eq(Mux(place.last, 0, (held << 1) | 1))
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(take & place.last)
        given = Signal()
        m.d.comb += given.eq(self.o.valid & self.o.ready)
        vector = Counter(m, "vector", self._vectors, given)
        m.d.comb += self.o.payload.last.eq(vector.last)
        return m


class TopK(Component):
    """``i``: ``vectors`` vectors of ``elements`` codes, ``lanes`` a beat; ``o``: for each vector
    the indices of its ``k`` largest elements (smallest without ``largest``), best first, one a
    beat. Of equal elements the first comes first. One element a cycle.
    """

    def __init__(
        self,
        in_lo: int,
        in_hi: int,
        elements: int,
        k: int,
        lanes: int,
        *,
        vectors: int = 1,
        largest: bool = True,
    ) -> None:
        if not 1 <= k <= elements or lanes < 1 or vectors < 1:
            raise ValueError(f"k lies in 1..{elements} (the elements), got {k}; {lanes} lanes")
        if vectors > 1 and elements % lanes and lanes % elements:
            raise ValueError(f"{lanes} lanes do not divide the {elements} elements of a vector")
        self._total, self._results, self._lanes, self._k = elements * vectors, k * vectors, lanes, k
        self._sorter = _Sorter((in_lo, in_hi), elements, k, vectors, largest)
        self._parts: dict[str, wiring.Component] = {}
        if lanes > 1:
            self._parts["narrow"] = width_adapter(in_lo, in_hi, self._total, lanes, 1)
        self._parts["sorter"] = self._sorter
        if k > 1:
            self._parts["unpack"] = width_adapter(0, elements - 1, self._results, k, 1)
        super().__init__(
            {
                "i": In(stream_signature(range_shape(in_lo, in_hi), lanes)),
                "o": Out(stream_signature(range_shape(0, elements - 1), 1)),
            }
        )

    def timing(self) -> Stage:
        """The event model of this component."""
        before = adapter_timing(self._total, self._lanes, 1)
        after = adapter_timing(self._results, self._k, 1)
        return Composite([*before, self._sorter.timing(), *after])

    def elaborate(self, platform: object) -> Module:
        m = Module()
        given = Signal(name="o_transfer")
        last = list(self._parts.values())[-1]
        m.d.comb += [given.eq(self.o.valid & self.o.ready), self.o.payload.eq(last.o.payload)]
        source = wiring.flipped(self.i)
        for name, component in self._parts.items():
            m.submodules[name] = component
            wiring.connect(m, source, component.i)
            source = component.o
        m.d.comb += [self.o.valid.eq(last.o.valid), last.o.ready.eq(self.o.ready)]
        return m
