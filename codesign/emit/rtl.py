"""Emit: a planned circuit as Amaranth modules named after the model's layers, then Verilog."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.lib import wiring
from amaranth.lib.data import StructLayout

from codesign.hdl import network
from codesign.hdl.chain import Chain
from codesign.hdl.credit import CreditPipeline, FreeRow
from codesign.hdl.fifo import Fifo
from codesign.hdl.fork import Fork
from codesign.hdl.network import Network
from codesign.hdl.spikes.aer import event_layout
from codesign.hdl.stream import beat, range_shape
from codesign.ir import Value
from codesign.ir.plan import Events, Form, Plan
from codesign.ops.event_op import elements_of_step
from codesign.plan.dataflow import Block, Dataflow, ForkBlock, Stretch, node_plans
from codesign.plan.partition import Circuit, Layer
from codesign.plan.schedule import adapters, free_latency


def build_network(circuit: Circuit, plans: Mapping[str, Plan], flow: Dataflow) -> Network:
    """The whole circuit; every block of ``flow`` becomes a module of its name."""
    parts: dict[str, wiring.Component] = {}
    for block in flow.blocks:
        parts[block.name] = _component(circuit, plans, block)
    links = [network.Link(network.End(*a), network.End(*b)) for a, b in flow.links]
    entry, leave = network.End(*flow.entry), network.End(*flow.exit)
    return Network(parts, links, {"i": entry}, {"o": leave})


def stretch_of(flow: Dataflow, layer: Layer) -> Stretch:
    """The block that ``layer`` is part of."""
    return next(b for b in flow.blocks if isinstance(b, Stretch) and layer in b.layers)


def instance_path(flow: Dataflow, layer: Layer) -> list[str]:
    """Instance names from below the top module down to ``layer``'s module."""
    stretch = stretch_of(flow, layer)
    inner = ["network", stretch.name]
    if not stretch.free:
        return inner
    return [*inner, "pipeline", "layers", layer.name]


def _component(circuit: Circuit, plans: Mapping[str, Plan], block: Block) -> wiring.Component:
    if isinstance(block, Stretch):
        return _pipeline(circuit, plans, block) if block.free else _layer(circuit, plans, block)
    payload = payload_of(block.value, block.form)
    if isinstance(block, ForkBlock):
        return Fork(payload, block.outputs)
    return Fifo(payload, block.depth)


def payload_of(value: Value, form: Form) -> StructLayout:
    """A beat of ``value``."""
    if isinstance(form, Events):
        return event_layout(elements_of_step(value), form.levels)
    return beat(range_shape(value.format.lo, value.format.hi), form.lanes)


def _pipeline(circuit: Circuit, plans: Mapping[str, Plan], stretch: Stretch) -> wiring.Component:
    """A run of unrolled layers, free running behind a width adapter."""
    inside = {
        layer.name: FreeRow(_parts(circuit, layer, plans[layer.name])) for layer in stretch.layers
    }
    pipeline = CreditPipeline(inside, free_latency(circuit, stretch, plans))
    (adapter,) = adapters(stretch, plans)
    return Chain({**adapter.parts(), "pipeline": pipeline})


def _layer(circuit: Circuit, plans: Mapping[str, Plan], stretch: Stretch) -> wiring.Component:
    """Adapters and components of one layer."""
    (layer,) = stretch.layers
    parts = _parts(circuit, layer, plans[layer.name])
    before = adapters(stretch, plans)
    if len(layer.ports) == 1:
        return Chain({**before[0].parts(), **parts})
    names = list(parts)
    ends = {port: network.End(names[0], port) for port in layer.ports}
    links = [
        network.Link(network.End(a, "o"), network.End(b, "i"))
        for a, b in zip(names, names[1:], strict=False)
    ]
    for port, adapter in zip(layer.ports, before, strict=True):
        for kind, part in reversed(adapter.parts().items()):
            name = f"{kind}_{port}"
            parts[name] = part
            links.append(network.Link(network.End(name, "o"), ends[port]))
            ends[port] = network.End(name, "i")
    return Network(parts, links, ends, {"o": network.End(names[-1], "o")})


def _parts(circuit: Circuit, layer: Layer, plan: Plan) -> dict[str, wiring.Component]:
    """The components of a layer's nodes, in order."""
    parts: dict[str, wiring.Component] = {}
    for node, op, own in node_plans(layer, plan):
        parts[op.kind] = op.rtl(circuit.graph.ins(node), circuit.graph.out(node), own)
    return parts
