"""Read, change, write: a row of weights each cycle."""

from collections.abc import Callable

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib.wiring import In, Out

from codesign.hdl.learning.arithmetic import Lane, along
from codesign.hdl.learning.outputs import code_of
from codesign.hdl.stream import Component

#: The lane that a weight, its output's factors, its input's trace and spike make.
Change = Callable[[Module | None, Value, Value, Value, Value], Lane]


class RowUpdate(Component):
    """``valid`` asks for ``row``; its ``data`` and ``factors`` are there a cycle later, ``depth``
    cycles after that ``write`` brings the new row. Rows follow each other every cycle; none
    twice while ``busy``."""

    def __init__(
        self,
        rows: int,
        lanes: int,
        *,
        weight_bits: int,
        factor_bits: int,
        trace_bits: int,
        change: Change,
    ) -> None:
        self._lanes, self._change = lanes, change
        self._bits = weight_bits, factor_bits, trace_bits
        super().__init__(
            {
                "valid": In(1),
                "row": In(range(max(2, rows))),
                "trace": In(trace_bits),
                "spike": In(1),
                "data": In(weight_bits * lanes),
                "factors": In(factor_bits * lanes),
                "busy": Out(1),
                "write": Out(1),
                "write_row": Out(range(max(2, rows))),
                "write_data": Out(weight_bits * lanes),
            }
        )
        wires = [Const(0, bits) for bits in (weight_bits, factor_bits, trace_bits, 1)]
        #: Registers from the row read to the row written.
        self.depth = change(None, *wires).ends

    def elaborate(self, platform: object) -> Module:
        m = Module()
        weight, factor, _ = self._bits
        trace, spike = Signal.like(self.trace, name="trace1"), Signal(name="spike1")
        m.d.sync += [trace.eq(self.trace), spike.eq(self.spike)]
        valids = along(m, self.valid, 1 + self.depth, "changes")
        rows = along(m, self.row, 1 + self.depth, "row")
        codes = []
        for lane in range(self._lanes):
            own = self.data[lane * weight :][:weight]
            made = self._change(m, own, self.factors[lane * factor :][:factor], trace, spike)
            codes.append(code_of(made.at(self.depth)[0], weight))
        m.d.comb += [
            self.busy.eq(Cat(valids).any()),
            self.write.eq(valids[-1]),
            self.write_row.eq(rows[-1]),
            self.write_data.eq(Cat(*codes)),
        ]
        return m
