"""Dataflow: a planned circuit as blocks joined by streams. Schedule and emission both walk it.

Blocks are layers (a run of unrolled ones is a single free-running block), forks where a value
has several readers, and FIFOs behind forks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import gcd

from codesign.hdl.spikes.aer import address_bits
from codesign.ir import Node, Value
from codesign.ir.plan import Dense, Form, Plan
from codesign.ops.circuit import CircuitOp
from codesign.ops.event_op import elements_of_step
from codesign.plan.loops import loop_values
from codesign.plan.partition import Circuit, Layer

End = tuple[str, str]  # (block, port)


@dataclass(frozen=True)
class Stretch:
    """One layer, or a run of unrolled ones.

    Unrolled matrices take a beat and give a beat each cycle and hold nothing back, so a run of
    them is one free-running pipeline (:class:`codesign.hdl.credit.CreditPipeline`).
    ``given``: how what feeds it travels, one form per port.
    """

    layers: tuple[Layer, ...]
    free: bool
    given: tuple[Form, ...]

    @property
    def name(self) -> str:
        """Module name: the layer's, or ``pipeline_`` and the first layer's."""
        return f"pipeline_{self.layers[0].name}" if self.free else self.layers[0].name

    @property
    def ports(self) -> tuple[str, ...]:
        """Names of the input streams."""
        return self.layers[0].ports

    @property
    def target(self) -> Value:
        """What it writes."""
        return self.layers[-1].target


@dataclass(frozen=True)
class ForkBlock:
    """Copies a stream of ``value`` to ``outputs`` readers."""

    name: str
    value: Value
    form: Form
    outputs: int


@dataclass(frozen=True)
class FifoBlock:
    """Holds ``depth`` beats of ``value``."""

    name: str
    value: Value
    form: Form
    depth: int

    @property
    def bits(self) -> int:
        """Bits it holds, the frame marker included."""
        return self.depth * (data_bits(self.value, self.form) + 1)


Block = Stretch | ForkBlock | FifoBlock


@dataclass(frozen=True)
class Dataflow:
    """``blocks`` in order, ``links`` between their ports; the first beat enters at ``entry``."""

    blocks: tuple[Block, ...]
    links: tuple[tuple[End, End], ...]
    entry: End
    exit: End
    source_form: Form

    @property
    def fifos(self) -> list[FifoBlock]:
        """The FIFOs."""
        return [b for b in self.blocks if isinstance(b, FifoBlock)]


def lanes_in(layer: Layer, plan: Plan, port: str = "i") -> int:
    """Codes per beat the layer's first component takes on ``port``."""
    return layer.head.port_lanes(plan, layer.ports.index(port) if port in layer.ports else 0)


def lanes_out(layer: Layer, plan: Plan) -> int:
    """Codes per beat the layer's last component yields."""
    _, op, last = node_plans(layer, plan)[-1]
    return op.lanes_out(last)


def form_in(layer: Layer, plan: Plan, port: str = "i") -> Form:
    """How what the layer's first component takes on ``port`` travels."""
    return layer.head.form_in(plan, layer.ports.index(port) if port in layer.ports else 0)


def form_out(layer: Layer, plan: Plan) -> Form:
    """How what the layer's last component yields travels."""
    _, op, last = node_plans(layer, plan)[-1]
    return op.form_out(last)


def data_bits(value: Value, form: Form) -> int:
    """Bits of a beat of ``value`` without its ``last``."""
    if isinstance(form, Dense):
        return form.lanes * value.format.bits
    count = form.levels.bit_length() if form.levels > 1 else 0
    return address_bits(elements_of_step(value)) + count + 1


def node_plans(layer: Layer, plan: Plan) -> list[tuple[Node, CircuitOp, Plan]]:
    """Each node with its plan: the layer's, and for a requantizer the lanes that come to it."""
    found: list[tuple[Node, CircuitOp, Plan]] = []
    for node in layer.nodes:
        assert isinstance(node.op, CircuitOp)
        if found:
            plan = replace(plan, pe=found[-1][1].lanes_out(found[-1][2]), pixels=1)
        found.append((node, node.op, plan))
    return found


def value_forms(circuit: Circuit, plans: Mapping[str, Plan]) -> dict[str, Form]:
    """How each value travels: as its producer makes it, the input as its reader takes it, which
    is as events where a reader scans none itself."""
    readers = circuit.readers(circuit.source)
    first, port = readers[0]
    source: Form = Dense(lanes_in(first, plans[first.name], port))
    for layer, port in readers:
        if layer.head.takes_events and not plans[layer.name].simd:
            source = form_in(layer, plans[layer.name], port)
    found = {circuit.source.name: source}
    for layer in circuit.layers:
        if layer.name in plans:
            found[layer.target.name] = form_out(layer, plans[layer.name])
    return found


