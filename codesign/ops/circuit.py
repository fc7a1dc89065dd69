"""What turns an operation into hardware."""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from math import gcd, prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from codesign.ir import Op, Value
from codesign.ir.plan import Dense, Form, Plan
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

    from codesign.spikes.arrivals import Arrivals


def divisors(n: int) -> list[int]:
    """All divisors of ``n``, ascending."""
    small = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]
    return small + [n // d for d in reversed(small) if d * d != n]


@lru_cache(maxsize=256)
def _component(op: CircuitOp, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
    return op.build(ins, out, plan)


class CircuitOp(Op):
    """An operation on integer codes that exists as a streaming component.

    The component takes beats of ``lanes_in(plan)`` codes and yields beats of ``lanes_out(plan)``.
    """

    #: Whether lanes cost so much that the fewest are best, whatever the producer's are.
    costly: ClassVar[bool] = False
    #: Whether it slides a window over its input, which it then takes in bursts.
    slides: ClassVar[bool] = False
    #: Whether it takes and gives a beat each cycle and holds nothing back where it is unrolled.
    flows_unrolled: ClassVar[bool] = False
    #: Whether its cycles depend on what it reads; then :meth:`timing_of` says how.
    data_dependent: ClassVar[bool] = False
    #: Whether its input can come as address events: :meth:`arrivals`, and plans of ``simd`` 0.
    takes_events: ClassVar[bool] = False
    #: Whether these alone decide its cycles; then :meth:`timing_of_events` says what they cost.
    by_events: ClassVar[bool] = False

    def lanes_in(self, plan: Plan) -> int:
        """Codes per input beat."""
        return plan.simd

    def port_lanes(self, plan: Plan, port: int) -> int:
        """Codes per beat of input ``port``; ports alike unless an operation says otherwise."""
        return self.lanes_in(plan)

    def lanes_out(self, plan: Plan) -> int:
        """Codes per output beat."""
        return plan.pe

    def form_in(self, plan: Plan, port: int = 0) -> Form:
        """How what ``port`` takes travels."""
        return Dense(self.port_lanes(plan, port))

    def form_out(self, plan: Plan) -> Form:
        """How its output travels."""
        return Dense(self.lanes_out(plan))

    def macs(self) -> int:
        """Multiply-accumulates per frame."""
        return 0

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        """Cycles a frame takes in steady state when nothing around it waits."""
        out, _ = self.infer(*ins)
        sizes = [-(-value.elements // self.lanes_in(plan)) for value in ins]
        return max(*sizes, -(-prod(out) // self.lanes_out(plan)))

    def lane_options(self, ins: list[Value]) -> list[int]:
        """Lanes an operation without multipliers may work with, ascending.

        A frame that is one vector may be cut anywhere; else a beat holds an equal part of a
        pixel or whole pixels, so that padding stays at the frame's end.
        """
        out, _ = self.infer(*ins)
        shapes = [value.shape for value in ins] + [out]
        if all(len(shape) <= 1 for shape in shapes):
            return list(range(1, max(prod(shape) for shape in shapes) + 1))
        channels = gcd(*(shape[-1] for shape in shapes))
        pixels = gcd(*(prod(shape[:-1]) for shape in shapes))
        same = len({shape[-1] for shape in shapes}) == 1
        wide = [channels * m for m in divisors(pixels)[1:]] if same else []
        return divisors(channels) + wide

    def frame_macs(self, ins: list[Value]) -> int:
        """Multiply-accumulates of a whole frame."""
        return self.macs()

    @abstractmethod
    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        """A new Amaranth component; :mod:`codesign.hdl` is imported lazily."""

    def rtl(self, ins: list[Value], out: Value, plan: Plan) -> Any:
        """The component, built once: estimates, timing and emission all read the same one."""
        return _component(self, tuple(ins), out, plan)

    def timing(self, ins: list[Value], out: Value, plan: Plan) -> Any:
        """A fresh event model (:mod:`codesign.hdl.timing`) of the component's handshakes."""
        return self.rtl(ins, out, plan).timing()

    def timing_of(self, ins: list[Value], plan: Plan, codes: np.ndarray) -> Any:
        """The event model for frames of ``codes``, int64 [frames, ...]."""
        return self.timing(ins, Value("", *self.infer(*ins)), plan)

    def timing_of_events(self, ins: list[Value], plan: Plan, came: Arrivals) -> Any:
        """The event model for these events, of an operation that takes events."""
        raise NotImplementedError

    def arrivals(self, x: Value, codes: Any, frames: int) -> Arrivals:
        """The events of the first ``frames`` frames of ``codes`` (what :meth:`timing_of` takes; of
        None: the spikes it is planned for) of its input ``x``, of an operation that takes events.
        """
        raise NotImplementedError

    def stream_plan(self, lanes: int) -> Plan:
        """The plan of an operation without multipliers that takes ``lanes`` codes a beat."""
        return Plan("stream", pe=lanes, simd=lanes)

    def stream_plans(self, ins: list[Value]) -> list[Plan]:
        """The plans of an operation without weights, the cheapest first."""
        return [self.stream_plan(lanes) for lanes in self.lane_options(ins)]

    @abstractmethod
    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        """Estimated resources on a LUT4 family, before any tool runs."""

    def realisation(self, plan: Plan) -> str:
        """How the operation is realised, for the report."""
        return ""
