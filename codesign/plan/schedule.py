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


@dataclass(frozen=True)
class Stretch:
    """Neighbouring layers built alike: one folded layer, or a run of unrolled ones.

    Unrolled layers move a whole frame each cycle and hold nothing back, so a run of them is one
    free-running pipeline (:class:`codesign.hdl.credit.CreditPipeline`).
    """

    layers: tuple[Layer, ...]
    free: bool
    from_lanes: int

    @property
    def name(self) -> str:
        """Module name: the layer's, or ``pipeline_`` and the first layer's."""
        return f"pipeline_{self.layers[0].name}" if self.free else self.layers[0].name


def stretches(circuit: Circuit, plans: Mapping[str, Plan]) -> list[Stretch]:
    """The circuit's layers, unrolled neighbours joined; ``from_lanes`` is what feeds each."""
    found: list[Stretch] = []
    width = lanes_in(circuit.layers[0], plans[circuit.layers[0].name])
    for layer in circuit.layers:
        plan = plans[layer.name]
        free = plan.style == "unrolled"
        if free and found and found[-1].free:
            before = found.pop()
            found.append(Stretch((*before.layers, layer), True, before.from_lanes))
        else:
            found.append(Stretch((layer,), free, width))
        width = lanes_out(layer, plan)
    return found


def free_latency(circuit: Circuit, stretch: Stretch, plans: Mapping[str, Plan]) -> int:
    """Registers between the two ends of a free-running stretch, its FIFO not counted."""
    graph = circuit.graph
    return sum(
        node.op.rtl(graph.ins(node), graph.out(node), plans[layer.name]).latency
        for layer in stretch.layers
        for node in layer.nodes
        if isinstance(node.op, CircuitOp)
    )


def stretch_models(circuit: Circuit, stretch: Stretch, plans: Mapping[str, Plan]) -> list[Any]:
    """Event models of a stretch, its width adapter first."""
    from codesign.hdl.credit import CreditTiming
    from codesign.hdl.timing import width_adapter_timing

    first = stretch.layers[0]
    if not stretch.free:
        return layer_models(circuit, first, plans[first.name], stretch.from_lanes)
    wanted = lanes_in(first, plans[first.name])
    models: list[Any] = list(
        width_adapter_timing(first.source.elements, stretch.from_lanes, wanted)
    )
    inside: list[Any] = []
    for layer in stretch.layers:
        plan = plans[layer.name]
        inside += layer_models(circuit, layer, plan, lanes_in(layer, plan))
    return [*models, CreditTiming(inside, free_latency(circuit, stretch, plans))]


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
    from codesign.hdl.timing import Fifo, run_chain

    first = circuit.layers[0]
    lanes = lanes_in(first, plans[first.name])
    beats = -(-circuit.source.elements // lanes)

    def build() -> list[Any]:
        models: list[Any] = [Fifo(2)]
        for stretch in stretches(circuit, plans):
            models += stretch_models(circuit, stretch, plans)
        return [*models, Fifo(2)]

    return Cycles(*run_chain(build, beats))
