"""FirstSpike: how early each neuron spikes, a readout of a whole window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp, divisors
from codesign.schema import Cost
from codesign.spikes import decoders

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


#: What it reads: spikes, one or none in a step.
SPIKES = ScaledInt(0, 1, (1.0,))


@register("first_spike")
@dataclass(frozen=True, eq=False)
class FirstSpike(CircuitOp):
    """Spikes (T, ...) to ``T - t`` (...) of each neuron's first one, in step t; 0 for none.

    That is the largest of ``(T - t) * spike`` over all t.
    """

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if len(x.shape) < 2 or x.format != SPIKES:
            raise UnsupportedModel(
                f"the first spike of a value {x.shape} of {x.format.label()}",
                hint="give it the spikes of a layer of neurons, steps first",
            )
        return x.shape[1:], ScaledInt(0, x.shape[0], (1.0,))

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        """int64 [B, T, ...] to [B, ...]."""
        (x,) = arrays
        flat = x.reshape(len(x), x.shape[1], -1)
        return decoders.steps_left(flat).reshape(len(x), *x.shape[2:])

    def lane_options(self, ins: list[Value]) -> list[int]:
        """A beat holds neurons of one step only."""
        shape = ins[0].shape[1:]
        if len(shape) == 1:
            return divisors(shape[0])
        whole = [shape[-1] * n for n in divisors(ins[0].elements // ins[0].shape[0] // shape[-1])]
        return divisors(shape[-1]) + whole[1:]

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        return ins[0].elements // plan.simd

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.spikes.decode_left import StepsLeftDecoder

        (steps, *_), elements = ins[0].shape, out.elements
        return StepsLeftDecoder(levels=1, elements=elements, steps=steps, lanes=plan.simd)

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        from codesign.hdl.memories import style_for
        from codesign.ops.area import block_rams

        bits, counted = out.format.bits, 2 * (ins[0].elements // plan.simd).bit_length()
        word = plan.simd * bits
        cost = Cost(lut=round(1.5 * word) + bits + counted + 8, ff=2 * word + counted + 2)
        for words, width in self.rtl(ins, out, plan).memories():
            block = style_for(words, width) == "block"
            cost = cost + (Cost(bram=block_rams(words, width)) if block else Cost(
                lut=2 * width * -(-words // 16), ff=width
            ))  # fmt: skip
        return cost

    def realisation(self, plan: Plan) -> str:
        return "first spike"
