"""Fractions of streamed integers: a restoring divider with a register a bit."""

from amaranth.hdl import Cat, Const, Module, Shape, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.timing import Pipe
from codesign.hdl.vector_gather import gathered


class Divide(Component):
    """``o = floor(data * 2**bits / total)`` for each lane, ``0 <= data <= total``, ``total > 0``.

    ``data`` (``number`` shape) and ``total`` unsigned; ``beats`` in a frame. One beat a cycle;
    ``latency`` is ``bits + 1`` registers.
    """

    def __init__(self, number: Shape, total: Shape, lanes: int, bits: int, beats: int) -> None:
        if number.signed or total.signed or number.width > total.width:
            raise ValueError(f"divides unsigned numbers by wider ones, got {number} by {total}")
        if bits < 1:
            raise ValueError(f"a fraction has at least one bit, got {bits}")
        self._total, self._lanes, self._bits, self._beats = total, lanes, bits, beats
        super().__init__(
            {
                "i": In(stream.Signature(gathered(number, lanes, total))),
                "o": Out(stream_signature(range_shape(0, 1 << bits), lanes)),
            }
        )

    @property
    def latency(self) -> int:
        """Registers from input to output."""
        return self._bits + 1

    def timing(self) -> Pipe:
        """The event model of this component."""
        return Pipe(self.latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, given = Signal(), Signal()
        m.d.comb += [
            ce.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(ce),
            given.eq(self.o.valid & self.o.ready),
            self.o.payload.last.eq(Counter(m, "beat", self._beats, given).last),
        ]
        valid, total = self.i.valid, self.i.payload.total
        rest = [self.i.payload.data[j] for j in range(self._lanes)]
        found = [Const(0, 0)] * self._lanes
        for stage in range(self.latency):
            ends = stage == self.latency - 1
            held = self.o.valid if ends else Signal(name=f"valid{stage}")
            divisor = Signal(self._total, name=f"total{stage}", reset_less=True)
            with m.If(ce):
                m.d.sync += held.eq(valid)
                if not ends:
                    m.d.sync += divisor.eq(total)
            for j in range(self._lanes):
                rest[j], found[j] = self._step(m, ce, stage, j, rest[j], found[j], total)
            valid, total = held, divisor
        for j, quotient in enumerate(found):
            m.d.comb += self.o.payload.data[j].eq(quotient)
        return m

    def _step(self, m, ce, stage, j, rest, found, total):  # type: ignore[no-untyped-def]
        """One bit: whether the (doubled) rest holds the divisor."""
        twice = rest if stage == 0 else Cat(Const(0, 1), rest)
        less = Signal(self._total.width + 2, name=f"less{stage}_{j}")
        m.d.comb += less.eq(twice - total)
        bit = ~less[-1]
        after = Signal(unsigned(self._total.width), name=f"rest{stage}_{j}", reset_less=True)
        quotient = Signal(stage + 1, name=f"quotient{stage}_{j}", reset_less=True)
        with m.If(ce):
            m.d.sync += quotient.eq(Cat(bit, found))
            if stage < self.latency - 1:
                with m.If(bit):
                    m.d.sync += after.eq(less)
                with m.Else():
                    m.d.sync += after.eq(twice)
        return after, quotient
