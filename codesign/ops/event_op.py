"""What operations share that take address events: their work is proportional to the spikes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from codesign.ir import Value
from codesign.ir.plan import Events, Form, Plan
from codesign.ops.circuit import CircuitOp, divisors
from codesign.ops.expected import Expected
from codesign.spikes.arrivals import Arrivals

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

#: Frames that a simulation of the usual spikes may take.
MOST_FRAMES = 64
#: Spikes scanned a cycle at most: finding the next one is a carry chain of so many bits.
WIDEST_SCAN = 32


@dataclass(frozen=True, eq=False)
class EventOp(CircuitOp):
    """An operation on the spikes (steps, ...) of its only input, each of which comes as an address
    and costs cycles, a silent one none. ``expected``: the spikes it is planned for."""

    expected: Expected

    data_dependent: ClassVar[bool] = True
    takes_events: ClassVar[bool] = True
    by_events: ClassVar[bool] = True
    #: Whether what it makes are events as well; then :meth:`passes` says which.
    gives_events: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.expected, Expected):  # as read from a file
            raise ValueError(f"the spikes expected are no list for the steps: {self.expected!r}")

    @abstractmethod
    def component(self, x: Value, plan: Plan) -> Any:
        """What takes the events of ``x``; its ``timing`` takes their arrivals."""

    def passes(self, x: Value, came: Arrivals) -> Arrivals:
        """The events it makes of those of ``x``, in their order."""
        raise NotImplementedError

    def arrivals(self, x: Value, codes: Any, frames: int) -> Arrivals:
        codes = self.usual(x, frames) if codes is None else codes
        return Arrivals.of(codes.reshape(codes.shape[0], x.shape[0], -1)[:frames])

    def usual(self, x: Value, frames: int) -> np.ndarray:
        """Frames of ``x`` with the expected number of spikes in each step, evenly spread: int64
        [frames, steps, elements]."""
        return np.tile(evenly_spread(self.expected, elements_of_step(x)), (frames, 1, 1))

    def lanes_in(self, plan: Plan) -> int:
        return plan.simd

    def form_in(self, plan: Plan, port: int = 0) -> Form:
        return Events(plan.levels)

    def scan_lanes(self, x: Value, work: float) -> int:
        """Spikes of ``x`` scanned a cycle, where that is to take at most an eighth of ``work``
        cycles a step: the fewest, or all that can be. Parts of a pixel, or whole ones."""
        elements, channels = elements_of_step(x), x.shape[-1]
        wide = [d for d in divisors(elements) if d <= WIDEST_SCAN]
        wide = [d for d in wide if channels % d == 0 or d % channels == 0]
        return next((d for d in wide if 8 * (elements // d) <= work), wide[-1])

    def scan_cycles(self, x: Value, plan: Plan) -> int:
        """Cycles a step takes to be scanned."""
        return elements_of_step(x) // plan.simd if plan.simd else 0

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        return self.component(ins[0], plan)  # type: ignore[no-any-return]

    def timing_of_events(self, ins: list[Value], plan: Plan, came: Arrivals) -> Any:
        return self.rtl(ins, Value("", *self.infer(*ins)), plan).timing(came)


def events_of(plan: Plan) -> str:
    """Where the events come from, for the report."""
    return f"events, {plan.simd} spikes scanned a cycle" if plan.simd else "events as they come"


def evenly_spread(expected: Expected, inputs: int) -> np.ndarray:
    """A frame int64 [steps, inputs] of so many spikes, 0 and 1."""
    spikes = np.zeros((len(expected.spikes), inputs), np.int64)
    for row, wanted in zip(spikes, expected.spikes, strict=True):
        count = min(wanted, inputs)
        row[(np.arange(count) * inputs) // max(1, count)] = 1
    return spikes


def elements_of_step(x: Value) -> int:
    """Elements of one step of ``x`` (steps, ...)."""
    return x.elements // x.shape[0]
