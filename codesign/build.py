"""Generate: model -> integer graph -> plan -> Verilog -> BuildDir, in one call."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import onnx

from codesign.boards import get as get_board
from codesign.builddir import staged
from codesign.emit.registers import (
    address_bits,
    check_loadable,
    describe_learning,
    describe_regions,
    load_regions,
)
from codesign.emit.rtl import build_network, instance_path, stretch_of
from codesign.errors import UsageError
from codesign.eventdriven import event_driven
from codesign.formats import Format, QuantFormat
from codesign.frontend import import_qonnx, load_model
from codesign.frontend.class_only import class_only
from codesign.frontend.output_format import quantize_output
from codesign.host import host_steps, input_steps
from codesign.ir import Value
from codesign.ir.plan import Dense, Events, Form, Plan
from codesign.ir.serialize import save_graph
from codesign.learnfile import LearnFile
from codesign.manifest import BoardInfo, Edge, EventPort, Fifo, Layer, Manifest, Port, Tap
from codesign.ops.area import fifo_cost
from codesign.ops.event_learning import EventLearning
from codesign.ops.requant import Requant
from codesign.passes import AbsorbBias, lower, run_passes
from codesign.passes.expected import Activity
from codesign.plan import Circuit, Goal, partition, plan_design
from codesign.plan import Layer as PlannedLayer
from codesign.plan.activity import activity_of
from codesign.plan.dataflow import (
    Dataflow,
    FifoBlock,
    data_bits,
    fifo_name,
    form_out,
    node_plans,
    value_forms,
)
from codesign.plan.fifos import plan_fifos
from codesign.plan.folding import layer_cost, missed_target, unrolled_layers
from codesign.plan.loops import frames_ahead
from codesign.plan.planfile import PlanFile
from codesign.plan.schedule import Cycles, layer_cycles
from codesign.plan.stored import save_plans
from codesign.reference.states import state_values
from codesign.train.golden import load_golden, save_golden, with_quantized_output

Progress = Callable[[str], None]

#: Of a layer that learns: where its neurons lie, and the streams that show what it writes.
STATES = ("core", "neurons")
LOGS = ("log_pre", "log_post", "log_weights")


@dataclass(frozen=True)
class Planned:
    """A circuit with its plan: all that emission needs."""

    circuit: Circuit
    plans: dict[str, Plan]
    flow: Dataflow
    cycles: Cycles
    board: BoardInfo
    goal: Goal

    @staticmethod
    def of(
        circuit: Circuit,
        goal: Goal,
        board: BoardInfo,
        choices: PlanFile | None,
        events: bool = False,
    ) -> Planned:
        """Plan every layer, then the FIFOs between them. ``events``: the input comes as such."""
        choices = choices or PlanFile()
        plans = plan_design(circuit, goal, board, choices, events)
        flow, cycles = plan_fifos(circuit, plans, choices.fifos)
        return Planned(circuit, plans, flow, cycles, board, goal)


def generate_into(
    target: Path,
    model: Path | onnx.ModelProto,
    *,
    goal: Goal,
    board: str = "ulx3s",
    choices: PlanFile | None = None,
    golden: Path | None = None,
    input_format: QuantFormat | None = None,
    output_format: QuantFormat | None = None,
    runtime_weights: bool = False,
    softmax: str = "host",
    activity: Activity | None = None,
    learn: LearnFile | None = None,
    input: str = "dense",
    progress: Progress = lambda _: None,
) -> Manifest:
    """Write a BuildDir at ``target`` (built beside it, moved into place when complete).

    ``activity``: layers between spikes become event-driven, planned for this share of their inputs
    spiking in a step, or, ``measured``, for the spikes of the recording ``golden``.
    ``output_format``: a quantizer of this format becomes the end of the model, and of what PyTorch
    computed in ``golden``.
    ``learn``: layers whose weights change on the chip, and how (:mod:`codesign.learnfile`).
    ``input``: how it travels: ``dense`` beats, or address ``events`` (docs/EVENTS.md).
    ``softmax``: what becomes of one at the end: ``host`` or ``argmax``.
    ``runtime_weights``: the weights of all layers can be written while the circuit exists.
    """
    progress("importing")
    proto = model if isinstance(model, onnx.ModelProto) else load_model(model)
    stem = "" if isinstance(model, onnx.ModelProto) else model.stem
    if softmax not in ("host", "argmax"):
        raise UsageError(f"softmax is 'host' or 'argmax', got '{softmax}'")
    if input not in ("dense", "events"):
        raise UsageError(f"the input is 'dense' or 'events', got '{input}'")
    proto = class_only(proto) if softmax == "argmax" else proto
    recorded = proto.graph.output[0].name if proto.graph.output else ""
    proto = quantize_output(proto, output_format) if output_format is not None else proto
    imported = import_qonnx(proto, name=stem, input_format=input_format)
    progress("lowering to integer codes")
    graph = lower(imported.graph, runtime_weights=runtime_weights)
    if activity == "measured":
        progress("counting recorded spikes")
    graph = event_driven(graph, activity, learn, golden, runtime_weights)
    circuit = partition(graph)
    unrolled = unrolled_layers(circuit, goal, choices or PlanFile())
    if runtime_weights:
        check_loadable(circuit, unrolled)
    circuit = partition(run_passes(circuit.graph, [AbsorbBias(unrolled)]))
    info = get_board(board)
    progress("planning")
    planned = Planned.of(circuit, goal, info, choices, input == "events")
    with staged(target, progress) as work:
        save_graph(circuit.graph, work / "model")
        blob = imported.source.SerializeToString()
        (work / "model" / "model.onnx").write_bytes(blob)
        if golden is not None and output_format is None:
            (work / "model" / "golden.npz").write_bytes(golden.read_bytes())
        elif golden is not None:
            found = with_quantized_output(load_golden(golden), imported, recorded)
            save_golden(found, work / "model" / "golden.npz")
        progress("writing Verilog")
        write_rtl(planned, work / "rtl")
        save_plans(work / "model", planned.plans, planned.flow)
        accuracies = _accuracies(work / "model" / "golden.npz")
        manifest = describe(planned, hashlib.sha256(blob).hexdigest(), *accuracies)
        if output_format is not None:
            manifest = manifest.model_copy(update={"output_format": str(output_format)})
        (work / "manifest.json").write_text(manifest.model_dump_json(indent=1) + "\n")
    return manifest


def write_rtl(planned: Planned, folder: Path) -> None:
    """``codesign_top.v``: AXI4-Stream ports around the network."""
    from codesign.hdl.top import AxisTop, to_verilog

    network = build_network(planned.circuit, planned.plans, planned.flow)
    folder.mkdir(parents=True, exist_ok=True)
    regions = load_regions(planned.circuit, planned.plans)
    form, source = planned.flow.source_form, planned.circuit.source
    beats = -(-source.elements // form.lanes) if isinstance(form, Dense) else source.shape[0]
    top = AxisTop(network, regions, beats)
    (folder / "codesign_top.v").write_text(to_verilog(top, "codesign_top"))


def _accuracies(golden: Path) -> tuple[float | None, float | None]:
    """Recorded (float, quantized) accuracy; None where it is unknown."""
    if not golden.exists():
        return None, None
    found = load_golden(golden)
    known = [None if math.isnan(a) else a for a in (found.float_accuracy, found.quantized_accuracy)]
    return known[0], known[1]


def describe(
    planned: Planned, model_sha256: str, float_accuracy: float | None, quantized: float | None
) -> Manifest:
    """The manifest: ports, taps, layers and exact cycle counts."""
    circuit, plans = planned.circuit, planned.plans
    forms = value_forms(circuit, plans)
    cycles = planned.cycles
    rows = _rows(planned)
    return Manifest(
        name=circuit.graph.name,
        rtl=["codesign_top.v"],
        input=port(circuit.source, forms[circuit.source.name], axis=True),
        host_input=input_steps(circuit),
        host=host_steps(circuit),
        output=port(circuit.target, forms[circuit.target.name], axis=True),
        taps=[tap for layer in circuit.layers for tap in _taps(planned, layer)],
        layers=rows,
        fifos=[_fifo(fifo) for fifo in planned.flow.fifos],
        edges=_edges(circuit, planned.flow, forms),
        registers=describe_regions(circuit, plans),
        learning=describe_learning(circuit, plans),
        logs=[tap for layer in circuit.layers for tap in _logs(planned, layer)],
        axil_address_bits=address_bits(load_regions(circuit, plans)),
        latency=cycles.latency,
        ii=cycles.ii,
        activity=activity_of(circuit, plans, planned.flow),
        frames_depend=any(node.op.carries for node in circuit.graph.nodes),
        board=planned.board,
        target=planned.goal.describe(),
        missed=missed_target(circuit, planned.goal, rows, cycles.ii),
        model_sha256=model_sha256,
        float_accuracy=float_accuracy,
        quantized_accuracy=quantized,
        versions=_versions(),
    )


def port(value: Value, form: Form, *, axis: bool) -> Port:
    """How ``value`` travels in ``form``."""
    format: Format = value.format
    wire = data_bits(value, form)
    return Port(
        tensor=value.name,
        elements=value.elements,
        lanes=form.lanes if isinstance(form, Dense) else 1,
        events=EventPort(steps=value.shape[0], levels=form.levels)
        if isinstance(form, Events)
        else None,
        bits=format.bits,
        signed=format.signed,
        lo=format.lo,
        hi=format.hi,
        data_bits=-(-wire // 8) * 8 if axis else wire,
        label=format.label(),
    )


def _taps(planned: Planned, layer: PlannedLayer) -> list[Tap]:
    """What the layer writes, and the states of its neurons."""
    plan = planned.plans[layer.name]
    stream = port(layer.target, form_out(layer, plan), axis=False)
    path = instance_path(planned.flow, layer)
    ahead = frames_ahead(planned.circuit).get(layer.name, 0)
    # an unrolled convolution is a block of its own, which does wait
    waits = not stretch_of(planned.flow, layer).free
    written = Tap(port=stream, path=path, waits=waits, ahead=ahead)
    return [*_state_taps(layer, plan, [*path, layer.head.kind], ahead), written]


def _state_taps(layer: PlannedLayer, plan: Plan, path: list[str], ahead: int) -> list[Tap]:
    """Every word of state, as it is written."""
    node = layer.nodes[0]
    if isinstance(layer.head, EventLearning):
        path = [*path, *STATES]
    return [
        Tap(
            port=port(value, Dense(plan.pe), axis=False),
            path=path,
            stream=f"state_{value.name.rpartition('.')[2]}",
            waits=False,
            ahead=ahead,
        )
        for value in state_values(node, list(layer.sources))
    ]


def _logs(planned: Planned, layer: PlannedLayer) -> list[Tap]:
    """What a layer that learns writes: traces of inputs, of outputs, weights."""
    if not isinstance(layer.head, EventLearning):
        return []
    circuit, plan, node = planned.circuit, planned.plans[layer.name], layer.nodes[0]
    part = layer.head.rtl(circuit.graph.ins(node), circuit.graph.out(node), plan)
    path = [*instance_path(planned.flow, layer), layer.head.kind]
    found = []
    for name in LOGS:
        shape = getattr(part, name).payload.shape()["data"].shape
        bits, signed = shape.elem_shape.width, shape.elem_shape.signed
        lo, hi = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        entry = Port(
            tensor=f"{layer.name}.{name}",
            elements=shape.length,
            lanes=shape.length,
            bits=bits,
            signed=signed,
            lo=lo,
            hi=hi,
            data_bits=shape.length * bits,
        )
        found.append(Tap(port=entry, path=path, stream=name, waits=False))
    return found


def _rows(planned: Planned) -> list[Layer]:
    rows, forms = [], value_forms(planned.circuit, planned.plans)
    for layer in planned.circuit.layers:
        plan = planned.plans[layer.name]
        cycles = layer_cycles(planned.circuit, layer, plan)
        given = [forms[source.name] for source in layer.sources]
        rows.append(
            Layer(
                name=layer.name,
                op=" + ".join(node.op.kind for node in layer.nodes),
                style=plan.style,
                module=".".join(["codesign_top", *instance_path(planned.flow, layer)]),
                in_label=layer.source.format.label(),
                out_label=layer.target.format.label(),
                macs=layer.head.frame_macs(planned.circuit.graph.ins(layer.nodes[0])),
                pe=plan.pe,
                simd=plan.simd,
                pixels=plan.pixels,
                realisation=_realisations(planned.circuit, layer, plan),
                ii=cycles.ii,
                latency=cycles.latency,
                estimate=layer_cost(planned.circuit, layer, plan, given),
                reason=plan.reason,
            )
        )
    return rows


def _realisations(circuit: Circuit, layer: PlannedLayer, plan: Plan) -> str:
    forms = [
        type(op.form(circuit.graph.ins(node), own)).__name__
        if isinstance(op, Requant)
        else op.realisation(own)
        for node, op, own in node_plans(layer, plan)
    ]
    return ", ".join(form for form in forms if form)


def _fifo(block: FifoBlock) -> Fifo:
    format = block.value.format
    return Fifo(
        name=block.name,
        tensor=block.value.name,
        depth=block.depth,
        bits=block.bits,
        estimate=fifo_cost(block.bits // block.depth, block.depth),
        label=format.label(),
    )


def _edges(circuit: Circuit, flow: Dataflow, forms: Mapping[str, Form]) -> list[Edge]:
    depths = {fifo.name: fifo.depth for fifo in flow.fifos}
    writers = {circuit.source.name: "input"}
    writers |= {layer.target.name: layer.name for layer in circuit.layers}
    ends = [
        (layer.name, source, fifo_name(layer, port))
        for layer in circuit.layers
        for source, port in zip(layer.sources, layer.ports, strict=True)
    ]
    return [
        Edge(
            source=writers[value.name],
            target=target,
            label=_label(value, forms[value.name]),
            fifo=depths.get(fifo, 0),
        )
        for target, value, fifo in [*ends, ("output", circuit.target, fifo_name(None, ""))]
    ]


def _label(value: Value, form: Form) -> str:
    """Shape and format, and that a value travels as events."""
    shape = "x".join(str(s) for s in value.shape)
    return f"{shape} {value.format.label()}{' events' if isinstance(form, Events) else ''}"


def _versions() -> dict[str, str]:
    found = {"codesign": metadata.version("codesign")}
    for name in ("amaranth", "pyosys", "onnx", "qonnx", "da4ml", "numpy"):
        found[name] = metadata.version(name)
    return found
