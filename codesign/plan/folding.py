"""Folding planner: PE and SIMD of every layer, from a board and a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from codesign.builddir import BoardInfo, Cost
from codesign.errors import OverBudget, UsageError
from codesign.ir import Value
from codesign.ir.plan import Plan
from codesign.ops.area import adapter_cost, fifo_cost
from codesign.ops.circuit import CircuitOp
from codesign.ops.matvec import MatVec
from codesign.ops.requant import Requant
from codesign.plan.dataflow import adapter_ii, dataflow, lanes_in, lanes_out, value_lanes
from codesign.plan.lanes import plan_stream
from codesign.plan.partition import Circuit, Layer
from codesign.plan.planfile import LayerChoice, PlanFile

#: Share of a board's LUTs the planner fills on its own account; above it routing gets hard.
COMFORTABLE = 0.7
#: A LUT multiplier dearer than this goes to a DSP block while there are some.
DSP_FROM_LUTS = 40


@dataclass(frozen=True)
class Goal:
    """What to plan for. ``ii``: cycles per frame that no layer may exceed (kind ``ii``)."""

    kind: Literal["ii", "smallest", "unrolled", "fastest"]
    ii: int = 1
    origin: str = ""

    def describe(self) -> str:
        """One phrase for the report."""
        text = {
            "ii": f"at most {self.ii} cycles a frame",
            "smallest": "smallest design",
            "unrolled": "fully unrolled, one frame a cycle",
            "fastest": f"fastest folding in {COMFORTABLE:.0%} of the board",
        }[self.kind]
        return f"{text} ({self.origin})" if self.origin else text


def plan_design(
    circuit: Circuit, goal: Goal, board: BoardInfo, choices: PlanFile | None = None
) -> dict[str, Plan]:
    """A :class:`Plan` per layer name. ``OverBudget`` when the result does not fit ``board``."""
    choices = choices or PlanFile()
    _check_names(circuit, choices)
    if goal.kind == "fastest":
        plans = _fastest(circuit, board, choices)
    else:
        plans = _plan_for(circuit, goal, board, choices)
    _check_budget(circuit, plans, goal, board, choices)
    return plans


def unrolled_layers(circuit: Circuit, goal: Goal, choices: PlanFile) -> list[str]:
    """Names of the layers that will be unrolled."""
    matrices = [layer.name for layer in circuit.layers if isinstance(layer.head, MatVec)]
    return [name for name in matrices if _style(name, goal, choices) == "unrolled"]


def _style(name: str, goal: Goal, choices: PlanFile) -> str:
    given = choices.layers.get(name, LayerChoice()).style
    return given or ("unrolled" if goal.kind == "unrolled" else "folded")


def total_cost(
    circuit: Circuit, plans: dict[str, Plan], depths: Mapping[str, int] | None = None
) -> Cost:
    """Estimated resources of the whole design, with FIFOs of ``depths``."""
    total, lanes = Cost(), value_lanes(circuit, plans)
    for layer in circuit.layers:
        given = [lanes[source.name] for source in layer.sources]
        total = total + layer_cost(circuit, layer, plans[layer.name], given)
    for fifo in dataflow(circuit, plans, depths).fifos if depths else ():
        total = total + fifo_cost(fifo.bits // fifo.depth, fifo.depth)
    return total


def layer_cost(circuit: Circuit, layer: Layer, plan: Plan, from_lanes: Sequence[int]) -> Cost:
    """Estimated resources of one layer with its width adapters."""
    wanted, total = lanes_in(layer, plan), Cost()
    for source, given in zip(layer.sources, from_lanes, strict=True):
        total = total + adapter_cost(source.format.bits, given, wanted)
    for node in layer.nodes:
        assert isinstance(node.op, CircuitOp)
        total = total + node.op.cost(circuit.graph.ins(node), circuit.graph.out(node), plan)
    return total


def _plan_for(circuit: Circuit, goal: Goal, board: BoardInfo, choices: PlanFile) -> dict[str, Plan]:
    plans: dict[str, Plan] = {}
    lanes: dict[str, int] = {}
    dsps = board.capacity.dsp
    for layer in circuit.layers:
        choice = choices.layers.get(layer.name, LayerChoice())
        width = lanes.get(layer.source.name)
        if isinstance(layer.head, MatVec):
            style = _style(layer.name, goal, choices)
            plan = _plan_matvec(layer, goal, width, choice, dsps, style)
            dsps -= plan.pe * plan.simd if plan.multiplier == "dsp" else 0
        else:
            plan = plan_stream(circuit, layer, _cycles(layer, goal), width)
        plans[layer.name] = plan
        lanes.setdefault(layer.source.name, lanes_in(layer, plan))
        lanes[layer.target.name] = lanes_out(layer, plan)
    return plans


def _cycles(layer: Layer, goal: Goal) -> int:
    """Cycles a frame may take in a layer without multipliers."""
    if goal.kind == "unrolled":
        return 1
    return layer.source.elements if goal.kind == "smallest" else goal.ii


def _plan_matvec(
    layer: Layer, goal: Goal, width: int | None, choice: LayerChoice, dsps: int, style: str
) -> Plan:
    op = layer.head
    assert isinstance(op, MatVec)
    n, k = op.weights.shape
    if style == "unrolled":
        reason = "unrolled: every weight is its own shift-add, one frame a cycle"
        return Plan("unrolled", n, k, depth=choice.depth, reason=reason)
    if (choice.pe or 1) > n or (choice.simd or 1) > k:
        raise UsageError(
            f"pe {choice.pe}, simd {choice.simd} exceed the {n} x {k} weight matrix",
            where=f"[layers.{layer.name}]",
        )
    target = goal.ii if goal.kind == "ii" else n * k
    options = _foldings(n, k, target, choice, width, layer.source.elements)
    pe, simd = min(options, key=lambda o: (o[0] * o[1], _mismatch(width, o[1]), abs(o[0] - o[1])))
    cycles = -(-n // pe) * -(-k // simd)
    multiplier = choice.multiplier or _multiplier(op, layer, pe * simd, dsps)
    reason = f"{pe} x {simd} multipliers are the fewest that finish in {target} cycles ({cycles})"
    if goal.kind == "smallest":
        reason = f"one multiplier, {cycles} cycles"
    if choice.pe or choice.simd:
        reason = f"folding given in the plan file ({cycles} cycles)"
    plan = Plan("folded", pe, simd, multiplier, choice.memory or "auto", reason=reason)
    return replace(plan, max_stages=7 - _requant_latency(layer, plan))


def _requant_latency(layer: Layer, plan: Plan) -> int:
    """Registers of the layer's requantizer; one is kept free where there is none."""
    for node in layer.nodes[1:]:
        if isinstance(node.op, Requant):
            accumulator = Value(node.inputs[0], (layer.target.shape[-1],), layer.target.format)
            return node.op.latency([accumulator], plan)
    return 1


