"""FIFO depths of branches: the least that cost no throughput, found by timing the design.

A FIFO is needed behind a fork where one branch reaches the join later than another. Its depth is
measured, not guessed: with unbounded FIFOs the exact event model tells how many beats wait at
most; then each depth is lowered until one place less would slow the design down or stop it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codesign.errors import UsageError
from codesign.ir.plan import Plan
from codesign.plan.dataflow import dataflow, fifo_names
from codesign.plan.partition import Circuit
from codesign.plan.schedule import exit_lanes, frames_to_time, simulate_flow

UNBOUNDED = -1


@dataclass
class Sizer:
    """Tries depths; remembers what the design reaches with FIFOs that never fill."""

    circuit: Circuit
    plans: Mapping[str, Plan]
    frames: int = 1  # a trial simulates
    goal: int = 0  # cycle of the last beat that may not be exceeded

    def trial(self, depths: Mapping[str, int]) -> tuple[int | None, dict[str, int]]:
        """(cycle of the last output beat or None at a deadlock, places each FIFO used)."""
        flow = dataflow(self.circuit, self.plans, depths)
        run = simulate_flow(self.circuit, self.plans, flow, self.frames)
        beats = -(-self.circuit.target.elements // exit_lanes(self.circuit, self.plans))
        used = {f.name: run.models[f.name].stages[0].occupancy() for f in flow.fifos}
        return (run.left[-1] if len(run.left) == beats * self.frames else None), used

    def suffices(self, depths: Mapping[str, int]) -> bool:
        """Whether nothing is lost with ``depths``."""
        end, _ = self.trial(depths)
        return end is not None and end <= self.goal


def fifo_depths(
    circuit: Circuit, plans: Mapping[str, Plan], given: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Places of every FIFO that needs any, by name; ``given`` ones are kept as they are.

    ``UsageError`` for a name the design does not have.
    """
    given = dict(given or {})
    names = fifo_names(circuit, plans)
    for name in given:
        if name not in names:
            known = ", ".join(names) or "none: nothing in this model branches"
            raise UsageError(f"no FIFO '{name}' in this design; FIFOs: {known}")
    free = [name for name in names if name not in given]
    if not free:
        return given
    unbounded = dict.fromkeys(names, UNBOUNDED)
    sizer = Sizer(circuit, plans)
    sizer.frames = frames_to_time(circuit, plans, dataflow(circuit, plans, unbounded))
    end, _ = sizer.trial(unbounded)
    if end is None:
        raise AssertionError("a circuit with unbounded FIFOs cannot deadlock")
    sizer.goal = end
    depths = dict(unbounded)
    for name in free:  # most branches need none: the late ones
        if sizer.suffices({**depths, name: 0}):
            depths[name] = 0
    _, used = sizer.trial(depths)
    for name in free:
        if depths[name] == UNBOUNDED:
            depths[name] = used[name]
    for name in free:
        if depths[name]:
            depths[name] = _least(sizer, depths, name)
    return {name: given.get(name, depths[name]) for name in names if given.get(name, depths[name])}


def _least(sizer: Sizer, depths: dict[str, int], name: str) -> int:
    """The least depth of ``name`` that suffices, the others fixed; ``depths`` do suffice."""
    high = depths[name]
    if not sizer.suffices({**depths, name: high - 1}):
        return high
    low, high = 0, high - 1  # zero is known not to suffice
    while high - low > 1:
        middle = (low + high) // 2
        if sizer.suffices({**depths, name: middle}):
            high = middle
        else:
            low = middle
    return high
