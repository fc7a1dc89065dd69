"""What event-driven layers share: synapses whose work is proportional to their spikes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import prod

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format
from codesign.ir import Value
from codesign.ir.plan import Plan
from codesign.ops.event_op import EventOp, events_of
from codesign.ops.weighted import Weighted


@dataclass(frozen=True, eq=False)
class EventLayer(EventOp):
    """``layer`` on spikes (steps, ...): currents (steps, ...), exactly its sums. A spike costs
    the cycles that :meth:`slots` tells."""

    layer: Weighted

    @abstractmethod
    def reads(self, x: Value) -> bool:
        """Whether ``x`` is a value of spikes that this layer can take as events."""

    @abstractmethod
    def slots(self, lanes: int) -> int:
        """Cycles of an event, with ``lanes`` synapses a cycle (far from any border)."""

    @abstractmethod
    def lane_choices(self) -> list[int]:
        """Synapses a cycle, ascending."""

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

    def stream_plans(self, ins: list[Value]) -> list[Plan]:
        """The fewest synapse lanes first; scanning takes at most an eighth of the work."""
        (x,), plans = ins, []
        for lanes in self.lane_choices():
            simd = self.scan_lanes(x, max(1, self.expected.mean) * self.slots(lanes))
            reason = f"{lanes} synapses a cycle, {self.expected.describe()}"
            plans.append(Plan("event", pe=lanes, simd=simd, levels=x.format.hi, reason=reason))
        return plans

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        """Of a frame, at the expected number of spikes in each step."""
        (x,) = ins
        out, _ = self.infer(x)
        given = prod(out[1:]) // self.lanes_out(plan)
        least, slots = max(self.scan_cycles(x, plan), given), max(1, self.slots(plan.pe))
        return sum(max(least, spikes * slots) + 1 for spikes in self.expected.spikes)

    def realisation(self, plan: Plan) -> str:
        return f"{events_of(plan)}, {plan.pe} synapses a cycle"
