"""PE, SIMD and pixels of a layer with multipliers: the fewest that meet its cycles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from codesign.errors import UsageError
from codesign.ir import Value
from codesign.ir.plan import Plan
from codesign.ops.area import lut_multiplier, weight_bits
from codesign.ops.requant import Requant
from codesign.ops.weighted import Folding, Weighted
from codesign.plan.dataflow import adapter_ii, node_plans
from codesign.plan.partition import Circuit, Layer
from codesign.plan.planfile import LayerChoice

#: A LUT multiplier dearer than this goes to a DSP block while there are some.
DSP_FROM_LUTS = 40
#: LUTs of a multiplier of very few bits, its share of the adder tree included.
LEAST_MULTIPLIER = 4.0


@dataclass(frozen=True)
class Demand:
    """What a layer is planned for: ``cycles`` a frame, lanes of the stream that feeds it (None:
    its own choice), DSP blocks left, and how to say it. ``steps``: of the loop it stands in."""

    cycles: int
    width: int | None
    dsps: int
    smallest: bool = False
    steps: int = 1


def is_engine(layer: Layer) -> bool:
    """Whether the layer multiplies by weights."""
    return isinstance(layer.head, Weighted)


def plan_engine(
    circuit: Circuit, layer: Layer, demand: Demand, choice: LayerChoice, style: str
) -> Plan:
    """The plan of a layer with multipliers. ``UsageError`` for a folding it cannot have."""
    op, (x,) = layer.head, circuit.graph.ins(layer.nodes[0])
    assert isinstance(op, Weighted)
    _check_choice(layer, choice, style)
    if style == "unrolled":
        return _unrolled(layer, x, demand, choice)
    foldings = list(_foldings(op, x, demand, choice))
    if not foldings:
        raise UsageError(
            f"pe {choice.pe}, simd {choice.simd}, pixels {choice.pixels} cannot be built for "
            f"{op.weights.shape} weights and a value of {x.shape}",
            where=f"[layers.{layer.name}]",
            hint=_hint(op, x, demand),
        )
    best = _fewest(op, x, foldings, demand, choice)
    cycles = op.cycles([x], _folded(best, choice))
    across = f" x {best.pixels} pixels" if best.pixels > 1 else ""
    size = f"{best.pe} x {best.simd}{across}"
    reason = f"{size} multipliers are the fewest that finish in {demand.cycles} cycles ({cycles})"
    if cycles > demand.cycles:
        reason = f"{size} multipliers: no folding is faster ({cycles} cycles)"
    if demand.smallest:
        reason = f"{best.multipliers} multiplier{'s' * (best.multipliers > 1)}, {cycles} cycles"
    if choice.pe or choice.simd or choice.pixels:
        reason = f"folding given in the plan file ({cycles} cycles)"
    multiplier = choice.multiplier or _multiplier(op, x, best.multipliers, demand.dsps)
    plan = replace(_folded(best, choice), multiplier=multiplier, reason=reason)
    # A requantizer that searches takes more stages than are to be shared.
    return replace(plan, max_stages=max(3, 7 - _requant_latency(circuit, layer, plan)))


def _hint(op: Weighted, x: Value, demand: Demand) -> str:
    n, k = op.matrix
    pixels = ", ".join(map(str, op.pixel_options(x, demand.steps)))
    said = f"pe must divide {n}, simd {k}, and pixels may be {pixels}"
    if demand.steps > 1:
        said += f" (a loop computes one of its {demand.steps} steps at a time)"
    return f"{said}; leave one of them out"


def _folded(folding: Folding, choice: LayerChoice) -> Plan:
    return Plan(
        "folded",
        folding.pe,
        folding.simd,
        pixels=folding.pixels,
        memory=choice.memory or "auto",
    )


def _unrolled(layer: Layer, x: Value, demand: Demand, choice: LayerChoice) -> Plan:
    op = layer.head
    assert isinstance(op, Weighted)
    n, k = op.matrix
    options = op.pixel_options(x, demand.steps)
    if choice.pixels and choice.pixels not in options:
        raise UsageError(
            f"pixels {choice.pixels} cannot be computed side by side",
            where=f"[layers.{layer.name}]",
            hint=f"pixels may be {', '.join(map(str, options))}",
        )
    reason = "unrolled: every weight is its own shift-add, one vector a cycle"
    plans = [
        Plan("unrolled", n, k, pixels=pixels, depth=choice.depth, reason=reason)
        for pixels in ([choice.pixels] if choice.pixels else options)
    ]
    fast = [plan for plan in plans if op.cycles([x], plan) <= demand.cycles]
    return (fast or plans[-1:])[0]


def _check_choice(layer: Layer, choice: LayerChoice, style: str) -> None:
    n, k = layer.head.matrix  # type: ignore[attr-defined]
    if style == "folded" and ((choice.pe or 1) > n or (choice.simd or 1) > k):
        raise UsageError(
            f"pe {choice.pe}, simd {choice.simd} exceed the {n} x {k} weight matrix",
            where=f"[layers.{layer.name}]",
        )
    other = {"folded": ("depth",), "unrolled": ("pe", "simd", "multiplier", "memory")}[style]
    given = [name for name in other if getattr(choice, name) is not None]
    if given:
        raise UsageError(
            f"{' and '.join(given)}: not of a layer that is {style}",
            where=f"[layers.{layer.name}]",
            hint="leave it out, or set the other style",
        )


def _foldings(op: Weighted, x: Value, demand: Demand, choice: LayerChoice) -> Iterator[Folding]:
    """The foldings to choose from, those of the plan file if it says."""
    n, k = op.matrix
    given = (choice.pe, choice.simd, choice.pixels)
    if op.may_pad(x):
        found = _vector_foldings(n, k, demand, choice, x.elements)
    else:
        found = op.foldings(x, demand.steps)
    for folding in found:
        own = (folding.pe, folding.simd, folding.pixels)
        if all(want in (None, have) for want, have in zip(given, own, strict=True)):
            yield folding


def _vector_foldings(
    n: int, k: int, demand: Demand, choice: LayerChoice, elements: int
) -> Iterator[Folding]:
    """A single vector may be padded: only the least of each fold count matters."""
    target = n * k if demand.smallest else demand.cycles
    for pe in [choice.pe] if choice.pe else sorted({-(-n // f) for f in range(1, n + 1)}):
        folds = -(-n // pe)
        simds = [choice.simd] if choice.simd else _simds(k, max(1, target // folds))
        for simd in simds:
            if choice.pe or folds * -(-k // simd) <= target:
                yield Folding(pe, simd)


def _simds(k: int, most: int) -> Iterator[int]:
    """The least SIMD within ``most`` column folds, and larger ones that divide K."""
    least = -(-k // min(most, k))
    yield least
    yield from (s for s in range(least + 1, min(k, 2 * least) + 1) if k % s == 0)


def _fewest(
    op: Weighted,
    x: Value,
    foldings: list[Folding],
    demand: Demand,
    choice: LayerChoice,
) -> Folding:
    """The folding with the fewest multipliers within the demand; the fastest if none is."""
    target = demand.cycles
    smooth = [f for f in foldings if _fits_stream(op, x, f, demand)]
    ordered = sorted(smooth or foldings, key=lambda f: _rank(op, x, f, demand))
    if demand.smallest:
        return ordered[0]
    for folding in ordered:
        if op.cycles([x], _folded(folding, choice)) <= target:
            return folding
    return min(ordered[-8:], key=lambda f: op.cycles([x], _folded(f, choice)))


def _rank(op: Weighted, x: Value, f: Folding, demand: Demand) -> tuple[float, ...]:
    """Least area of multipliers and window, then fewest pixels, then the width that needs no
    adapter, then square."""
    lanes = f.simd if op.direct and f.pixels == 1 else 0
    each = max(LEAST_MULTIPLIER, lut_multiplier(weight_bits(op.weights), x.format.bits))
    area = f.multipliers * each
    return (
        area + op.window_bits(x, Plan("folded", f.pe, f.simd, pixels=f.pixels)),
        f.pixels,
        _mismatch(demand.width, lanes),
        abs(f.pe - f.simd),
    )


def _fits_stream(op: Weighted, x: Value, f: Folding, demand: Demand) -> bool:
    """Whether the width adapter in front keeps up (known for a single vector beforehand)."""
    if demand.width is None or not op.direct or f.pixels > 1:
        return True
    return adapter_ii(x.elements, demand.width, f.simd) <= demand.cycles


def _mismatch(width: int | None, simd: int) -> int:
    """0 for equal widths, 1 where one divides the other, 2 for a two-step adapter."""
    if width is None or not simd or width == simd:
        return 0
    return 1 if width % simd == 0 or simd % width == 0 else 2


def _multiplier(op: Weighted, x: Value, count: int, dsps: int) -> Literal["lut", "dsp"]:
    span = op.loadable
    bits = weight_bits(op.weights if span is None else np.array([span.lo, span.hi]))
    dear = lut_multiplier(bits, x.format.bits) > DSP_FROM_LUTS
    return "dsp" if dear and count <= dsps else "lut"


def _requant_latency(circuit: Circuit, layer: Layer, plan: Plan) -> int:
    """Registers of the layer's requantizer; one is kept free where there is none."""
    for node, op, own in node_plans(layer, plan)[1:]:
        if isinstance(op, Requant):
            return op.latency(circuit.graph.ins(node), own)
    return 1