def _foldings(
    n: int, k: int, target: int, choice: LayerChoice, width: int | None, elements: int
) -> list[tuple[int, int]]:
    """(pe, simd) pairs within ``target`` cycles; only the least of each fold count."""
    rows = [choice.pe] if choice.pe else sorted({-(-n // f) for f in range(1, n + 1)})
    pairs = []
    for pe in rows:
        folds = -(-n // pe)
        most = max(1, target // folds)
        simds = [choice.simd] if choice.simd else _simds(k, most)
        pairs += [(pe, simd) for simd in simds if choice.pe or folds * -(-k // simd) <= target]
    inside = [p for p in pairs if width is None or adapter_ii(elements, width, p[1]) <= target]
    return inside or pairs or [(choice.pe or n, choice.simd or k)]


def _simds(k: int, most: int) -> Iterator[int]:
    """The least SIMD within ``most`` column folds, and larger ones that divide K."""
    least = -(-k // min(most, k))
    yield least
    yield from (s for s in range(least + 1, min(k, 2 * least) + 1) if k % s == 0)


def _mismatch(width: int | None, simd: int) -> int:
    """0 for equal widths, 1 where one divides the other, 2 for a two-step adapter."""
    if width is None or width == simd:
        return 0
    return 1 if width % simd == 0 or simd % width == 0 else 2


def _multiplier(op: MatVec, layer: Layer, count: int, dsps: int) -> Literal["lut", "dsp"]:
    from codesign.ops.area import lut_multiplier, weight_bits

    dear = lut_multiplier(weight_bits(op.weights), layer.source.format.bits) > DSP_FROM_LUTS
    return "dsp" if dear and count <= dsps else "lut"


def _fastest(circuit: Circuit, board: BoardInfo, choices: PlanFile) -> dict[str, Plan]:
    """Halve the multipliers from one-cycle folding until the design fits comfortably."""
    macs = max(layer.head.macs() for layer in circuit.layers)
    ii = 1
    while True:
        plans = _plan_for(circuit, Goal("ii", ii), board, choices)
        if _fits(total_cost(circuit, plans), board, COMFORTABLE) or ii >= macs:
            return plans
        ii *= 2


def _fits(cost: Cost, board: BoardInfo, share: float) -> bool:
    room = board.capacity
    return (
        cost.lut <= share * room.lut
        and cost.ff <= share * room.ff
        and cost.dsp <= room.dsp
        and cost.bram <= room.bram
    )


def _check_names(circuit: Circuit, choices: PlanFile) -> None:
    known = [layer.name for layer in circuit.layers]
    for name in choices.layers:
        if name not in known:
            raise UsageError(f"no layer '{name}' in this model; layers: {', '.join(known)}")


def _check_budget(
    circuit: Circuit, plans: dict[str, Plan], goal: Goal, board: BoardInfo, choices: PlanFile
) -> None:
    cost = total_cost(circuit, plans)
    if _fits(cost, board, 1.0):
        return
    room = board.capacity
    over = [
        f"{name.upper()} {have} of {limit} ({have / max(limit, 1):.0%})"
        for name, have, limit in (
            ("lut", cost.lut, room.lut),
            ("ff", cost.ff, room.ff),
            ("dsp", cost.dsp, room.dsp),
            ("bram", cost.bram, room.bram),
        )
        if have > limit
    ]
    raise OverBudget(
        f"the design ({goal.describe()}) needs {', '.join(over)}",
        where=f"board {board.name}",
        hint=_what_fits(circuit, board),
    )


def _what_fits(circuit: Circuit, board: BoardInfo) -> str:
    try:
        plans = _fastest(circuit, board, PlanFile())
    except ValueError:
        return "choose a larger board"
    if not _fits(total_cost(circuit, plans), board, 1.0):
        return "no folding of this model fits; choose a larger board"
    worst = max(
        layer.head.folds(plans[layer.name])[0] * layer.head.folds(plans[layer.name])[1]
        for layer in circuit.layers
        if isinstance(layer.head, MatVec)
    )
    return f"--target-ii {worst} fits this board"


__all__ = ["Goal", "layer_cost", "plan_design", "total_cost"]
