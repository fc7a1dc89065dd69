"""A memory of wide words that a circuit reads and a 32-bit bus writes and reads back."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from codesign.hdl.loading.load import ADDRESS_BITS, DATA_BITS, load_signature
from codesign.hdl.stream import Component
from codesign.hdl.windows.delay import NO_COLLISION


def slots(width: int) -> int:
    """32-bit addresses a word of ``width`` bits takes: a power of two."""
    return 1 << (-(-width // DATA_BITS) - 1).bit_length()


class LoadedMemory(Component):
    """``words`` of ``width`` bits at first. ``data`` follows ``address`` by one ``en`` cycle.

    On the bus word ``n`` takes the addresses from ``n * slots(width)`` on, its low bits first.
    Its parts are written in ascending order; the last one writes the word. A part out of order
    and an address that is none are errors and change nothing. The bus uses the circuit's read
    port: no frame may be in flight.

    ``writable``: the circuit writes too, ``write_data`` to ``write_address`` where ``write_en``,
    never to a word that it reads in the same cycle.
    """

    def __init__(
        self, words: Sequence[int], width: int, style: str, writable: bool = False
    ) -> None:
        self._words, self._width, self._writable = list(words), width, writable
        self._style = {"block": "block", "lut": "distributed"}[style]
        self.depth = len(self._words)
        self.parts, self.slots = -(-width // DATA_BITS), slots(width)
        index_bits = max(1, (len(words) - 1).bit_length())
        if index_bits + (self.slots - 1).bit_length() > ADDRESS_BITS:
            raise ValueError(f"{len(words)} words of {width} bits exceed the bus' address space")
        super().__init__(
            {
                "address": In(index_bits),
                "en": In(1),
                "data": Out(width),
                "load": In(load_signature()),
                **(
                    {
                        "write_en": In(1),
                        "write_address": In(index_bits),
                        "write_data": In(width),
                    }
                    if writable
                    else {}
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # One word would be a memory without an address; a second one is never reached.
        init = self._words if len(self._words) > 1 else [*self._words, 0]
        attributes = {"ram_style": self._style, **NO_COLLISION}
        memory = Memory(shape=unsigned(self._width), depth=len(init), init=init, attrs=attributes)
        m.submodules.memory = memory
        write, read = memory.write_port(), memory.read_port()
        part_bits = (self.slots - 1).bit_length()
        part = self.load.address[:part_bits]
        index = self.load.address[part_bits:][: len(self.address)]
        reading = Signal()
        m.d.comb += [
            reading.eq(self.load.request & ~self.load.write),
            read.addr.eq(Mux(reading, index, self.address)),
            read.en.eq(self.en | reading),
            self.data.eq(read.data),
        ]
        loads, loaded = Signal(), Signal(self._width)
        self._answer(m, loads, loaded, part, index, read.data)
        m.d.comb += [write.en.eq(loads), write.addr.eq(index), write.data.eq(loaded)]
        if self._writable:
            with m.If(self.write_en):
                m.d.comb += [
                    write.en.eq(1),
                    write.addr.eq(self.write_address),
                    write.data.eq(self.write_data),
                ]
        return m

    def _answer(
        self,
        m: Module,
        loads: Signal,
        loaded: Signal,
        part: Value,
        index: Value,
        data: Value,
    ) -> None:
        """First cycle of a request: the access; second: its result; third: ``ack``."""
        begin, wait, bad = Signal(), Signal(), Signal()
        expected, started = Signal.like(self.load.address), Signal()
        last = Signal()
        m.d.comb += [
            begin.eq(self.load.request & ~wait & ~self.load.ack),
            last.eq(part == self.parts - 1),
            bad.eq(
                (part > self.parts - 1)
                | (self.load.address >> (len(part) + len(index)) != 0)
                | (index > len(self._words) - 1)
                | (self.load.write & (part != 0) & ~(started & (self.load.address == expected)))
            ),
            loads.eq(begin & self.load.write & last & ~bad),
        ]
        m.d.sync += [wait.eq(begin), self.load.ack.eq(wait)]
        with m.If(begin):
            m.d.sync += self.load.error.eq(bad)
            with m.If(self.load.write):
                m.d.sync += [started.eq(~bad & ~last), expected.eq(self.load.address + 1)]
        self._parts(m, loaded, part, begin & self.load.write)
        parts = [data[n * DATA_BITS :][:DATA_BITS] for n in range(self.parts)]
        with m.If(wait):
            m.d.sync += self.load.read.eq(Array(parts)[part] if self.parts > 1 else parts[0])

    def _parts(self, m: Module, loaded: Signal, part: Value, take: Value) -> None:
        """The parts of a word that wait for its last one."""
        held = [Signal(DATA_BITS, name=f"part{n}") for n in range(self.parts - 1)]
        for n, register in enumerate(held):
            with m.If(take & (part == n)):
                m.d.sync += register.eq(self.load.data)
        word = Cat(*held, self.load.data)
        m.d.comb += loaded.eq(word[: len(loaded)])
