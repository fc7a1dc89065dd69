"""Cycles of a planned circuit, exact, before any tool runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp
from codesign.plan.partition import Circuit, Layer


@dataclass(frozen=True)
class Cycles:
    """Clock cycles: from first input to last output beat, and between frames."""

    latency: int
    ii: int


def lanes_in(layer: Layer, plan: Plan) -> int:
    """Codes per beat the layer's first component takes."""
    return layer.head.lanes_in(plan)


def lanes_out(layer: Layer, plan: Plan) -> int:
    """Codes per beat the layer's last component yields."""
    op = layer.nodes[-1].op
    assert isinstance(op, CircuitOp)
    return op.lanes_out(plan)


def layer_models(circuit: Circuit, layer: Layer, plan: Plan, from_lanes: int) -> list[Any]:
    """Event models of a layer: its width adapter, then its components."""
    from codesign.hdl.timing import width_adapter_timing

    models = list(width_adapter_timing(layer.source.elements, from_lanes, lanes_in(layer, plan)))
    for node in layer.nodes:
        assert isinstance(node.op, CircuitOp)
        models.append(node.op.timing(circuit.graph.ins(node), circuit.graph.out(node), plan))
    return models


def layer_cycles(circuit: Circuit, layer: Layer, plan: Plan) -> Cycles:
    """One layer alone, fed at full speed with beats as wide as it takes."""
    from codesign.hdl.timing import run_chain

    lanes = lanes_in(layer, plan)
    beats = -(-layer.source.elements // lanes)
    return Cycles(*run_chain(lambda: layer_models(circuit, layer, plan, lanes), beats))


def design_cycles(circuit: Circuit, plans: Mapping[str, Plan]) -> Cycles:
    """The whole design between its AXI4-Stream ports, register slices included."""
    from codesign.hdl.timing import RegisterSliceTiming, run_chain

    first = circuit.layers[0]
    lanes = lanes_in(first, plans[first.name])
    beats = -(-circuit.source.elements // lanes)

    def build() -> list[Any]:
        models: list[Any] = [RegisterSliceTiming()]
        width = lanes
        for layer in circuit.layers:
            plan = plans[layer.name]
            models += layer_models(circuit, layer, plan, width)
            width = lanes_out(layer, plan)
        return [*models, RegisterSliceTiming()]

    return Cycles(*run_chain(build, beats))
