"""EventDense: a dense layer of synapses whose work is proportional to its spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codesign.formats.base import bits_for
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.area import event_sums_cost, weight_table_cost
from codesign.ops.circuit import divisors
from codesign.ops.event_layer import EventLayer
from codesign.ops.matvec import MatVec
from codesign.schema import Cost


def reads_spikes(x: Value) -> bool:
    """Whether ``x`` is (steps, features) of spikes, or of their counts."""
    return len(x.shape) == 2 and x.format.lo == 0 and x.format.hi <= 255


@register("event_dense")
@dataclass(frozen=True, eq=False)
class EventDense(EventLayer):
    """The matrix ``layer`` on spikes (steps, K): currents (steps, N), exactly its sums. A spike
    costs ``ceil(N / pe)`` cycles."""

    layer: MatVec

    def reads(self, x: Value) -> bool:
        return reads_spikes(x)

    def slots(self, lanes: int) -> int:
        return -(-len(self.layer.weights) // lanes)

    def lane_choices(self) -> list[int]:
        return divisors(len(self.layer.weights))

    def lanes_out(self, plan: Plan) -> int:
        """Currents handed on a cycle: as few as keep out of the way of the events expected, so that
        a frame's steps take at most an eighth more than with eight beats each."""
        outputs, lanes = len(self.layer.weights), plan.pe
        groups = self.slots(lanes)
        fits = [d for d in divisors(outputs) if groups == 1 or lanes % d == 0]
        work = [spikes * groups for spikes in self.expected.spikes]
        most = 9 * sum(max(8, cycles) for cycles in work)
        return next(
            (d for d in fits if 8 * sum(max(outputs // d, c) for c in work) <= most), fits[-1]
        )

    def component(self, x: Value, plan: Plan) -> Any:
        from codesign.hdl.spikes.dense import EventDense as Synapses

        _, range_ = self.infer(x)
        return Synapses(
            self.layer.weights.T,
            steps=x.shape[0],
            lanes=plan.pe,
            slice=self.lanes_out(plan),
            levels=plan.levels,
            most=x.format.hi,
            bias=self.layer.bias,
            weight_memory=plan.memory,
            out_range=(range_.lo, range_.hi),
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        weights = self.layer.weights
        bits = bits_for(int(weights.min()), int(weights.max()))
        words, width = weights.shape[1] * self.slots(plan.pe), plan.pe * bits
        sums = event_sums_cost(len(weights), plan.pe, self.lanes_out(plan), out.format.bits)
        return sums + weight_table_cost(words, width)
