"""Cycles of a planned circuit, exact, before any tool runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import Any

from codesign.errors import UsageError
from codesign.ir.plan import Dense, Plan
from codesign.plan.adapters import Adapter
from codesign.plan.dataflow import (
    Dataflow,
    ForkBlock,
    Stretch,
    form_in,
    lanes_in,
    lanes_out,
    node_plans,
)
from codesign.plan.partition import Circuit, Layer
from codesign.plan.traffic import UNSEEN, Seen, Traffic, traffic_of

#: Beats one timing run may simulate, unless four frames (two very long ones) have more.
BEATS = 1_500_000
FRAMES = 64
#: Frames of more cycles are not simulated several times over to time one layer alone.
LONG_FRAME = 20_000
#: Cycles after which whatever a beat set in motion has come to rest.
LONG_AFTER = 1 << 32


@dataclass(frozen=True)
class Cycles:
    """Clock cycles: from first input to last output beat, and between frames."""

    latency: int
    ii: int


def free_latency(circuit: Circuit, stretch: Stretch, plans: Mapping[str, Plan]) -> int:
    """Registers between the two ends of a free-running stretch, its FIFO not counted."""
    graph = circuit.graph
    return sum(
        op.rtl(graph.ins(node), graph.out(node), plan).latency
        for layer in stretch.layers
        for node, op, plan in node_plans(layer, plans[layer.name])
    )


def node_models(
    circuit: Circuit, layer: Layer, plan: Plan, seen: Seen, traffic: Traffic
) -> list[Any]:
    """Event models of a layer's components, without adapters."""
    graph, found = circuit.graph, []
    for node, op, own in node_plans(layer, plan):
        ins = graph.ins(node)
        if op.by_events:
            found.append(op.timing_of_events(ins, own, traffic[layer.source.name]))
        elif node.name in seen:
            found.append(op.timing_of(ins, own, seen[node.name]))
        else:
            found.append(op.timing(ins, graph.out(node), own))
    return found


@dataclass(frozen=True)
class Model:
    """A block in time: which stage and port stand for each of the block's ports."""

    stages: tuple[Any, ...]
    ports: Mapping[str, tuple[Any, str]]


def stretch_model(
    circuit: Circuit, stretch: Stretch, plans: Mapping[str, Plan], seen: Seen, traffic: Traffic
) -> Model:
    """The event models of a stretch, linked, its adapters first."""
    from codesign.hdl.credit import CreditTiming
    from codesign.hdl.events import link

    first = stretch.layers[0]
    if stretch.free:
        rows = [node_models(circuit, x, plans[x.name], seen, traffic) for x in stretch.layers]
        inside = [model for models in rows for model in models]
        row: list[Any] = [CreditTiming(inside, free_latency(circuit, stretch, plans))]
    else:
        row = node_models(circuit, first, plans[first.name], seen, traffic)
    for before, after in zip(row, row[1:], strict=False):
        link(before, after)
    stages, ports = list(row), {"o": (row[-1], "o")}
    for adapter, port in zip(adapters(stretch, plans), stretch.ports, strict=True):
        chain = adapter.stages(traffic.get(adapter.value.name))
        for before, after in zip(chain, chain[1:], strict=False):
            link(before, after)
        if chain:
            link(chain[-1], row[0], "o", port)
        stages += chain
        ports[port] = (chain[0], "i") if chain else (row[0], port)
    return Model(tuple(stages), ports)


def adapters(stretch: Stretch, plans: Mapping[str, Plan]) -> list[Adapter]:
    """What stands before each port of a stretch."""
    first = stretch.layers[0]
    plan = plans[first.name]
    return [
        Adapter(source, given, form_in(first, plan, port), lanes_in(first, plan, port))
        for port, source, given in zip(stretch.ports, first.sources, stretch.given, strict=True)
    ]


@dataclass(frozen=True)
class Run:
    """One simulation: when beats enter and leave, and every block's model."""

    entered: list[int]
    left: list[int]
    models: Mapping[str, Model]
    links: tuple[Any, ...]


