"""The address map of a design with run-time weights: which layer's memories lie where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codesign.errors import UnsupportedModel, UsageError
from codesign.hdl.loading.load_map import Region, map_bits, place
from codesign.hdl.loading.loaded_memory import slots
from codesign.hdl.stream import range_shape
from codesign.ir.plan import Plan
from codesign.manifest import LearningRegion, WeightMemory, WeightRegion
from codesign.ops.event_learning import EventLearning
from codesign.ops.weighted import Weighted
from codesign.plan.partition import Circuit, Layer

#: Bytes of a transfer on the bus.
BYTES = 4


def loadable_layers(circuit: Circuit) -> list[Layer]:
    """The layers whose weights can be written, in order."""
    return [
        layer
        for layer in circuit.layers
        if isinstance(layer.head, Weighted) and layer.head.loadable is not None
    ]


def check_loadable(circuit: Circuit, unrolled: Sequence[str]) -> None:
    """Refuse what cannot have run-time weights, given the names of the ``unrolled`` layers."""
    if unrolled:
        raise UsageError(
            "an unrolled layer has its weights wired in: none can be written at run time",
            where=f"layer '{unrolled[0]}'",
            hint='leave out --runtime-weights, or fold the layer (style = "folded")',
        )
    if not loadable_layers(circuit):
        raise UsageError("no layer of this model has weights", hint="leave out --runtime-weights")
    loops = [node for node in circuit.graph.nodes if node.op.delays]
    if loops:  # its first step may be computed before a frame begins, with weights still to come
        raise UnsupportedModel(
            "a recurrent loop cannot have run-time weights",
            where=f"node '{loops[0].name}'",
            hint="leave out --runtime-weights",
        )


def load_regions(circuit: Circuit, plans: Mapping[str, Plan]) -> dict[str, Region]:
    """Where each loadable layer lies, in 32-bit words."""
    sizes = {
        layer.name: _unit(circuit, layer, plans).region_bits + 1
        for layer in loadable_layers(circuit)
    }
    for layer in learning_layers(circuit):
        memory = _taught(circuit, layer, plans).core.memory
        sizes[layer.name] = (memory.depth * memory.slots - 1).bit_length()
    return place(sizes)


def learning_layers(circuit: Circuit) -> list[Layer]:
    """The layers that learn, in order."""
    return [layer for layer in circuit.layers if isinstance(layer.head, EventLearning)]


def _taught(circuit: Circuit, layer: Layer, plans: Mapping[str, Plan]) -> Any:
    node = layer.nodes[0]
    return layer.head.rtl(circuit.graph.ins(node), circuit.graph.out(node), plans[layer.name])


def describe_learning(circuit: Circuit, plans: Mapping[str, Plan]) -> list[LearningRegion]:
    """The manifest's rows of layers that learn."""
    regions, rows = load_regions(circuit, plans), []
    for layer in learning_layers(circuit):
        core, op = _taught(circuit, layer, plans).core, layer.head
        assert isinstance(op, EventLearning)
        base, word = regions[layer.name].base * BYTES, op.layer.rule.weight
        rows.append(
            LearningRegion(
                layer=layer.name,
                inputs=op.layer.inputs,
                outputs=op.layer.outputs,
                lanes=core.lanes,
                weight_bits=word.bits,
                weight_frac=word.frac,
                classes=op.rival.classes,
                steps=op.steps,
                weights=_memory(base, core.memory.depth, word.bits * core.lanes),
            )
        )
    return rows


def address_bits(regions: Mapping[str, Region]) -> int:
    """Width of the byte addresses."""
    return map_bits(regions) + 2 if regions else 0


def describe_regions(circuit: Circuit, plans: Mapping[str, Plan]) -> list[WeightRegion]:
    """The manifest's rows."""
    regions = load_regions(circuit, plans)
    return [_row(circuit, layer, plans, regions[layer.name]) for layer in loadable_layers(circuit)]


def _row(circuit: Circuit, layer: Layer, plans: Mapping[str, Plan], region: Region) -> WeightRegion:
    unit, op = _unit(circuit, layer, plans), layer.head
    assert isinstance(op, Weighted) and op.loadable is not None
    image, span = unit.image, op.loadable
    acc_bits = range_shape(unit.acc_lo, unit.acc_hi).width
    base = region.base * BYTES
    return WeightRegion(
        layer=layer.name,
        rows=image.rows,
        columns=image.columns,
        groups=image.sets,
        pe=image.pe,
        simd=image.simd,
        multiplier=plans[layer.name].multiplier,
        lo=span.lo,
        hi=span.hi,
        code_bits=image.recoding.width,
        start_bits=acc_bits,
        weights=_memory(base, image.words, image.width),
        starts=_memory(
            base + (BYTES << unit.region_bits), image.sets * image.nf, acc_bits * image.pe
        ),
    )


def _memory(base: int, words: int, bits: int) -> WeightMemory:
    parts = -(-bits // 32)
    return WeightMemory(base=base, words=words, bits=bits, parts=parts, stride=slots(bits) * BYTES)


def _unit(circuit: Circuit, layer: Layer, plans: Mapping[str, Plan]) -> Any:
    """The (first) matrix unit inside a layer's component."""
    node = layer.nodes[0]
    component: Any = layer.head.rtl(
        circuit.graph.ins(node), circuit.graph.out(node), plans[layer.name]
    )
    while not hasattr(component, "image"):
        parts = component.parts
        component = parts.get("matvec") or parts.get("pixels") or parts.get("pixel0")
    return component
