"""Bessel: what each step of a window is once a low-pass has smoothed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import Value, record, register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp, divisors
from codesign.schema import Cost
from codesign.spikes import bessel

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

record("spikes.Sections")(bessel.Sections)
record("spikes.Bessel")(bessel.Bessel)


@register("bessel")
@dataclass(frozen=True, eq=False)
class Bessel(CircuitOp):
    """Codes (T, ...) of ``decoder`` to smoothed codes of the same shape; each window from zero."""

    decoder: bessel.Bessel

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        try:
            shape = self.decoder.out_shape(x.shape)
        except ValueError as reason:
            hint = "give it the outputs of a layer of neurons, steps first"
            raise UnsupportedModel(str(reason), hint=hint) from None
        lo, hi = self._codes(x.format)
        return shape, ScaledInt(*self.decoder.out_span(lo, hi), (2.0**-self.decoder.out_frac,))

    def _codes(self, format: Format) -> tuple[int, int]:
        """Least and greatest of the codes read, worth ``2**-decoder.frac``, if it takes them."""
        lo, hi = self.decoder.span
        fits = (
            isinstance(format, ScaledInt)
            and format.scale == (2.0**-self.decoder.frac,)
            and not format.zero_point
            and lo <= format.lo
            and format.hi <= hi
        )
        if not fits:
            raise UnsupportedModel(
                f"its decoder takes codes {lo}..{hi} in steps of 2^-{self.decoder.frac}, not "
                f"{format.label()}",
                hint="give it the bits, the sign and the fraction bits of what it reads",
            )
        return format.lo, format.hi  # type: ignore[attr-defined]

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        """int64 [B, T, ...] to the same shape."""
        return self.decoder.decode(arrays[0])

    def lane_options(self, ins: list[Value]) -> list[int]:
        """A beat holds elements of one step only."""
        return divisors(ins[0].elements // ins[0].shape[0])

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        """A state is written three cycles after it is read."""
        from codesign.hdl.spikes.decode_bessel import LOOP

        (x,) = ins
        return self.decoder.steps * max(x.elements // x.shape[0] // plan.pe, LOOP)

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.spikes.decode_bessel import BesselDecoder

        (x,) = ins
        lo, hi = self._codes(x.format)
        return BesselDecoder(
            self.decoder.sections,
            lo=lo,
            hi=hi,
            elements=x.elements // x.shape[0],
            steps=self.decoder.steps,
            lanes=plan.pe,
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        from codesign.hdl.spikes.bessel_area import area_of

        (x,) = ins
        found = area_of(
            self.decoder, *self._codes(x.format), beats=x.elements // x.shape[0] // plan.pe,
            lanes=plan.pe,
        )  # fmt: skip
        return Cost(lut=found.lut, ff=found.ff, dsp=found.dsp)

    def realisation(self, plan: Plan) -> str:
        return f"Bessel low-pass, order {2 * len(self.decoder.sections.coefficients)}"
