"""A first-in first-out buffer on a stream."""

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from codesign.hdl import timing
from codesign.hdl.stream import Component


class Fifo(Component):
    """``depth`` places. Latency 1, a beat a cycle in and out, ``ready`` and ``valid`` registered.

    The memory is read a cycle ahead, so that it can be block RAM.
    """

    latency = 1

    def __init__(self, payload_shape: object, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"a FIFO has at least one place, got {depth}")
        self.depth = depth
        signature = stream.Signature(payload_shape)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def timing(self) -> timing.Fifo:
        """The event model of this component."""
        return timing.Fifo(self.depth)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        take, give, level = Signal(), Signal(), Signal(range(self.depth + 1))
        full = Signal()
        m.d.comb += [
            self.i.ready.eq(~full),
            take.eq(self.i.valid & self.i.ready),
            give.eq(self.o.valid & self.o.ready),
        ]
        with m.If(take & ~give):
            m.d.sync += [level.eq(level + 1), full.eq(level == self.depth - 1), self.o.valid.eq(1)]
        with m.Elif(give & ~take):
            m.d.sync += [level.eq(level - 1), full.eq(0), self.o.valid.eq(level != 1)]
        self._memory(m, take, give)
        return m

    def _memory(self, m: Module, take: Signal, give: Signal) -> None:
        data = self.i.payload.as_value()
        given = Signal.like(data, name="given")
        m.d.comb += self.o.payload.eq(given)
        if self.depth == 1:
            with m.If(take):
                m.d.sync += given.eq(data)
            return
        m.submodules.places = memory = Memory(shape=Shape(len(data)), depth=self.depth, init=[])
        write = memory.write_port()
        read = memory.read_port(transparent_for=(write,))
        head, following = Signal(range(self.depth)), Signal(range(self.depth))
        m.d.comb += following.eq(Mux(head == self.depth - 1, 0, head + 1))
        with m.If(give):
            m.d.sync += head.eq(following)
        with m.If(take):
            m.d.sync += write.addr.eq(Mux(write.addr == self.depth - 1, 0, write.addr + 1))
        m.d.comb += [
            write.data.eq(data),
            write.en.eq(take),
            read.addr.eq(Mux(give, following, head)),
            read.en.eq(1),
            given.eq(read.data),
        ]
