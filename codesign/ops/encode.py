"""Encode: a vector of codes, or a signal, as what arrives in every time step."""

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
from codesign.spikes import coders

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

for _kind in (coders.Rate, coders.Latency, coders.Direct, coders.Count, coders.Delta):
    record(f"spikes.{_kind.__name__}")(_kind)


@register("encode")
@dataclass(frozen=True, eq=False)
class Encode(CircuitOp):
    """Codes (F,) of ``encoder`` to its steps (T, F); a signal (T, F) to its changes (T, 2F)."""

    encoder: coders.Encoder

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        try:
            shape = self.encoder.out_shape(x.shape)
        except ValueError as reason:
            hint = "flatten what comes before it, and give the steps their shape behind it"
            raise UnsupportedModel(str(reason), hint=hint) from None
        self._check_codes(x.format)
        lo, hi = self.encoder.out_span
        if self.encoder.kind == "direct":
            lo, hi = x.format.lo, x.format.hi  # type: ignore[attr-defined]
        return shape, ScaledInt(lo, hi, (2.0**-self.encoder.out_frac,))

    def _check_codes(self, format: Format) -> None:
        """Codes that are ``encoder.bits`` wide and worth ``2**-encoder.frac``."""
        encoder = self.encoder
        lo, hi = encoder.span
        fits = (
            isinstance(format, ScaledInt)
            and format.scale == (2.0**-encoder.frac,)
            and not format.zero_point
            and lo <= format.lo
            and format.hi <= hi
            and (format.bits, format.lo < 0) == (encoder.bits, lo < 0)
        )
        if not fits:
            sign = "signed" if lo < 0 else "unsigned"
            raise UnsupportedModel(
                f"its encoder takes {sign} codes of {encoder.bits} bits in steps of "
                f"2^-{encoder.frac}, not {format.label()}",
                hint="quantize its input to just these codes",
            )

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        """int64 [B, F] (or a signal, [B, T, F]) to int64 [B, T, F] (or [B, T, 2F])."""
        return self.encoder.encode(arrays[0])

    def lane_options(self, ins: list[Value]) -> list[int]:
        """A beat holds elements of one step only."""
        return divisors(ins[0].shape[-1])

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        shape, _ = self.infer(*ins)
        return shape[0] * shape[1] // plan.pe

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.spikes.build_encoder import encoder_of

        (x,) = ins
        span = x.format.lo, x.format.hi
        return encoder_of(self.encoder, span, elements=x.shape[-1], lanes=plan.pe)

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        from codesign.hdl.spikes.encode_area import area_of

        found = area_of(self.encoder, elements=ins[0].shape[-1], lanes=plan.pe)
        return Cost(lut=found.lut, ff=found.ff, bram=found.bram)

    def realisation(self, plan: Plan) -> str:
        return f"{self.encoder.kind} code, {self.encoder.steps} steps"
