"""Emit: a planned circuit as Amaranth modules named after the model's layers, then Verilog."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.lib import wiring

from codesign.hdl.chain import Chain
from codesign.hdl.width_adapter import width_adapter
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp
from codesign.plan.partition import Circuit, Layer
from codesign.plan.schedule import lanes_in, lanes_out


def build_network(circuit: Circuit, plans: Mapping[str, Plan]) -> Chain:
    """The whole circuit: one :class:`Chain` per layer, each named after it."""
    layers: dict[str, wiring.Component] = {}
    width = lanes_in(circuit.layers[0], plans[circuit.layers[0].name])
    for layer in circuit.layers:
        plan = plans[layer.name]
        layers[layer.name] = _build_layer(circuit, layer, plan, width)
        width = lanes_out(layer, plan)
    return Chain(layers)


def _build_layer(circuit: Circuit, layer: Layer, plan: Plan, from_lanes: int) -> Chain:
    parts: dict[str, wiring.Component] = {}
    format, wanted = layer.source.format, lanes_in(layer, plan)
    if from_lanes != wanted:
        parts["width"] = width_adapter(
            format.lo, format.hi, layer.source.elements, from_lanes, wanted
        )
    for node in layer.nodes:
        assert isinstance(node.op, CircuitOp)
        ins, out = circuit.graph.ins(node), circuit.graph.out(node)
        parts[node.op.kind] = node.op.rtl(ins, out, plan)
    return Chain(parts)
