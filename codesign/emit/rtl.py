"""Emit: a planned circuit as Amaranth modules named after the model's layers, then Verilog."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.lib import wiring

from codesign.hdl.chain import Chain
from codesign.hdl.credit import CreditPipeline, FreeRow
from codesign.hdl.width_adapter import width_adapter
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp
from codesign.plan.partition import Circuit, Layer
from codesign.plan.schedule import free_latency, lanes_in, stretches


def build_network(circuit: Circuit, plans: Mapping[str, Plan]) -> Chain:
    """The whole circuit, one :class:`Chain` per layer named after it; see :func:`stretches`."""
    parts: dict[str, wiring.Component] = {}
    for stretch in stretches(circuit, plans):
        first = stretch.layers[0]
        if not stretch.free:
            parts[stretch.name] = _layer(circuit, first, plans[first.name], stretch.from_lanes)
            continue
        wanted = lanes_in(first, plans[first.name])
        if stretch.from_lanes != wanted:
            parts[f"{stretch.name}_width"] = _adapter(first, stretch.from_lanes, wanted)
        inside = {
            layer.name: FreeRow(_parts(circuit, layer, plans[layer.name]))
            for layer in stretch.layers
        }
        latency = free_latency(circuit, stretch, plans)
        parts[stretch.name] = CreditPipeline(inside, latency)
    return Chain(parts)


def instance_path(circuit: Circuit, plans: Mapping[str, Plan], layer: Layer) -> list[str]:
    """Instance names from below the top module down to ``layer``'s module."""
    stretch = next(s for s in stretches(circuit, plans) if layer in s.layers)
    inner = [stretch.name, "layers"] if stretch.free else []
    return ["network", *inner, layer.name]


def _layer(circuit: Circuit, layer: Layer, plan: Plan, from_lanes: int) -> Chain:
    parts: dict[str, wiring.Component] = {}
    wanted = lanes_in(layer, plan)
    if from_lanes != wanted:
        parts["width"] = _adapter(layer, from_lanes, wanted)
    return Chain({**parts, **_parts(circuit, layer, plan)})


def _parts(circuit: Circuit, layer: Layer, plan: Plan) -> dict[str, wiring.Component]:
    """The components of a layer's nodes, in order."""
    parts: dict[str, wiring.Component] = {}
    for node in layer.nodes:
        assert isinstance(node.op, CircuitOp)
        ins, out = circuit.graph.ins(node), circuit.graph.out(node)
        parts[node.op.kind] = node.op.rtl(ins, out, plan)
    return parts


def _adapter(layer: Layer, from_lanes: int, to_lanes: int) -> wiring.Component:
    format = layer.source.format
    return width_adapter(format.lo, format.hi, layer.source.elements, from_lanes, to_lanes)
