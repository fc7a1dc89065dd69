"""Concat: several values side by side along one axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, Real, ScaledInt
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp, divisors
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


@register("concat")
@dataclass(frozen=True, eq=False)
class Concat(CircuitOp):
    """Inputs of equal shape but for ``axis`` (an axis of the value, the batch not counted).

    Codes stay codes where one format can hold them all: equal scales and zero points, or, along
    the channels, a scale per channel. Otherwise, and where an input is float32, the result is
    float32, which only a quantizer after it (see the pass ``hoist``) brings back to codes.
    """

    axis: int

    def one_step(self, steps: int) -> Concat:
        """Itself; ``UnsupportedModel`` where it joins steps."""
        if self.axis == 0:
            raise UnsupportedModel(
                "a concatenation inside a recurrent loop joins steps",
                hint="concatenate features, or move it out of the Scan",
            )
        return self

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        if not ins:
            raise ValueError("a concatenation of nothing")
        rank = len(ins[0].shape)
        if not 0 <= self.axis < rank:
            raise UnsupportedModel(f"cannot concatenate along axis {self.axis} of {rank}")
        rest = {(*v.shape[: self.axis], *v.shape[self.axis + 1 :]) for v in ins}
        if len(rest) != 1 or any(len(v.shape) != rank for v in ins):
            shapes = ", ".join(str(v.shape) for v in ins)
            raise UnsupportedModel(f"cannot concatenate shapes {shapes} along axis {self.axis}")
        shape = list(ins[0].shape)
        shape[self.axis] = sum(v.shape[self.axis] for v in ins)
        return tuple(shape), self._format(ins, rank)

    def _format(self, ins: tuple[Value, ...], rank: int) -> Format:
        formats = [v.format for v in ins if isinstance(v.format, ScaledInt)]
        if len(formats) != len(ins) or len({f.zero_point for f in formats}) != 1:
            return Real()
        scales = formats[0].scale
        if any(f.scale != scales for f in formats):
            if self.axis != rank - 1:
                return Real()
            scales = tuple(s for v, f in zip(ins, formats, strict=True) for s in _scales(v, f))
        elif len(scales) > 1 and self.axis == rank - 1:
            scales = scales * len(ins)
        lo, hi = min(f.lo for f in formats), max(f.hi for f in formats)
        return ScaledInt(lo, hi, scales, formats[0].zero_point)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        """``[B, ...]`` each; codes joined as they are, decoded first where the result is float."""
        _, format = self.infer(*ins)
        parts = [np.asarray(a) for a in arrays]
        if isinstance(format, Real):
            parts = [v.format.decode(a) for v, a in zip(ins, parts, strict=True)]
        return np.concatenate(parts, axis=self.axis + 1)

    def runs(self, ins: list[Value] | tuple[Value, ...]) -> list[int]:
        """Neighbouring elements of the stream that each input gives in turn."""
        return [math.prod(v.shape[self.axis :]) for v in ins]

    def lane_options(self, ins: list[Value]) -> list[int]:
        """Those that divide every run, so that a beat comes from one input."""
        return divisors(math.gcd(*self.runs(ins)))

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.concat import Concat as Stream

        return Stream(
            self.runs(ins),
            repeats=math.prod(ins[0].shape[: self.axis]),
            ranges=[(v.format.lo, v.format.hi) for v in ins],
            lanes=plan.pe,
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        component = self.rtl(ins, out, plan)
        return Cost(lut=component.luts, ff=component.ffs)

    def realisation(self, plan: Plan) -> str:
        return "addressing"


def _scales(value: Value, format: ScaledInt) -> tuple[float, ...]:
    return format.scale if len(format.scale) > 1 else format.scale * value.shape[-1]
