"""Folding planner: PE and SIMD of every layer, from a board and a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from codesign.errors import OverBudget, UsageError
from codesign.ir.plan import Dense, Events, Form, Plan
from codesign.manifest import BoardInfo, MissedTarget
from codesign.manifest import Layer as LayerRow
from codesign.ops.area import BUS_COST, fifo_cost
from codesign.plan.adapters import Adapter
from codesign.plan.capacity import check_capacity
from codesign.plan.dataflow import (
    data_bits,
    dataflow,
    form_in,
    form_out,
    lanes_in,
    node_plans,
    value_forms,
)
from codesign.plan.engines import Demand, is_engine, plan_engine
from codesign.plan.lanes import plan_stream
from codesign.plan.loops import loop_steps
from codesign.plan.partition import Circuit, Layer
from codesign.plan.planfile import LayerChoice, PlanFile
from codesign.schema import Cost

#: Share of a board's LUTs the planner fills on its own account; above it routing gets hard.
COMFORTABLE = 0.7


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
            "unrolled": "fully unrolled, one vector a cycle",
            "fastest": f"fastest folding in {COMFORTABLE:.0%} of the board",
        }[self.kind]
        return f"{text} ({self.origin})" if self.origin else text


def plan_design(
    circuit: Circuit,
    goal: Goal,
    board: BoardInfo,
    choices: PlanFile | None = None,
    events: bool = False,
) -> dict[str, Plan]:
    """A :class:`Plan` per layer name; with ``events`` for an input of address events.
    ``OverBudget`` when the result does not fit ``board``."""
    choices = choices or PlanFile()
    _check_names(circuit, choices)
    if events:
        check_event_input(circuit)
    check_capacity(circuit, unrolled_layers(circuit, goal, choices), board)
    if goal.kind == "fastest":
        plans = _fastest(circuit, board, choices, events)
    else:
        plans = _plan_for(circuit, goal, board, choices, events)
    _check_budget(circuit, plans, goal, board, events)
    return plans


def unrolled_layers(circuit: Circuit, goal: Goal, choices: PlanFile) -> list[str]:
    """Names of the layers that will be unrolled."""
    matrices = [layer.name for layer in circuit.layers if is_engine(layer)]
    return [name for name in matrices if _style(name, goal, choices) == "unrolled"]


def _style(name: str, goal: Goal, choices: PlanFile) -> str:
    given = choices.layers.get(name, LayerChoice()).style
    return given or ("unrolled" if goal.kind == "unrolled" else "folded")


def total_cost(
    circuit: Circuit, plans: dict[str, Plan], depths: Mapping[str, int] | None = None
) -> Cost:
    """Estimated resources of the whole design, with FIFOs of ``depths``."""
    total = sum(_costs(circuit, plans), Cost())
    for fifo in dataflow(circuit, plans, depths).fifos if depths else ():
        total = total + fifo_cost(fifo.bits // fifo.depth, fifo.depth)
    return total


def _costs(circuit: Circuit, plans: dict[str, Plan]) -> Iterator[Cost]:
    """Estimates of the design's parts, those that are largest and known soonest first."""
    forms = value_forms(circuit, plans)
    if any(getattr(layer.head, "loadable", None) is not None for layer in circuit.layers):
        yield BUS_COST
    for layer in sorted(circuit.layers, key=is_engine, reverse=True):
        given = [forms[source.name] for source in layer.sources]
        yield layer_cost(circuit, layer, plans[layer.name], given)


def layer_cost(circuit: Circuit, layer: Layer, plan: Plan, forms: Sequence[Form]) -> Cost:
    """Estimated resources of one layer with its adapters; ``forms``: of what feeds its ports."""
    total = Cost()
    for port, source, given in zip(layer.ports, layer.sources, forms, strict=True):
        wanted = form_in(layer, plan, port), lanes_in(layer, plan, port)
        total = total + Adapter(source, given, *wanted).cost()
    for node, op, own in node_plans(layer, plan):
        total = total + op.cost(circuit.graph.ins(node), circuit.graph.out(node), own)
    return total


def check_event_input(circuit: Circuit) -> None:
    """``UsageError`` where no layer takes the input as address events."""
    readers = [layer for layer, _ in circuit.readers(circuit.source)]
    if any(layer.head.takes_events for layer in readers):
        return
    first, format = readers[0], circuit.source.format
    hint = "give --activity as well: it makes layers between spikes event-driven"
    if format.lo or format.hi > 255 or len(circuit.source.shape) < 2:
        hint = "events are spikes: train on an input of 0 and 1 (or counts) at every time step"
    elif any(layer.head.takes_events for layer in circuit.layers):
        hint = "what reads the input must lead from spikes to neurons, or pool them; else leave "
        hint += "--input out: the circuit finds the events itself"
    raise UsageError(
        f"the input, {format.label()}, cannot come as events: '{first.name}' ({first.head.kind}) "
        "takes none",
        where=f"layer '{first.name}'",
        hint=hint,
    )