def adapter_ii(elements: int, a: int, b: int) -> int:
    """Cycles a frame takes through the width adapter from ``a`` to ``b`` lanes."""
    return -(-elements // (gcd(a, b)))


def stretches(circuit: Circuit, plans: Mapping[str, Plan]) -> list[Stretch]:
    """The circuit's layers, unrolled neighbours joined."""
    forms = value_forms(circuit, plans)
    found: list[Stretch] = []
    for layer in circuit.layers:
        plan = plans[layer.name]
        free = plan.style == "unrolled" and layer.head.flows_unrolled
        before = found[-1] if found else None
        fed = forms.get(layer.source.name) == form_in(layer, plan)
        if free and fed and before is not None and before.free and _alone(circuit, before, layer):
            found[-1] = Stretch((*before.layers, layer), True, before.given)
        else:
            found.append(Stretch((layer,), free, tuple(forms[s.name] for s in layer.sources)))
    return found


def _alone(circuit: Circuit, before: Stretch, layer: Layer) -> bool:
    """Whether ``layer`` reads what ``before`` writes, and nobody else does."""
    value = before.target
    readers = circuit.readers(value)
    same = [source.name for source in layer.sources] == [value.name]
    return same and len(readers) == 1 and value.name != circuit.target.name


def dataflow(
    circuit: Circuit, plans: Mapping[str, Plan], depths: Mapping[str, int] | None = None
) -> Dataflow:
    """The blocks and links of a planned circuit. ``depths``: places of the FIFOs by name
    (:func:`fifo_names`); a FIFO of none is left out."""
    builder = _Builder(circuit, plans, depths or {})
    builder.connect(circuit.source, None)
    for stretch in builder.stretches:
        builder.blocks.append(stretch)
        builder.connect(stretch.target, (stretch.name, "o"))
    assert builder.entry is not None and builder.exit is not None
    return Dataflow(
        tuple(builder.blocks),
        tuple(builder.links),
        builder.entry,
        builder.exit,
        builder.forms[circuit.source.name],
    )


def fifo_names(circuit: Circuit, plans: Mapping[str, Plan]) -> list[str]:
    """Names of the FIFOs the circuit may have: one behind each output of a fork, one in each loop,
    and one before each sliding window, which takes its input in bursts."""
    return _Builder(circuit, plans, {}).fifo_names()


def fifo_name(layer: Layer | None, port: str) -> str:
    """Name of the FIFO before ``port`` of ``layer``; None is the circuit's output."""
    if layer is None:
        return "fifo_output"
    return f"fifo_{layer.name}" if len(layer.ports) == 1 else f"fifo_{layer.name}_{port}"


class _Builder:
    """Collects blocks and links."""

    def __init__(
        self, circuit: Circuit, plans: Mapping[str, Plan], depths: Mapping[str, int]
    ) -> None:
        self._circuit, self._depths = circuit, depths
        self.forms = value_forms(circuit, plans)
        self.stretches = stretches(circuit, plans)
        self.blocks: list[Block] = []
        self.links: list[tuple[End, End]] = []
        self.entry: End | None = None
        self.exit: End | None = None

    def fifo_names(self) -> list[str]:
        """See :func:`fifo_names`."""
        found, loops = [], loop_values(self._circuit)
        for value in (self._circuit.source, *(s.target for s in self.stretches)):
            ends = self._readers(value)
            whole = len(ends) > 1 or value.name in loops
            inner = value.name != self._circuit.source.name
            found += [self._fifo(e) for e in ends if whole or (inner and self._window(e))]
        return found

    def _window(self, end: End | None) -> bool:
        """Whether ``end`` is a layer with a sliding window."""
        return any(s.layers[0].head.slides for s in self.stretches if end and s.name == end[0])

    def _readers(self, value: Value) -> list[End | None]:
        """Where ``value`` goes; None is the circuit's output."""
        ends: list[End | None] = [
            (s.name, port)
            for s in self.stretches
            for source, port in zip(s.layers[0].sources, s.ports, strict=True)
            if source.name == value.name
        ]
        return [*ends, None] if value.name == self._circuit.target.name else ends

    def connect(self, value: Value, start: End | None) -> None:
        """Lead ``value`` from ``start`` (None: the circuit's input) to all its readers."""
        readers = self._readers(value)
        if len(readers) == 1:
            self._lead(value, start, readers[0])
            return
        name = f"fork_{value.name}"
        self.blocks.append(ForkBlock(name, value, self.forms[value.name], len(readers)))
        self._link(start, (name, "i"))
        for index, end in enumerate(readers):
            self._lead(value, (name, f"o{index}"), end)

    def _lead(self, value: Value, start: End | None, end: End | None) -> None:
        """A link, through its FIFO if that has places."""
        name = self._fifo(end)
        depth = self._depths.get(name, 0) if start is not None else 0
        if depth:
            self.blocks.append(FifoBlock(name, value, self.forms[value.name], depth))
            self._link(start, (name, "i"))
            start = (name, "o")
        self._link(start, end)

    def _fifo(self, end: End | None) -> str:
        """Name of the FIFO before ``end``."""
        block = next((s for s in self.stretches if end and s.name == end[0]), None)
        if block is None or end is None:
            return fifo_name(None, "")
        return fifo_name(block.layers[0], end[1])

    def _link(self, start: End | None, end: End | None) -> None:
        if start is None:
            self.entry = end
        elif end is None:
            self.exit = start
        else:
            self.links.append((start, end))
