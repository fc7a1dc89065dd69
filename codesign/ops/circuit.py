"""What turns an operation into hardware."""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from codesign.builddir import Cost
from codesign.ir import Op, Value
from codesign.ir.plan import Plan

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


@lru_cache(maxsize=256)
def _component(op: CircuitOp, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
    return op.build(ins, out, plan)


class CircuitOp(Op):
    """An operation on integer codes that exists as a streaming component.

    The component takes beats of ``lanes_in(plan)`` codes and yields beats of ``lanes_out(plan)``.
    """

    def lanes_in(self, plan: Plan) -> int:
        """Codes per input beat."""
        return plan.simd

    def lanes_out(self, plan: Plan) -> int:
        """Codes per output beat."""
        return plan.pe

    def macs(self) -> int:
        """Multiply-accumulates per frame."""
        return 0

    @abstractmethod
    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        """A new Amaranth component; :mod:`codesign.hdl` is imported lazily."""

    def rtl(self, ins: list[Value], out: Value, plan: Plan) -> Any:
        """The component, built once: estimates, timing and emission all read the same one."""
        return _component(self, tuple(ins), out, plan)

    def timing(self, ins: list[Value], out: Value, plan: Plan) -> Any:
        """A fresh event model (:mod:`codesign.hdl.timing`) of the component's handshakes."""
        return self.rtl(ins, out, plan).timing()

    def stream_plan(self, lanes: int) -> Plan:
        """The plan of an operation without multipliers that takes ``lanes`` codes a beat."""
        return Plan("stream", pe=lanes, simd=lanes)

    @abstractmethod
    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        """Estimated resources on a LUT4 family, before any tool runs."""

    def realisation(self, plan: Plan) -> str:
        """How the operation is realised, for the report."""
        return ""
