"""Requant: an exact integer-to-integer function per channel, tabulated from the model's chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.builddir import Cost
from codesign.formats import Format
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


@register("requant")
@dataclass(frozen=True, eq=False)
class Requant(CircuitOp):
    """The chain between an accumulator and the next quantizer, as a function on codes.

    Monotone channels are steps: ``code = base[c] + step[c] * #(x >= thresholds[c, i])``, with
    ``thresholds`` int64 [C, n] ascending and ``hi + 1`` where a step is never reached.
    Otherwise ``table`` int64 [C, hi - lo + 1] holds the code of every input and ``thresholds``
    is empty. ``C`` is the channel count or one when all channels agree.
    """

    lo: int
    hi: int
    base: np.ndarray
    step: np.ndarray
    thresholds: np.ndarray
    table: np.ndarray
    out_format: Format

    @property
    def monotone(self) -> bool:
        """Whether the function is held as thresholds."""
        return self.table.size == 0

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        if (ins[0].format.lo, ins[0].format.hi) != (self.lo, self.hi):
            raise ValueError("tabulated over another range than the input's")
        return ins[0].shape, self.out_format

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        x = arrays[0]
        if x.size and (x.min() < self.lo or x.max() > self.hi):
            raise ValueError(f"codes outside {self.lo}..{self.hi}")
        flat = x.reshape(-1, x.shape[-1])
        channels = range(flat.shape[1])
        if self.monotone:
            counts = [np.searchsorted(self._row(self.thresholds, c), flat[:, c], "right")
                      for c in channels]  # fmt: skip
            return np.asarray(self.base + self.step * np.stack(counts, axis=1)).reshape(x.shape)
        rows = [self._row(self.table, c)[flat[:, c] - self.lo] for c in channels]
        return np.stack(rows, axis=1).reshape(x.shape)

    @staticmethod
    def _row(array: np.ndarray, channel: int) -> np.ndarray:
        return np.asarray(array[channel if len(array) > 1 else 0])

    def form(self, ins: Sequence[Value], plan: Plan) -> Any:
        """The cheapest exact hardware form (a :mod:`codesign.hdl.requant` realisation)."""
        from codesign.ops.requant_forms import cheapest

        return cheapest(self, channels=ins[0].shape[-1], lanes=plan.pe)

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.requant import Requant as Stream

        return Stream(
            self.form(ins, plan),
            in_lo=self.lo,
            in_hi=self.hi,
            out_lo=out.format.lo,
            out_hi=out.format.hi,
            channels=ins[0].shape[-1],
            lanes=plan.pe,
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
        folds = -(-ins[0].shape[-1] // plan.pe)
        form = self.form(ins, plan)
        lut = plan.pe * form.lut_estimate(ranges, folds)
        if plan.style != "unrolled":  # lanes share their parameter table (calibrated)
            lut = 20 + 0.62 * lut
        registers = plan.pe * out.format.bits * form.stages(ranges) + 4
        return Cost(
            lut=round(lut),
            ff=registers,
            bram=plan.pe * block_rams(form, ranges, folds),
        )
