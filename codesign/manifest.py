"""The manifest of a build folder: ports, taps, layers, memories. Untrusted input, so pydantic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import Field

from codesign.schema import Cost, Strict

#: Of the whole build folder: another one is refused, and generated again.
SCHEMA_VERSION: Final = 3


class EventPort(Strict):
    """What more is to say of a tensor of spikes (``steps``, ...) that travels as address events.

    A beat holds, from bit 0 on, the address of an element in its step, its count (where ``levels``
    is more than 1) and the mark that ends a step, with which the other two mean nothing.
    """

    steps: int = Field(gt=0)
    levels: int = Field(gt=0, lt=256)

    def count_bits(self) -> int:
        """Bits of the count."""
        return self.levels.bit_length() if self.levels > 1 else 0


class Port(Strict):
    """A tensor as it travels: ``beats`` beats of ``lanes`` elements of ``bits`` bits a frame, or
    ``events``, as many as there are spikes and steps.

    Lane 0 sits in the low bits. The last beat is padded when ``elements`` is no multiple of
    ``lanes``; padding is ignored. ``data_bits`` is the width of the wire: ``lanes * bits``, for
    the AXI4-Stream ports rounded up to whole bytes.
    """

    tensor: str
    elements: int = Field(gt=0)
    lanes: int = Field(gt=0)
    bits: int = Field(gt=0)
    signed: bool
    lo: int
    hi: int
    data_bits: int
    label: str = ""
    events: EventPort | None = None

    @property
    def beats(self) -> int:
        """Beats per frame; ``ValueError`` for events, of which there are more or fewer."""
        if self.events is not None:
            raise ValueError(f"'{self.tensor}' travels as events: its beats depend on the data")
        return -(-self.elements // self.lanes)

    @property
    def address_bits(self) -> int:
        """Bits of an event's address."""
        assert self.events is not None
        return max(1, (self.elements // self.events.steps - 1).bit_length())

    @property
    def payload_bits(self) -> int:
        """Bits of a beat that mean something, ``last`` not counted."""
        if self.events is None:
            return self.lanes * self.bits
        return self.address_bits + self.events.count_bits() + 1


class Tap(Strict):
    """A stream inside the design that simulation observes: one tensor at a layer boundary.

    ``path`` are the instance names below the top module; the instance has the wires
    ``o__valid``, ``o__ready`` and ``o__payload`` (data in the low ``lanes * bits`` bits), or
    those of another ``stream`` of its: the words of a state.
    ``waits`` is False inside a free-running pipeline: there every valid cycle is a transfer.
    ``ahead``: the stream starts each frame with what only a loop's initial state decides, so
    beats of a frame may come before anything of that frame was given to the circuit: how many
    frames may have begun so; 0 for other streams.
    """

    port: Port
    path: list[str]
    stream: str = "o"
    waits: bool = True
    ahead: int = 0

    def wire(self, member: str) -> str:
        """The stream's ``valid``, ``ready`` or ``payload``, as the instance names it."""
        return f"{self.stream}__{member}"


class Layer(Strict):
    """One row of the report: a hardware node, how it is built and what it should cost."""

    name: str
    op: str
    style: str
    module: str
    in_label: str
    out_label: str
    macs: int = 0
    pe: int = 0
    simd: int = 0
    pixels: int = 1
    realisation: str = ""
    ii: int
    latency: int
    estimate: Cost = Cost()
    reason: str = ""


class Edge(Strict):
    """An edge of the network picture: from layer to layer, with the format it carries and the
    places of the FIFO on it (0: none)."""

    source: str
    target: str
    label: str
    fifo: int = 0


class Fifo(Strict):
    """A FIFO behind a fork: ``depth`` beats of ``tensor``, ``bits`` in all."""

    name: str
    tensor: str
    depth: int = Field(gt=0)
    bits: int
    estimate: Cost = Cost()
    label: str = ""


class WeightMemory(Strict):
    """A memory on the AXI4-Lite bus: ``words`` of ``bits`` bits from byte address ``base`` on.

    Word ``n`` is written by ``parts`` 32-bit writes, low bits first, at ascending addresses from
    ``base + n * stride``; the last one makes it valid.
    """

    base: int
    words: int
    bits: int
    parts: int
    stride: int


class WeightRegion(Strict):
    """A layer whose weights ``rows x columns``, codes ``lo..hi``, can be written.

    What stands where is :class:`codesign.hdl.loading.weight_image.WeightImage`: words of ``pe``
    rows by ``simd`` columns, each weight recoded in ``code_bits`` for the ``multiplier``; and the
    starts of the accumulators, ``pe`` fields of ``start_bits``.
    """

    layer: str
    rows: int
    columns: int
    groups: int
    pe: int
    simd: int
    multiplier: Literal["lut", "dsp"]
    lo: int
    hi: int
    code_bits: int
    start_bits: int
    weights: WeightMemory
    starts: WeightMemory


class LearningRegion(Strict):
    """A layer that learns, and its weights on the bus.

    Word ``group * inputs + j`` of ``weights`` holds the weights, ``weight_bits`` each, two's
    complement, of input ``j`` to the ``lanes`` outputs from ``group * lanes`` on, the first lowest.
    ``classes``: of its learning signal; ``steps``: T.
    """

    layer: str
    inputs: int = Field(gt=0)
    outputs: int = Field(gt=0)
    lanes: int = Field(gt=0)
    weight_bits: int = Field(gt=0)
    weight_frac: int
    classes: int = Field(gt=1)
    steps: int = Field(gt=0)
    weights: WeightMemory


class Activity(Strict):
    """What a design costs whose cycles depend on its spikes: cycles between frames in which
    nothing spikes, and in which everything does. ``expected``: layer -> events a step (mean over
    the steps of a frame) that ``latency`` and ``ii`` are for. ``origin``: a ``share`` of inputs, or
    the mean of the recorded ``frames``."""

    silent_ii: int
    dense_ii: int
    expected: dict[str, float]
    origin: Literal["share", "measured"] = "share"
    frames: int = 0

    def describe(self) -> str:
        """Where the expected events come from."""
        measured = f"measured on {self.frames:,} recorded frames"
        return measured if self.origin == "measured" else "for a share of spikes"


class MissedTarget(Strict):
    """A target that no folding reaches: ``target_ii`` cycles a frame were asked for, ``ii`` are
    predicted. ``layer``: the slowest by itself, with ``layer_ii``; where that is no more than the
    target, what the frame waits for lies between layers: a loop's own latency, or bursts."""

    target_ii: int
    ii: int
    layer: str
    layer_ii: int

    def describe(self) -> str:
        """One sentence for the terminal and the report."""
        first = f"{self.target_ii} cycles a frame asked for, {self.ii} predicted"
        if self.layer_ii > self.target_ii:
            return f"{first}: '{self.layer}' takes {self.layer_ii} at its fastest or as planned"
        return (
            f"{first}: no layer takes more than {self.layer_ii}, the rest is waiting between them, "
            "in a loop or for bursts; a lower target makes it less"
        )


class HostStep(Strict):
    """An operation of the model outside of the circuit, which the host must apply to have the
    model's own values: node ``name`` ("" for what the codes mean) makes ``writes`` of ``reads``.
    """

    name: str
    operation: str
    reads: list[str]
    writes: str


def in_words(steps: Sequence[HostStep]) -> str:
    """``bias → batch norm → softmax``: what the host must do, in order."""
    return " → ".join(step.operation for step in steps)


def what_remains(steps: Sequence[HostStep]) -> str:
    """One line that says how much of a network is in its circuit."""
    if not steps:
        return "all of the network is in the circuit"
    return f"not in the circuit, the host must apply: {in_words(steps)}"


class BoardInfo(Strict):
    """What reports and synthesis need to know of a board.

    ``clock_mhz`` is the clock designs are planned for (from a PLL); ``oscillator_mhz`` is what
    the board's oscillator gives.
    """

    name: str
    family: str
    device: str
    package: str
    speed: str
    capacity: Cost
    clock_mhz: float
    oscillator_mhz: float | None = None


class Manifest(Strict):
    """Everything about one generated design, in plain data. Cycles are clock cycles.

    ``latency``: cycles from the first input beat of a frame to its last output beat (both
    counted as the cycle of the transfer, so a register has latency 1), pipeline empty, source
    and sink never waiting. ``ii``: cycles between frames in steady state. ``registers``: layers
    with run-time weights; then the top has AXI4-Lite ports ``s_axil_*`` with byte addresses of
    ``axil_address_bits``. ``activity``: for designs whose cycles depend on data.
    ``host_input``, ``host``: what is computed outside, before and after the circuit, in order;
    nothing after it means that the codes of ``output``, decoded, are the model's own output.
    ``output_format``: of the quantizer that was put at the end of the model, if one was.
    ``missed``: a target in cycles that the design does not reach.
    ``frames_depend``: states go on from frame to frame, from reset on. ``learning``: layers that
    learn, whose weights are on the bus too; ``logs``: streams that show what they write, a beat
    for each word, as many as the data decide.
    """

    schema_version: Literal[3] = SCHEMA_VERSION
    name: str
    host: list[HostStep] = []
    host_input: list[HostStep] = []
    output_format: str = ""
    top: str = "codesign_top"
    rtl: list[str]
    input: Port
    output: Port
    taps: list[Tap]
    layers: list[Layer]
    fifos: list[Fifo] = []
    edges: list[Edge]
    registers: list[WeightRegion] = []
    learning: list[LearningRegion] = []
    logs: list[Tap] = []
    axil_address_bits: int = 0
    latency: int
    ii: int
    activity: Activity | None = None
    frames_depend: bool = False
    board: BoardInfo
    target: str
    missed: MissedTarget | None = None
    model_sha256: str
    float_accuracy: float | None = None
    quantized_accuracy: float | None = None
    versions: dict[str, str]

    @property
    def has_bus(self) -> bool:
        """Whether the top has AXI4-Lite ports."""
        return bool(self.registers or self.learning)

    @property
    def watched(self) -> list[Tap]:
        """All streams inside that the native harness observes."""
        return [*self.taps, *self.logs]
