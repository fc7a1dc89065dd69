"""Mean and deviation taken out of each vector of codes, in integers.

``d = n*x - sum(x)`` is exact, ``W = sum(d^2)`` too; ``d / sqrt(W + offset)`` is a root and a
division of as many bits as asked for.
"""

from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.divide import Divide
from codesign.hdl.events import Stage
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.timing import Composite, Pipe
from codesign.hdl.vector_gather import VectorGather, gathered


class Center(Component):
    """``elements * data - total`` of each lane; latency 1."""

    def __init__(self, lo: int, hi: int, elements: int, lanes: int, total: Shape) -> None:
        self._elements, self._lanes = elements, lanes
        self.reach = (elements - 1) * (hi - lo)
        self._shape = range_shape(-self.reach, self.reach)
        super().__init__(
            {
                "i": In(stream.Signature(gathered(range_shape(lo, hi), lanes, total))),
                "o": Out(stream_signature(self._shape, lanes)),
            }
        )

    def timing(self) -> Pipe:
        """The event model of this component."""
        return Pipe(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce = Signal()
        m.d.comb += [ce.eq(~self.o.valid | self.o.ready), self.i.ready.eq(ce)]
        with m.If(ce):
            m.d.sync += self.o.valid.eq(self.i.valid)
        for j in range(self._lanes):
            held = Signal(self._shape, name=f"centred{j}", reset_less=True)
            m.d.comb += self.o.payload.data[j].eq(held)
            with m.If(ce):
                m.d.sync += held.eq(self._elements * self.i.payload.data[j] - self.i.payload.total)
        return m


class Root(Component):
    """``T = floor(sqrt(total * 4**shift + offset))``: gives ``data * 2**shift + T`` of each lane
    beside ``2 T``. ``|data|**2 <= total``, so the first lies in 0..2T. A bit of T a register.
    """

    def __init__(self, data: Shape, total: Shape, lanes: int, shift: int, offset: int) -> None:
        most = (((1 << total.width) - 1) << (2 * shift)) + offset
        self._bits = -(-most.bit_length() // 2)
        self._data, self._lanes, self._shift, self._offset = data, lanes, shift, offset
        self.result = unsigned(self._bits + 1)
        super().__init__(
            {
                "i": In(stream.Signature(gathered(data, lanes, total))),
                "o": Out(stream.Signature(gathered(self.result, lanes, self.result))),
            }
        )

    @property
    def latency(self) -> int:
        """Registers: the radicand, a bit each, the sum."""
        return self._bits + 2

    def timing(self) -> Pipe:
        """The event model of this component."""
        return Pipe(self.latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce = Signal()
        m.d.comb += [ce.eq(~self.o.valid | self.o.ready), self.i.ready.eq(ce)]
        valid: Value = self.i.valid
        data = [self.i.payload.data[j] for j in range(self._lanes)]
        radicand = (self.i.payload.total << (2 * self._shift)) + self._offset
        left: Value = self._held(m, ce, radicand, unsigned(2 * self._bits), "radicand")
        valid, data = self._along(m, ce, valid, data, 0)
        rest: Value = Const(0, 1)
        root: Value = Const(0, 0)
        for stage in range(self._bits):
            top = 2 * (self._bits - stage)
            wide, trial = Cat(left[top - 2 : top], rest), Cat(Const(1, 2), root)
            less = Signal(signed(stage + 4), name=f"less{stage}")
            m.d.comb += less.eq(wide - trial)
            bit = ~less[-1]
            after = Signal(stage + 2, name=f"rest{stage}", reset_less=True)
            with m.If(ce):
                with m.If(bit):
                    m.d.sync += after.eq(less)
                with m.Else():
                    m.d.sync += after.eq(wide)
            root = self._held(m, ce, Cat(bit, root), unsigned(stage + 1), f"root{stage}")
            left = self._held(m, ce, left[: top - 2], unsigned(top - 2), f"left{stage}")
            rest = after
            valid, data = self._along(m, ce, valid, data, stage + 1)
        with m.If(ce):
            m.d.sync += [self.o.valid.eq(valid), self.o.payload.total.eq(root << 1)]
            for j, code in enumerate(data):
                m.d.sync += self.o.payload.data[j].eq((code << self._shift) + root)
        return m

    def _held(self, m: Module, ce: Value, value: Value, shape: Shape, name: str) -> Value:
        register = Signal(shape, name=name, reset_less=True)
        with m.If(ce):
            m.d.sync += register.eq(value)
        return register

    def _along(
        self, m: Module, ce: Value, valid: Value, data: list, stage: int
    ) -> tuple[Value, list]:
        held = Signal(name=f"valid{stage}")
        with m.If(ce):
            m.d.sync += held.eq(valid)
        return held, [self._held(m, ce, d, self._data, f"data{stage}_{j}")
                      for j, d in enumerate(data)]  # fmt: skip


class Normalize(Component):
    """``o = floor(2**bits * (d * 2**shift + T) / (2 T))`` for each of ``vectors`` vectors of
    ``elements`` codes x in ``lo..hi``: ``d = elements * x - sum(x)``,
    ``T = floor(sqrt(sum(d**2) * 4**shift + offset))``; ``offset`` at least 1.

    So ``o / 2**bits - 1/2`` is half of ``d / sqrt(sum(d**2) + offset / 4**shift)``. ``lanes``
    divide ``elements``. One beat a cycle.
    """

    def __init__(
        self,
        lo: int,
        hi: int,
        *,
        elements: int,
        vectors: int,
        lanes: int,
        shift: int,
        offset: int,
        bits: int,
    ) -> None:
        if offset < 1 or shift < 0:
            raise ValueError(f"the root needs an offset above zero, got {offset}")
        total = VectorGather(lo, hi, elements, lanes, "sum")
        center = Center(lo, hi, elements, lanes, total.total)
        squares = VectorGather(-center.reach, center.reach, elements, lanes, "squares")
        root = Root(squares.shape, squares.total, lanes, shift, offset)
        divide = Divide(root.result, root.result, lanes, bits, vectors * total.beats)
        self.parts: dict[str, wiring.Component] = {
            "total": total,
            "center": center,
            "squares": squares,
            "root": root,
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
        return Composite([part.timing() for part in self.parts.values()])  # type: ignore[attr-defined]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        given = Signal(name="o_transfer")
        end = self.parts["divide"]
        # Own ports first: see hdl/chain.py.
        m.d.comb += [given.eq(self.o.valid & self.o.ready), self.o.payload.eq(end.o.payload)]
        source = wiring.flipped(self.i)
        for name, part in self.parts.items():
            m.submodules[name] = part
            wiring.connect(m, source, part.i)
            source = part.o
        m.d.comb += [self.o.valid.eq(end.o.valid), end.o.ready.eq(self.o.ready)]
        return m
