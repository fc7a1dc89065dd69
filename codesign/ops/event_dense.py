"""EventDense: a dense layer of synapses whose work is proportional to its spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from codesign.builddir import Cost
from codesign.errors import UnsupportedModel
from codesign.formats import Format
from codesign.formats.base import bits_for
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.area import block_rams
from codesign.ops.circuit import CircuitOp, divisors
from codesign.ops.matvec import MatVec

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


def reads_spikes(x: Value) -> bool:
    """Whether ``x`` is (steps, features) of spikes, or of their counts."""
    return len(x.shape) == 2 and x.format.lo == 0 and x.format.hi <= 255


#: Frames that a simulation of the usual spikes may take.
MOST_FRAMES = 64
#: Spikes scanned a cycle at most: finding the next one is a carry chain of so many bits.
WIDEST_SCAN = 32


@register("event_dense")
@dataclass(frozen=True, eq=False)
class EventDense(CircuitOp):
    """``matrix`` on spikes (steps, K): currents (steps, N), exactly its sums.

    The spikes of a step are scanned ``simd`` a cycle and sent on as addresses; each costs
    ``ceil(N / pe)`` cycles, a silent input none. ``expected``: spikes a step it is planned for.
    """

    matrix: MatVec
    expected: int

    data_dependent: ClassVar[bool] = True

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if not reads_spikes(x):
            raise UnsupportedModel(
                f"an event-driven layer reads spikes (steps, features), got {x.shape} "
                f"{x.format.label()}",
                hint="build this layer folded: its inputs are no spikes",
            )
        return self.matrix.infer(x)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        return self.matrix.execute(ins, *arrays)

    def macs(self) -> int:
        return self.matrix.macs()

    def frame_macs(self, ins: list[Value]) -> int:
        return self.matrix.frame_macs(ins)

    def slice(self, plan: Plan) -> int:
        """Currents handed on a cycle: as few as keep out of the way of the events expected."""
        outputs, lanes = len(self.matrix.weights), plan.pe
        groups = -(-outputs // lanes)
        fits = [d for d in divisors(outputs) if groups == 1 or lanes % d == 0]
        beats = max(8, self.expected * groups)
        return next((d for d in fits if outputs // d <= beats), fits[-1])

    def lanes_in(self, plan: Plan) -> int:
        return plan.simd

    def lanes_out(self, plan: Plan) -> int:
        return self.slice(plan)

    def stream_plans(self, ins: list[Value]) -> list[Plan]:
        """The fewest synapse lanes first; scanning takes at most an eighth of the work."""
        (x,) = ins
        outputs, inputs = self.matrix.weights.shape
        plans = []
        for lanes in divisors(outputs):
            work = max(1, self.expected) * (outputs // lanes)
            wide = [d for d in divisors(inputs) if d <= WIDEST_SCAN]
            simd = next((d for d in wide if 8 * (inputs // d) <= work), wide[-1])
            reason = f"{lanes} synapses a cycle, {self.expected} spikes a step expected"
            plans.append(Plan("event", pe=lanes, simd=simd, reason=reason))
        return plans

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        """At the expected number of spikes."""
        (x,) = ins
        outputs, inputs = self.matrix.weights.shape
        groups = -(-outputs // plan.pe)
        words = inputs // plan.simd
        sent = max(words, self.expected) + 1
        step = max(sent, self.expected * groups + 1, outputs // self.slice(plan) + 1)
        return int(x.shape[0] * step)

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        return self._scanned(ins[0], plan)

    def _scanned(self, x: Value, plan: Plan) -> Any:
        from codesign.hdl.spikes.dense import EventDense as Synapses
        from codesign.hdl.spikes.scanned import Scanned

        steps, inputs = x.shape
        levels, matrix = x.format.hi, self.matrix
        _, range_ = self.infer(x)
        synapses = Synapses(
            matrix.weights.T,
            steps=steps,
            lanes=plan.pe,
            slice=self.slice(plan),
            levels=levels,
            bias=matrix.bias,
            weight_memory=plan.memory,
            out_range=(range_.lo, range_.hi),
        )
        return Scanned(synapses, plan.simd, levels)

    def timing(self, ins: list[Value], out: Value, plan: Plan) -> Any:
        return self.timing_of(ins, plan, self._usual(ins[0]))

    def timing_of(self, ins: list[Value], plan: Plan, codes: np.ndarray) -> Any:
        return self._scanned(ins[0], plan).timing(codes)

    def _usual(self, x: Value) -> np.ndarray:
        """Frames with the expected number of spikes, evenly spread."""
        steps, inputs = x.shape
        spikes = np.zeros((MOST_FRAMES, steps, inputs), np.int64)
        count = min(self.expected, inputs)
        spikes[:, :, (np.arange(count) * inputs) // max(1, count)] = 1
        return spikes

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        weights = self.matrix.weights
        bits = bits_for(int(weights.min()), int(weights.max()))
        groups = -(-len(weights) // plan.pe)
        blocks = block_rams(weights.shape[1] * groups, plan.pe * bits)
        adders = plan.pe * out.format.bits
        lut, ff = 2 * adders + 4 * plan.simd, 2 * adders + plan.pe * bits
        return Cost(lut=lut, ff=ff, bram=blocks)

    def realisation(self, plan: Plan) -> str:
        return f"events, {plan.pe} synapses a cycle"
