"""What event-driven layers share: synapses whose work is proportional to their spikes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format
from codesign.ir import Value
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp, divisors
from codesign.ops.weighted import Weighted

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

#: Frames that a simulation of the usual spikes may take.
MOST_FRAMES = 64
#: Spikes scanned a cycle at most: finding the next one is a carry chain of so many bits.
WIDEST_SCAN = 32


@dataclass(frozen=True, eq=False)
class EventLayer(CircuitOp):
    """``layer`` on spikes (steps, ...): currents (steps, ...), exactly its sums.

    The spikes of a step are scanned ``simd`` a cycle and sent on as addresses; each costs cycles
    that :meth:`slots` tells, a silent input none. ``expected``: spikes a step it is planned for.
    """

    layer: Weighted
    expected: int

    data_dependent: ClassVar[bool] = True

    @abstractmethod
    def reads(self, x: Value) -> bool:
        """Whether ``x`` is a value of spikes that this layer can take as events."""

    @abstractmethod
    def slots(self, lanes: int) -> int:
        """Cycles of an event, with ``lanes`` synapses a cycle (far from any border)."""

    @abstractmethod
    def lane_choices(self) -> list[int]:
        """Synapses a cycle, ascending."""

    @abstractmethod
    def scan_choices(self, x: Value) -> list[int]:
        """Spikes scanned a cycle, ascending."""

    @abstractmethod
    def synapses(self, x: Value, plan: Plan) -> Any:
        """The component that turns events into currents (:mod:`codesign.hdl.spikes.layer`)."""

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if not self.reads(x):
            raise UnsupportedModel(
                f"an event-driven layer reads steps of spikes, got {x.shape} {x.format.label()}",
                hint="build this layer folded: its inputs are no spikes",
            )
        return self.layer.infer(x)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        return self.layer.execute(ins, *arrays)

    def macs(self) -> int:
        return self.layer.macs()

    def frame_macs(self, ins: list[Value]) -> int:
        return self.layer.frame_macs(ins)

    def lanes_in(self, plan: Plan) -> int:
        return plan.simd

    def stream_plans(self, ins: list[Value]) -> list[Plan]:
        """The fewest synapse lanes first; scanning takes at most an eighth of the work."""
        inputs, plans = elements_of_step(ins[0]), []
        for lanes in self.lane_choices():
            work = max(1, self.expected) * self.slots(lanes)
            wide = [d for d in self.scan_choices(ins[0]) if d <= WIDEST_SCAN]
            simd = next((d for d in wide if 8 * (inputs // d) <= work), wide[-1])
            reason = f"{lanes} synapses a cycle, {self.expected} spikes a step expected"
            plans.append(Plan("event", pe=lanes, simd=simd, reason=reason))
        return plans

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        """At the expected number of spikes."""
        out, _ = self.infer(*ins)
        steps = ins[0].shape[0]
        sent = max(elements_of_step(ins[0]) // plan.simd, self.expected) + 1
        work = self.expected * self.slots(plan.pe) + 1
        given = int(np.prod(out[1:])) // self.lanes_out(plan) + 1
        return int(steps * max(sent, work, given))

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        return self._scanned(ins[0], plan)

    def _scanned(self, x: Value, plan: Plan) -> Any:
        from codesign.hdl.spikes.scanned import Scanned

        return Scanned(self.synapses(x, plan), plan.simd, x.format.hi)

    def timing(self, ins: list[Value], out: Value, plan: Plan) -> Any:
        return self.timing_of(ins, plan, self._usual(ins[0]))

    def timing_of(self, ins: list[Value], plan: Plan, codes: np.ndarray) -> Any:
        return self._scanned(ins[0], plan).timing(codes)

    def _usual(self, x: Value) -> np.ndarray:
        """Frames with the expected number of spikes, evenly spread."""
        inputs = elements_of_step(x)
        spikes = np.zeros((MOST_FRAMES, x.shape[0], inputs), np.int64)
        count = min(self.expected, inputs)
        spikes[:, :, (np.arange(count) * inputs) // max(1, count)] = 1
        return spikes

    def realisation(self, plan: Plan) -> str:
        return f"events, {plan.pe} synapses a cycle"


def elements_of_step(x: Value) -> int:
    """Elements of one step of ``x`` (steps, ...)."""
    return x.elements // x.shape[0]


def scan_widths(elements: int) -> list[int]:
    """Spikes that may be scanned a cycle where a beat holds an equal part of ``elements``."""
    return [d for d in divisors(elements) if d <= WIDEST_SCAN]
