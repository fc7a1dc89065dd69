"""The input side of a folded unit: takes a frame once, plays it back once per row fold."""

from amaranth.hdl import Module, Mux, Shape, Signal, Value
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, stream_signature


class FrameBuffer(Component):
    """Holds two frames of ``sf`` beats; one loads while the other is played ``nf`` times.

    Ports: ``ce`` pipeline enable; ``issue`` a beat is read in this cycle; ``o_data``, ``o_valid``,
    ``o_last`` (last of its row fold) appear one enabled cycle later. A beat of the first pass is
    played in the cycle of its transfer if nothing waits. With one row fold there is no memory and
    ``i.ready`` is ``ce``; otherwise it depends only on free slots.
    """

    def __init__(self, shape: Shape, lanes: int, nf: int, sf: int) -> None:
        self._nf, self._sf = nf, sf
        super().__init__(
            {
                "i": In(stream_signature(shape, lanes)),
                "ce": In(1),
                "issue": Out(1),
                "o_data": Out(ArrayLayout(shape, lanes)),
                "o_valid": Out(1),
                "o_last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        column = Counter(m, "column", self._sf, self.issue)
        with m.If(self.ce):
            m.d.sync += [self.o_valid.eq(self.issue), self.o_last.eq(column.last)]
        if self._nf == 1:
            self._pass_through(m)
        else:
            self._replay(m, column)
        return m

    def _pass_through(self, m: Module) -> None:
        data = Signal.like(self.i.payload.data.as_value(), name="beat", reset_less=True)
        m.d.comb += [
            self.i.ready.eq(self.ce),
            self.issue.eq(self.i.valid & self.ce),
            self.o_data.as_value().eq(data),
        ]
        with m.If(self.ce):
            m.d.sync += data.eq(self.i.payload.data.as_value())

    def _replay(self, m: Module, column: Counter) -> None:
        slots = 2 * self._sf
        turn, take, free, first_use = Signal(), Signal(), Signal(), Signal()
        m.d.comb += turn.eq(self.issue & column.last)
        fold = Counter(m, "pass", self._nf, turn)
        first = Signal()
        m.d.comb += [
            first.eq(fold.value == 0),
            take.eq(self.i.valid & self.i.ready),
            free.eq(self.issue & fold.last),
            first_use.eq(self.issue & first),
        ]
        used, full = _level(m, "used", slots, take, free)
        fresh, _ = _level(m, "fresh", slots, take, first_use)
        straight = Signal()
        m.d.comb += [
            self.i.ready.eq(~full),
            straight.eq(first & (fresh == 0)),
            self.issue.eq(self.ce & (~straight | self.i.valid)),
        ]
        self._storage(m, take, self._read_address(m, column, fold))

    def _read_address(self, m: Module, column: Counter, fold: Counter) -> Value:
        """Slot of the beat being issued: back to the frame's start after each pass but the last."""
        sf = self._sf
        address, bank = Signal(range(2 * sf), name="read_slot"), Signal()
        with m.If(self.issue):
            with m.If(~column.last):
                m.d.sync += address.eq(address + 1)
            with m.Else():
                m.d.sync += address.eq(Mux(bank ^ fold.last, sf, 0))
                m.d.sync += bank.eq(bank ^ fold.last)
        return address

    def _storage(self, m: Module, take: Value, read_slot: Value) -> None:
        """The slots; a beat read in the cycle of its arrival goes around the memory."""
        payload = self.i.payload.data.as_value()
        write = Counter(m, "write_slot", 2 * self._sf, take)
        memory = Memory(shape=Shape(len(payload)), depth=2 * self._sf, init=[])
        m.submodules.slots = memory
        port = memory.write_port()
        read = memory.read_port(transparent_for=(port,))
        m.d.comb += [
            port.addr.eq(write.value),
            port.data.eq(payload),
            port.en.eq(take),
            read.addr.eq(read_slot),
            read.en.eq(self.ce),
            self.o_data.as_value().eq(read.data),
        ]


def _level(m: Module, name: str, most: int, up: Value, down: Value) -> tuple[Signal, Signal]:
    """A level in 0..``most`` and a registered flag for ``most``."""
    level, full = Signal(range(most + 1), name=name), Signal(name=f"{name}_full")
    with m.If(up & ~down):
        m.d.sync += [level.eq(level + 1), full.eq(level == most - 1)]
    with m.If(down & ~up):
        m.d.sync += [level.eq(level - 1), full.eq(0)]
    return level, full
