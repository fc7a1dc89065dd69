"""The multiplying part of dense layers and convolutions: a constant matrix over many vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.ir.plan import Plan
from codesign.ops.area import FoldedShape, adapter_cost, folded_cost, loading_cost, weight_bits
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

    from codesign.formats import Format
    from codesign.ops.weight_range import LoadableWeights


@dataclass(frozen=True, eq=False)
class Engine:
    """``weights`` int64 [N, K] and ``bias`` int64 [N] applied to ``vectors`` vectors a frame.

    ``sets``: groups, each with N / sets rows and K inputs of its own. ``side``: channels that
    travel side by side (depthwise), else 1. ``given``: codes a beat brings, of one vector's part
    for one group; a width adapter makes ``plan.simd * side`` of it. ``loadable``: weights that
    may be replaced (folded style only).
    """

    weights: np.ndarray
    bias: np.ndarray
    source: Format
    target: Format
    vectors: int
    given: int
    sets: int = 1
    side: int = 1
    loadable: LoadableWeights | None = None

    def folds(self, plan: Plan) -> tuple[int, int]:
        """(row folds, column folds) of one vector, all groups counted."""
        n, k = self.weights.shape
        return self.sets * -(-(n // self.sets) // plan.pe), -(-k // plan.simd)

    def cycles(self, plan: Plan) -> int:
        """Cycles per frame of the multipliers."""
        steps = self.vectors // plan.pixels
        if plan.style == "unrolled":
            return steps
        rows, columns = self.folds(plan)
        return steps * rows * columns

    def build(self, plan: Plan) -> dict[str, Component]:
        """Named components in a row; with ``plan.pixels`` each handles so many vectors at once.

        ``ValueError`` when the folding does not divide what it must.
        """
        if self.vectors % plan.pixels:
            raise ValueError(f"pixels must divide the {self.vectors} vectors, got {plan.pixels}")
        if plan.pixels == 1:
            return self._row(plan)
        from codesign.hdl.lockstep import Lockstep
        from codesign.hdl.series import Series

        rows: list[dict[str, Component]] = []
        for _ in range(plan.pixels):
            rows.append(self._row(plan, rows[0]["matvec"] if rows else None))
        parts = [Series(row) if len(row) > 1 else row["matvec"] for row in rows]
        return {"pixels": Lockstep(parts)}

    def _row(self, plan: Plan, twin: Component | None = None) -> dict[str, Component]:
        from codesign.hdl.width_adapter import width_adapter

        n, k = self.weights.shape
        lo, hi = self.source.lo, self.source.hi
        parts: dict[str, Component] = {}
        wanted = k * self.side if plan.style == "unrolled" else plan.simd * self.side
        if self.given != wanted:
            parts["gather"] = width_adapter(lo, hi, k * self.side, self.given, wanted)
        parts["matvec"] = self._matvec(plan, twin)
        if plan.pixels > 1 and plan.style != "unrolled" and plan.pe != n:
            acc, elements = self.target, n * (self.vectors // plan.pixels)
            parts["collect"] = width_adapter(acc.lo, acc.hi, elements, plan.pe, n)
        return parts

    def _matvec(self, plan: Plan, twin: Component | None) -> Component:
        bias = self.bias if self.bias.any() else None
        common = {
            "in_lo": self.source.lo,
            "in_hi": self.source.hi,
            "bias": bias,
            "vectors": self.vectors // plan.pixels,
            "acc_range": (self.target.lo, self.target.hi),
        }
        if plan.style == "unrolled":
            if self.loadable is not None:
                raise ValueError("an unrolled layer has its weights wired in: none can be loaded")
            from codesign.hdl.unrolled import UnrolledMatVec

            return UnrolledMatVec(self.weights, depth=plan.depth, twin=twin, **common)  # type: ignore[arg-type]
        from codesign.hdl.matvec import MatVec

        return MatVec(
            self.weights,
            pe=plan.pe,
            simd=plan.simd,
            sets=self.sets,
            side=self.side,
            multiplier=plan.multiplier,
            weight_memory=plan.memory,
            max_stages=plan.max_stages,
            loadable=self._span(),
            **common,  # type: ignore[arg-type]
        )

    def _span(self) -> tuple[int, int] | None:
        return None if self.loadable is None else (self.loadable.lo, self.loadable.hi)

    def cost(self, plan: Plan, built: Component | None = None) -> Cost:
        """Estimated resources, all pixels. ``built``: the component, where it is unrolled."""
        n, k = self.weights.shape
        if plan.style == "unrolled":
            graph = _unrolled(built)
            one = Cost(lut=graph.luts, ff=graph.ffs)
            wanted = k * self.side
        else:
            shape = self._shape(plan)
            one = folded_cost(shape)
            if self.loadable is not None:
                one = one + loading_cost(shape)
            wanted = plan.simd * self.side
        one = one + adapter_cost(self.source.bits, self.given, wanted)
        if plan.pixels > 1 and plan.style != "unrolled":
            one = one + adapter_cost(self.target.bits, plan.pe, n)
        total = Cost()
        for _ in range(plan.pixels):
            total = total + one
        return total

    def _shape(self, plan: Plan) -> FoldedShape:
        from codesign.hdl.memories import style_for
        from codesign.hdl.multiplier import recode

        rows, columns = self.folds(plan)
        span = self._span()
        known = self.weights if span is None else np.arange(span[0], span[1] + 1)
        recoding = recode(known, plan.multiplier)
        width = plan.pe * plan.simd * recoding.width
        return FoldedShape(
            plan.pe,
            plan.simd,
            rows // self.sets,
            columns * self.sets,
            self.source.bits,
            weight_bits(known),
            self.target.bits,
            len(recoding.planes),
            recoding.width,
            plan.multiplier == "dsp",
            style_for(rows * columns, width, plan.memory) == "block",
        )


def _unrolled(component: Any) -> Any:
    """The shift-add component inside ``component``."""
    while not hasattr(component, "luts"):
        parts = component.parts
        component = parts.get("matvec") or parts.get("pixels") or parts.get("pixel0")
    return component
