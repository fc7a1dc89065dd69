"""Lanes of a layer without multipliers."""

from __future__ import annotations

from dataclasses import replace

from codesign.ir.plan import Plan
from codesign.plan.dataflow import adapter_ii
from codesign.plan.partition import Circuit, Layer


def plan_stream(
    circuit: Circuit,
    layer: Layer,
    cycles: int,
    width: int | None,
    steps: int = 1,
    levels: int = 0,
) -> Plan:
    """The lanes its producer has where they meet ``cycles`` a frame, else the fewest that do.

    Where none is fast enough the widest is taken: the layer then decides the interval. Of a loop
    of ``steps`` no beat holds more than one step. ``levels``: of the events that come, 0 where the
    input travels whole.
    """
    op, ins = layer.head, circuit.graph.ins(layer.nodes[0])
    options = op.stream_plans(ins)
    if levels and op.takes_events:
        options = [replace(plan, simd=0, levels=levels) for plan in options]
    least = min(value.elements for value in (*ins, layer.target)) // steps
    if steps > 1:
        options = [p for p in options if max(op.lanes_in(p), op.lanes_out(p)) <= least]
    fast = [plan for plan in options if op.cycles(ins, plan) <= cycles]
    if width is None:
        return fast[0] if fast else options[-1]
    elements = layer.source.elements
    smooth = [p for p in fast if adapter_ii(elements, width, op.lanes_in(p)) <= cycles]
    if op.costly:  # an adapter costs less than lanes or multipliers that are not needed
        smooth = [p for p in smooth if p.pe * p.simd == smooth[0].pe * smooth[0].simd]
    same = [p for p in smooth if op.lanes_in(p) == width]
    return (same or smooth or fast or options[-1:])[0]