def simulate_flow(
    circuit: Circuit,
    plans: Mapping[str, Plan],
    flow: Dataflow,
    frames: int,
    pace: Fraction = Fraction(0),
    seen: Seen = UNSEEN,
) -> Run:
    """``frames`` frames from an always-valid source, between the AXI4-Stream register slices.

    ``pace``: the source offers a frame evenly over so many cycles (0: at once). A FIFO of
    negative depth has no bound. ``seen``: the data of these very frames, where cycles depend on it.
    """
    from codesign.hdl.events import Sink, Source, link, simulate
    from codesign.hdl.timing import Fifo, Fork

    traffic = traffic_of(circuit, seen, frames)
    models: dict[str, Model] = {}
    for block in flow.blocks:
        if isinstance(block, Stretch):
            models[block.name] = stretch_model(circuit, block, plans, seen, traffic)
        elif isinstance(block, ForkBlock):
            names = [f"o{n}" for n in range(block.outputs)]
            fork = Fork(names)
            models[block.name] = Model((fork,), {n: (fork, n) for n in ("i", *names)})
        else:
            fifo = Fifo(block.depth if block.depth >= 0 else None)
            models[block.name] = Model((fifo,), {"i": (fifo, "i"), "o": (fifo, "o")})
    beats = source_beats(circuit, flow, traffic, frames)
    steady = Source(beats, beats * pace.denominator, pace.numerator * frames)
    source, sink, ends = steady, Sink(), (Fifo(2), Fifo(2))
    entry, leave = _port(models, flow.entry), _port(models, flow.exit)
    entered = link(source, ends[0])
    link(ends[0], entry[0], "o", entry[1])
    link(leave[0], ends[1], leave[1], "i")
    left = link(ends[1], sink)
    for start, end in flow.links:
        (a, out), (b, into) = _port(models, start), _port(models, end)
        link(a, b, out, into)
    stages = [stage for model in models.values() for stage in model.stages]
    simulate([source, *ends, *stages, sink])
    return Run(entered.taken.at, left.taken.at, models, flow.links)


