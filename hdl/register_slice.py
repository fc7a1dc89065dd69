"""A skid buffer: valid, payload and ready are all registers."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from codesign.hdl.stream import Component
from codesign.hdl.timing import Fifo


class RegisterSlice(Component):
    """Cuts every path of a stream. Latency 1, one transfer a cycle, two entries."""

    latency = 1

    def __init__(self, payload_shape: object) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(payload_shape)),
                "o": Out(stream.Signature(payload_shape)),
            }
        )

    def timing(self) -> Fifo:
        """The event model of this component."""
        return Fifo(2)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        incoming = self.i.payload
        incoming = incoming.as_value() if hasattr(incoming, "as_value") else incoming
        outgoing = self.o.payload
        outgoing = outgoing.as_value() if hasattr(outgoing, "as_value") else outgoing
        spare, spare_full = Signal.like(incoming, reset_less=True), Signal()
        m.d.comb += self.i.ready.eq(~spare_full)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid | spare_full), spare_full.eq(0)]
            with m.If(spare_full):
                m.d.sync += outgoing.eq(spare)
            with m.Else():
                m.d.sync += outgoing.eq(incoming)
        with m.Elif(self.i.valid & ~spare_full):
            m.d.sync += [spare.eq(incoming), spare_full.eq(1)]
        return m
