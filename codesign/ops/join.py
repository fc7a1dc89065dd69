"""Join: two streams of codes become one, in exact integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

FUNCTIONS = ("sum", "product", "min", "max")


@register("join")
@dataclass(frozen=True, eq=False)
class Join(CircuitOp):
    """An integer of two codes ``a`` and ``b`` of the same element:

    ``sum``: ``left*a + right*b``; ``product``: ``(a - left)*(b - right)``; ``min``, ``max`` of the
    two (``left``, ``right`` unused). ``scale`` (float64 each, one or one per channel) and
    ``zero_point`` say what the result stands for; a chain tabulated after it needs neither.
    """

    function: str
    left: int = 1
    right: int = 1
    scale: tuple[float, ...] = (1.0,)
    zero_point: int = 0

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise ValueError(f"unknown function {self.function!r}; known: {FUNCTIONS}")

    def evaluate(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """int64 of broadcastable int64 codes."""
        if self.function == "sum":
            return np.asarray(self.left * a + self.right * b)
        if self.function == "product":
            return np.asarray((a - self.left) * (b - self.right))
        return np.minimum(a, b) if self.function == "min" else np.maximum(a, b)

    def range(self, a: Format, b: Format) -> tuple[int, int]:
        """Least and greatest result over all codes of the two formats; both are reached."""
        corners = self.evaluate(np.array([[a.lo], [a.hi]]), np.array([[b.lo, b.hi]]))
        return int(corners.min()), int(corners.max())

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        a, b = ins
        if a.shape != b.shape:
            raise UnsupportedModel(f"a join of shapes {a.shape} and {b.shape}")
        lo, hi = self.range(a.format, b.format)
        return a.shape, ScaledInt(lo, hi, self.scale, self.zero_point)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        a, b = (np.asarray(x, dtype=np.int64) for x in arrays)
        return self.evaluate(a, b)

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.join import Join as Stream

        a, b = (v.format for v in ins)
        return Stream(
            self.function,
            self.left,
            self.right,
            ranges=[(a.lo, a.hi), (b.lo, b.hi)],
            elements=out.elements,
            lanes=plan.pe,
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        component = self.rtl(ins, out, plan)
        return Cost(lut=component.luts, ff=component.ffs, dsp=component.dsps)

    def realisation(self, plan: Plan) -> str:
        forms = {"sum": f"{self.left}*a + {self.right}*b", "product": "a*b"}
        return forms.get(self.function, f"{self.function}(a, b)")