def source_beats(circuit: Circuit, flow: Dataflow, traffic: Traffic, frames: int) -> int:
    """Beats of the circuit's input in ``frames`` frames."""
    if isinstance(flow.source_form, Dense):
        return -(-circuit.source.elements // flow.source_form.lanes) * frames
    steps = circuit.source.shape[0]
    return int(traffic[circuit.source.name].beats(steps)[:frames].sum())


def _port(models: Mapping[str, Model], end: tuple[str, str]) -> tuple[Any, str]:
    return models[end[0]].ports[end[1]]


def measure(circuit: Circuit, plans: Mapping[str, Plan], flow: Dataflow) -> Cycles:
    """The whole design between its AXI4-Stream ports.

    ``UsageError`` naming the blocks that wait for each other when a FIFO given by the user is so
    short that the design would deadlock.
    """
    beats_out = -(-circuit.target.elements // exit_lanes(circuit, plans))
    run = simulate_flow(circuit, plans, flow, 1)
    if len(run.left) < beats_out:
        raise deadlock(flow, run)
    latency = run.left[-1] - run.entered[0]
    if slow := beat_by_beat(circuit, flow):
        alone = simulate_flow(circuit, plans, flow, 2, slow)
        if len(alone.left) < beats_out * 2:
            raise deadlock(flow, alone)
    frames = frames_to_time(run)
    run = simulate_flow(circuit, plans, flow, frames)
    if len(run.left) < beats_out * frames:
        raise deadlock(flow, run)
    return Cycles(latency, ceil(interval(run.left, beats_out, frames)))


def beat_by_beat(circuit: Circuit, flow: Dataflow) -> Fraction:
    """The pace at which each input beat comes when the one before has gone as far as it can; 0
    for a design without forks, where nothing waits for another branch.

    A pipeline that stalls as a whole holds as many beats as were close together when its output
    was refused: one at this pace. So a branch that waits for another takes the fewest beats here,
    and a design whose FIFOs suffice both here and at full speed does not deadlock in between.
    """
    beats = source_beats(circuit, flow, traffic_of(circuit, UNSEEN, 1), 1)
    forks = any(isinstance(b, ForkBlock) for b in flow.blocks)
    return Fraction(beats * LONG_AFTER) if forks else Fraction(0)


def interval(left: Sequence[int], beats: int, frames: int) -> Fraction:
    """Cycles between frames of ``beats`` output beats, from half of ``frames``, the later ones.

    Without the last frame where two others are left: a window may do the end of a frame sooner
    that has none behind it, and that is not the pace of frames in a row.
    """
    ends = left[beats - 1 :: beats]
    frames = min(frames, len(ends))  # a delay keeps the last step it was given
    last = max(frames - 2, 1)
    first = max(last - frames // 2, min(1, last - 1))
    return Fraction(ends[last] - ends[first], last - first)


def frames_to_time(run: Run) -> int:
    """Frames after which a design runs steadily, fewer where simulating them takes long; from a
    run of one frame."""
    work = sum(len(m.ports["o"][0].o.valid.at) for m in run.models.values() if "o" in m.ports)
    work = max(work, run.left[-1] // 2, 1)
    return max(2 if work > BEATS // 2 else 4, min(FRAMES, BEATS // work))


def exit_lanes(circuit: Circuit, plans: Mapping[str, Plan]) -> int:
    """Lanes of the circuit's output."""
    layer = next(x for x in circuit.layers if x.target.name == circuit.target.name)
    return lanes_out(layer, plans[layer.name])


def deadlock(flow: Dataflow, run: Run) -> UsageError:
    """The error for a design whose blocks wait for each other, naming the circle."""
    waits: dict[str, list[str]] = {name: [] for name in run.models}
    for (a, out), (b, _into) in flow.links:
        stage, port = run.models[a].ports[out]
        wire = getattr(stage, port)
        if wire.waits:
            waits[a].append(b)  # a offers a beat that b does not take
        else:
            waits[b].append(a)  # b has got nothing from a
    circle = _circle(waits)
    fifos = {f.name: f.depth for f in flow.fifos}
    named = [f"{n} ({fifos[n]} places)" if n in fifos else n for n in circle]
    return UsageError(
        f"the design would deadlock: {' waits for '.join([*named, named[0]])}",
        hint="give its FIFO more places in the plan file, or leave its depth to the planner",
    )


def _circle(waits: Mapping[str, list[str]]) -> list[str]:
    """A directed circle of ``waits``, preferably the first one found from any block."""
    for start in waits:
        path: list[str] = []
        seen: set[str] = set()

        def walk(name: str, path: list[str] = path, seen: set[str] = seen) -> list[str] | None:
            if name in path:
                return path[path.index(name) :]
            if name in seen:
                return None
            seen.add(name)
            path.append(name)
            for after in waits[name]:
                found = walk(after)
                if found:
                    return found
            path.pop()
            return None

        found = walk(start)
        if found:
            return list(found)
    return list(waits)[:1]


def layer_cycles(circuit: Circuit, layer: Layer, plan: Plan) -> Cycles:
    """One layer alone, fed at full speed on every port with beats as wide as it takes."""
    from codesign.hdl.events import Sink, Source, link, simulate

    lanes = {port: lanes_in(layer, plan, port) for port in layer.ports}
    alone = replace(circuit, layers=(layer,))

    def run(frames: int) -> tuple[list[int], int]:
        given = tuple(Dense(n) if n else form_in(layer, plan) for n in lanes.values())
        stretch = Stretch((layer,), False, given)
        traffic = traffic_of(alone, UNSEEN, frames)
        model = stretch_model(circuit, stretch, {layer.name: plan}, UNSEEN, traffic)
        sources = []
        for port, value in zip(layer.ports, layer.sources, strict=True):
            beats = -(-value.elements // lanes[port]) * frames if lanes[port] else 0
            source = Source(beats or int(traffic[value.name].beats(value.shape[0]).sum()))
            stage, name = model.ports[port]
            sources.append(source)
            link(source, stage, "o", name)
        sink = Sink()
        last = link(model.ports["o"][0], sink)
        simulate([*sources, *model.stages, sink])
        return last.taken.at, sources[0].o.taken.at[0]

    ends, begin = run(1)
    beats, latency = len(ends), ends[-1] - begin
    if ends[-1] > LONG_FRAME:
        return Cycles(latency, layer.head.cycles(circuit.graph.ins(layer.nodes[0]), plan))
    frames = max(3, min(FRAMES, BEATS // max(ends[-1], 1) // 4))
    times, _ = run(frames)
    return Cycles(latency, ceil(interval(times, beats, frames)))
