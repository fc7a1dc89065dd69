"""Requant: an exact integer-to-integer function per channel, tabulated from the model's chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.formats import Format
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


#: No table, no levels.
NONE = np.zeros((0, 0), dtype=np.int64)


@register("requant")
@dataclass(frozen=True, eq=False)
class Requant(CircuitOp):
    """The chain between an integer and the next quantizer, as a function on codes.

    Steps: ``place = base[c] + step[c] * #(x >= thresholds[c, i])``, with ``thresholds`` int64
    [R, n] ascending and ``hi + 1`` where a step is never reached. The place is the code itself,
    or, where ``levels`` int64 [R, m] are given, the code is ``levels[c, place]``: for codes that
    are not equally spaced and functions that are not monotone. Otherwise ``table`` int64
    [R, hi - lo + 1] holds the code of every input and ``thresholds`` is empty.

    The parameters vary over the trailing R elements of the value (R = 1, C, W*C or H*W*C); each
    array has R rows, or one where all agree.
    """

    lo: int
    hi: int
    base: np.ndarray
    step: np.ndarray
    thresholds: np.ndarray
    table: np.ndarray
    out_format: Format
    levels: np.ndarray = field(default_factory=lambda: NONE)

    @property
    def period(self) -> int:
        """R: the parameters repeat after so many elements."""
        arrays = (self.base, self.step, self.thresholds, self.table, self.levels)
        return max(1, *(len(a) for a in arrays))

    @property
    def first(self) -> int:
        """The least place a step function may yield."""
        return 0 if self.levels.size else self.out_format.lo

    @property
    def last(self) -> int:
        """The greatest place a step function may yield."""
        return self.levels.shape[1] - 1 if self.levels.size else self.out_format.hi

    @property
    def monotone(self) -> bool:
        """Whether the function is held as thresholds (no table)."""
        return self.table.size == 0

    def spread(self, classes: np.ndarray) -> Requant:
        """For len(classes) elements, each with the parameters of its class."""
        if self.period == 1:
            return self
        names = ("base", "step", "thresholds", "table", "levels")
        arrays = {name: getattr(self, name) for name in names}
        return replace(self, **{n: a[classes] if len(a) > 1 else a for n, a in arrays.items()})

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        if (ins[0].format.lo, ins[0].format.hi) != (self.lo, self.hi):
            raise ValueError("tabulated over another range than the input's")
        if ins[0].elements % self.period:
            raise ValueError(f"{self.period} sets of parameters for a value of {ins[0].shape}")
        return ins[0].shape, self.out_format

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        x = arrays[0]
        if x.size and (x.min() < self.lo or x.max() > self.hi):
            raise ValueError(f"codes outside {self.lo}..{self.hi}")
        columns = x.reshape(-1, self.period)
        out = np.empty(columns.shape, dtype=np.int64)
        for c in range(self.period):
            out[:, c] = self.column(columns[:, c], c)
        return out.reshape(x.shape)

    def column(self, x: np.ndarray, c: int) -> np.ndarray:
        """Codes of ``x`` in channel ``c``."""
        if not self.monotone:
            return np.asarray(self._row(self.table, c)[x - self.lo])
        count = np.searchsorted(self._row(self.thresholds, c), x, "right")
        place = self._row(self.base, c) + self._row(self.step, c) * count
        return np.asarray(self._row(self.levels, c)[place] if self.levels.size else place)

    @staticmethod
    def _row(array: np.ndarray, channel: int) -> np.ndarray:
        return np.asarray(array[channel if len(array) > 1 else 0])

    def lanes_in(self, plan: Plan) -> int:
        return plan.pe * plan.pixels

    def lanes_out(self, plan: Plan) -> int:
        return plan.pe * plan.pixels

    def form(self, ins: Sequence[Value], plan: Plan) -> Any:
        """The cheapest exact hardware form (a :mod:`codesign.hdl.requant` realisation)."""
        from codesign.ops.requant_forms import cheapest

        return cheapest(self, self._folds(ins, plan))

    def _folds(self, ins: Sequence[Value], plan: Plan) -> int:
        from codesign.hdl.requant import parameter_folds

        return parameter_folds(ins[0].elements, self.period, self.lanes_in(plan))

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.requant import Requant as Stream

        form = self.form(ins, plan)
        period = form.channels
        return Stream(
            form,
            in_lo=self.lo,
            in_hi=self.hi,
            out_lo=out.format.lo,
            out_hi=out.format.hi,
            channels=period,
            groups=ins[0].elements // period,
            lanes=self.lanes_in(plan),
        )

    def _ranges(self) -> Any:
        from codesign.hdl.requant import Ranges

        return Ranges(self.lo, self.hi, self.out_format.lo, self.out_format.hi)

    def latency(self, ins: Sequence[Value], plan: Plan) -> int:
        """Registers of the requantizer: one, or two for a long path."""
        return int(self.form(ins, plan).stages(self._ranges()))

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        from codesign.ops.requant_forms import block_rams

        ranges = self._ranges()
        folds, lanes = self._folds(ins, plan), self.lanes_in(plan)
        form = self.form(ins, plan)
        lut = lanes * form.lut_estimate(ranges, folds)
        if plan.style != "unrolled":  # lanes share their parameter table (calibrated)
            lut = 20 + 0.62 * lut
        registers = lanes * out.format.bits * form.stages(ranges) + 4
        return Cost(
            lut=round(lut),
            ff=registers,
            bram=lanes * block_rams(form, ranges, folds),
        )
