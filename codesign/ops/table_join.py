"""TableJoin: any function of two codes, from a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.formats import Format
from codesign.ir import Value, constant, register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


@register("table_join")
@dataclass(frozen=True, eq=False)
class TableJoin(CircuitOp):
    """``table[c, a - a_lo, b - b_lo]`` for codes ``a``, ``b`` of channel ``c``.

    ``table``: int64 [C, A, B], or [1, A, B] when all channels agree; ``A`` and ``B`` count the
    codes of the two inputs' formats. Its entries are codes of ``out_format``.
    """

    table: np.ndarray
    out_format: Format

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", constant(self.table, np.int64))

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        a, b = (v.format for v in ins)
        channels, rows, columns = self.table.shape
        if ins[0].shape != ins[1].shape or channels not in (1, ins[0].shape[-1]):
            raise ValueError(f"a join of shapes {ins[0].shape} and {ins[1].shape}")
        if (rows, columns) != (a.hi - a.lo + 1, b.hi - b.lo + 1):
            raise ValueError("tabulated over other ranges than the inputs'")
        return ins[0].shape, self.out_format

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        a, b = (np.asarray(x) - v.format.lo for v, x in zip(ins, arrays, strict=True))
        channel = np.arange(a.shape[-1]) if len(self.table) > 1 else 0
        return np.asarray(self.table[channel, a, b])

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.table_join import TableJoin as Stream

        a, b = (v.format for v in ins)
        return Stream(
            self.table,
            ranges=[(a.lo, a.hi), (b.lo, b.hi)],
            out_range=(out.format.lo, out.format.hi),
            elements=out.elements,
            lanes=plan.pe,
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        component = self.rtl(ins, out, plan)
        return Cost(lut=component.luts, ff=component.ffs, bram=component.brams)

    def realisation(self, plan: Plan) -> str:
        return "table of two codes"
