"""FIFO depths: the least that cost no throughput, found by timing the design.

A FIFO is needed behind a fork where one branch reaches the join later than another, and before a
sliding window whose producer has no cycle to spare. Depths are measured, not guessed: with
unbounded FIFOs and input at the pace the design reaches, the exact event model tells how many
beats wait at most; then each depth is lowered until one place less would slow the design down, or
let it deadlock when its input comes beat by beat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from codesign.errors import UsageError
from codesign.ir.plan import Plan
from codesign.plan.dataflow import Dataflow, dataflow, fifo_names
from codesign.plan.loops import loop_values
from codesign.plan.partition import Circuit
from codesign.plan.schedule import (
    FRAMES,
    LONG_FRAME,
    Cycles,
    beat_by_beat,
    deadlock,
    exit_lanes,
    frames_to_time,
    interval,
    measure,
    simulate_flow,
)

UNBOUNDED = -1
#: Cycles all trials together may simulate; then depths stay at what was seen to suffice.
EFFORT = 6_000_000
#: Frames of a trial, where the depths found are tried over many afterwards.
TRIAL_FRAMES = 6


@dataclass
class Sizer:
    """Tries depths; remembers what the design reaches with FIFOs that never fill."""

    circuit: Circuit
    plans: Mapping[str, Plan]
    frames: int = 1  # a trial simulates
    goal: Fraction = Fraction(0)  # cycles between frames that may not be exceeded
    slow: Fraction = Fraction(0)  # the pace at which the input comes beat by beat, if that matters
    effort: int = 0  # cycles simulated so far

    @property
    def beats(self) -> int:
        """Output beats of a frame."""
        return -(-self.circuit.target.elements // exit_lanes(self.circuit, self.plans))

    def trial(
        self, depths: Mapping[str, int], pace: Fraction = Fraction(0)
    ) -> tuple[Fraction | None, dict[str, int]]:
        """(cycles between frames or None at a deadlock, places each FIFO used)."""
        flow = dataflow(self.circuit, self.plans, depths)
        slow = bool(pace) and pace == self.slow
        frames = 2 if slow else self.frames
        run = simulate_flow(self.circuit, self.plans, flow, frames, pace)
        used = {f.name: run.models[f.name].stages[0].occupancy() for f in flow.fifos}
        if len(run.left) < self.beats * frames:
            return None, used
        busy = int(self.goal) * frames if slow else run.left[-1]
        self.effort += busy * len(self.circuit.layers)
        return interval(run.left, self.beats, frames), used

    def suffices(self, depths: Mapping[str, int]) -> bool:
        """Whether nothing is lost with ``depths``; said without proof of none once the effort is
        spent, so that depths stay at what is known to suffice."""
        return self.effort <= EFFORT and self.reaches(depths)

    def reaches(self, depths: Mapping[str, int]) -> bool:
        """Whether nothing is lost with ``depths``, whatever it takes to find out."""
        if self.slow and self.trial(depths, self.slow)[0] is None:
            return False
        reached, _ = self.trial(depths)
        return reached is not None and reached <= self.goal


def plan_fifos(
    circuit: Circuit, plans: Mapping[str, Plan], given: Mapping[str, int] | None = None
) -> tuple[Dataflow, Cycles]:
    """The circuit with its FIFOs, and the cycles it takes.

    Depths are found over few frames. Should many frames in a row be slower with them than the few
    were without bounds, they are found anew over as many.
    """
    _names(circuit, plans, given or {})
    slowest = _slowest(circuit, plans)
    if slowest > LONG_FRAME and not loop_values(circuit):
        flow, cycles = _without(circuit, plans, dict(given or {}))
        if cycles is not None and cycles.ii <= slowest:
            return flow, cycles  # often no FIFO is needed at all
    short, goal = fifo_depths(circuit, plans, given, TRIAL_FRAMES)
    flow = dataflow(circuit, plans, short)
    cycles = measure(circuit, plans, flow)
    if goal is None or cycles.ii <= ceil(goal):
        return flow, cycles
    depths, _ = fifo_depths(circuit, plans, given)
    if depths != short:
        flow = dataflow(circuit, plans, depths)
        cycles = measure(circuit, plans, flow)
    return flow, cycles


def _names(circuit: Circuit, plans: Mapping[str, Plan], given: Mapping[str, int]) -> list[str]:
    """The FIFOs that the design may have; ``UsageError`` for a ``given`` one that it has not."""
    names = fifo_names(circuit, plans)
    for name in given:
        if name not in names:
            known = ", ".join(names) or "none: nothing in this model branches"
            raise UsageError(f"no FIFO '{name}' in this design; FIFOs: {known}")
    return names


def _without(
    circuit: Circuit, plans: Mapping[str, Plan], given: dict[str, int]
) -> tuple[Dataflow, Cycles | None]:
    """The circuit with the FIFOs that are ``given`` only; without cycles if it hangs."""
    flow = dataflow(circuit, plans, given)
    try:
        return flow, measure(circuit, plans, flow)
    except UsageError:
        return flow, None


def fifo_depths(
    circuit: Circuit,
    plans: Mapping[str, Plan],
    given: Mapping[str, int] | None = None,
    frames: int = FRAMES,
) -> tuple[dict[str, int], Fraction | None]:
    """Places of every FIFO that needs any, by name, and the cycles between frames that they
    allow (None where there is no FIFO to plan).

    ``given`` places are kept as they are. ``frames``: at most so many are simulated in a trial.
    ``UsageError`` for a name the design does not have.
    """
    given = dict(given or {})
    names = _names(circuit, plans, given)
    free = [name for name in names if name not in given]
    if not free:
        return given, None
    unbounded = dict.fromkeys(names, UNBOUNDED)
    sizer, slowest = Sizer(circuit, plans), _slowest(circuit, plans)
    sizer.slow = beat_by_beat(circuit, dataflow(circuit, plans, unbounded))
    if slowest > LONG_FRAME and not loop_values(circuit):
        sizer.frames, sizer.goal = 3, Fraction(slowest)  # no time to find out what is known
    else:
        run = simulate_flow(circuit, plans, dataflow(circuit, plans, unbounded), 1)
        if len(run.left) < sizer.beats:
            # Only a loop can wait for itself: a given folding puts two steps into a beat.
            raise deadlock(dataflow(circuit, plans, unbounded), run)
        sizer.frames = min(frames, frames_to_time(run))
        found, _ = sizer.trial(unbounded)
        assert found is not None
        sizer.goal = found
    used = _sufficient(sizer, names)
    depths = {name: used[name] if name in free else UNBOUNDED for name in names}
    idle = {name: 0 for name in free if used[name] <= 2}
    if sizer.suffices({**depths, **idle}):  # most branches and windows need none
        depths |= idle
    for name in sorted(free, key=lambda name: -depths[name]):
        if depths[name] and sizer.suffices({**depths, name: 0}):
            depths[name] = 0
    for name in free:
        if depths[name]:
            depths[name] = _least(sizer, depths, name)
    kept = {name: given.get(name, depths[name]) for name in names if given.get(name, depths[name])}
    return kept, sizer.goal


def _sufficient(sizer: Sizer, names: list[str]) -> dict[str, int]:
    """Places of every FIFO with which nothing is lost, seen to be so.

    At the pace that the design reaches few beats wait. That is no proof for input that comes as
    fast as it is taken, when a branch may run ahead; the places used at that speed are one, for a
    FIFO that never fills changes no cycle.
    """
    unbounded = dict.fromkeys(names, UNBOUNDED)
    _, used = sizer.trial(unbounded, pace=sizer.goal)
    if sizer.slow:
        _, alone = sizer.trial(unbounded, pace=sizer.slow)
        used = {name: max(used[name], alone[name]) for name in names}
    if not sizer.reaches(used):
        reached, ahead = sizer.trial(unbounded)
        assert reached is not None  # without bounds nothing waits for a place
        sizer.goal = max(sizer.goal, reached)
        used = {name: max(used[name], ahead[name]) for name in names}
    return used


def _slowest(circuit: Circuit, plans: Mapping[str, Plan]) -> int:
    """Cycles a frame takes in the slowest layer."""
    graph = circuit.graph
    return max(x.head.cycles(graph.ins(x.nodes[0]), plans[x.name]) for x in circuit.layers)


def _least(sizer: Sizer, depths: dict[str, int], name: str) -> int:
    """The least depth of ``name`` that suffices, the others fixed; ``depths`` do suffice.

    What was seen in use is little more than what is needed: steps down double until one is too
    long, then it is halved.
    """
    high, low, step = depths[name], 0, 1  # zero is known not to suffice
    while high - low > 1:
        tried = max(high - step, low + 1) if step else (low + high) // 2
        if sizer.suffices({**depths, name: tried}):
            high, step = tried, 2 * step
        else:
            low, step = tried, 0
    return high