def _plan_for(
    circuit: Circuit, goal: Goal, board: BoardInfo, choices: PlanFile, events: bool = False
) -> dict[str, Plan]:
    plans: dict[str, Plan] = {}
    forms: dict[str, Form] = {}
    if events:
        forms[circuit.source.name] = Events(circuit.source.format.hi)
    dsps = board.capacity.dsp
    inside = loop_steps(circuit)
    for layer in circuit.layers:
        choice = choices.layers.get(layer.name, LayerChoice())
        given = forms.get(layer.source.name)
        width = given.lanes if isinstance(given, Dense) else None
        cycles = _cycles(circuit, layer, goal)
        if is_engine(layer):
            demand = Demand(cycles, width, dsps, goal.kind == "smallest", inside.get(layer.name, 1))
            plan = plan_engine(circuit, layer, demand, choice, _style(layer.name, goal, choices))
        else:
            levels = given.levels if isinstance(given, Events) else 0
            plan = plan_stream(circuit, layer, cycles, width, inside.get(layer.name, 1), levels)
            if plan.multiplier == "dsp" and plan.pe * plan.simd > dsps:
                plan = replace(plan, multiplier="lut")
        if plan.multiplier == "dsp":
            dsps -= plan.pe * plan.simd * plan.pixels
        plans[layer.name] = plan
        for port, source in zip(layer.ports, layer.sources, strict=True):
            forms.setdefault(source.name, Dense(lanes_in(layer, plan, port)))
        forms[layer.target.name] = form_out(layer, plan)
    return plans


def _cycles(circuit: Circuit, layer: Layer, goal: Goal) -> int:
    """Cycles a frame may take in one layer."""
    if goal.kind == "smallest":
        return max(layer.head.macs() * layer.target.elements, layer.source.elements)
    return _asked_ii(circuit, goal) or goal.ii


def _asked_ii(circuit: Circuit, goal: Goal) -> int | None:
    """Cycles a frame that ``goal`` promises; None where it leaves them open."""
    if goal.kind == "unrolled":  # a vector a cycle, of matrices and what slides over pixels
        return max((_vectors(layer) for layer in circuit.layers), default=1)
    return goal.ii if goal.kind == "ii" else None


def _vectors(layer: Layer) -> int:
    """Vectors of a frame that the layer cannot have side by side; 1 where lanes are free."""
    values = [layer.target] if is_engine(layer) else []
    values += [*layer.sources, layer.target] if layer.head.slides else []
    return max((v.elements // v.shape[-1] for v in values if v.shape), default=1)


def missed_target(
    circuit: Circuit, goal: Goal, rows: Sequence[LayerRow], ii: int
) -> MissedTarget | None:
    """The cycles asked for, where the design needs more: ``ii`` a frame, its layers as in ``rows``.

    Not an error: most who name a target want the nearest that can be built. But it is said.
    """
    asked = _asked_ii(circuit, goal)
    if asked is None or ii <= asked:
        return None
    slowest = max(rows, key=lambda row: row.ii)
    return MissedTarget(target_ii=asked, ii=ii, layer=slowest.name, layer_ii=slowest.ii)


def _fastest(
    circuit: Circuit, board: BoardInfo, choices: PlanFile, events: bool = False
) -> dict[str, Plan]:
    """Halve the multipliers from one-cycle folding until the design fits comfortably."""
    ii, before = 1, None
    while True:
        plans = _plan_for(circuit, Goal("ii", ii), board, choices, events)
        slowest = max(_frame_cycles(circuit, layer, plans) for layer in circuit.layers)
        if _comfortable(circuit, plans, board):
            return plans
        if plans == before and ii > slowest:
            return plans
        before, ii = plans, 2 * max(ii, slowest)


def _comfortable(circuit: Circuit, plans: dict[str, Plan], board: BoardInfo) -> bool:
    """Whether the design leaves room on the board. Estimates take long where folding is far from
    what fits, so none is made once that is plain."""
    if _widest(circuit, plans) > board.capacity.ff:
        return False
    sums = accumulate(_costs(circuit, plans), initial=Cost())
    return all(_fits(total, board, COMFORTABLE) for total in sums)


def _widest(circuit: Circuit, plans: dict[str, Plan]) -> int:
    """Bits of the widest stream between layers, which registers hold."""
    forms = ((x.target, form_out(x, plans[x.name])) for x in circuit.layers)
    return max(data_bits(value, form) for value, form in forms)


def _frame_cycles(circuit: Circuit, layer: Layer, plans: dict[str, Plan]) -> int:
    return layer.head.cycles(circuit.graph.ins(layer.nodes[0]), plans[layer.name])


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
    circuit: Circuit, plans: dict[str, Plan], goal: Goal, board: BoardInfo, events: bool
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
        hint=_what_fits(circuit, board, events),
    )


def _what_fits(circuit: Circuit, board: BoardInfo, events: bool) -> str:
    try:
        plans = _fastest(circuit, board, PlanFile(), events)
    except ValueError:
        return "choose a larger board"
    if not _fits(total_cost(circuit, plans), board, 1.0):
        return "no folding of this model fits; choose a larger board"
    worst = max(_frame_cycles(circuit, layer, plans) for layer in circuit.layers)
    return f"--target-ii {worst} fits this board"


__all__ = ["Goal", "layer_cost", "missed_target", "plan_design", "total_cost"]
