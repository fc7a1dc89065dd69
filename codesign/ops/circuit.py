"""What turns an operation into hardware."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from codesign.builddir import Cost
from codesign.ir import Op, Value
from codesign.ir.plan import Plan

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


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
    def rtl(self, ins: list[Value], out: Value, plan: Plan) -> Component:
        """The Amaranth component; :mod:`codesign.hdl` is imported lazily."""

    @abstractmethod
    def timing(self, ins: list[Value], out: Value, plan: Plan) -> Any:
        """The event model (:mod:`codesign.hdl.timing`) of that component's handshakes."""

    @abstractmethod
    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        """Estimated resources on a LUT4 family, before any tool runs."""

    def realisation(self, plan: Plan) -> str:
        """How the operation is realised, for the report."""
        return ""
