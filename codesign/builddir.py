"""BuildDir: the folder that carries one generated design between the stages.

``verify``, ``synth`` and ``report`` read only this folder, so each can run again, alone, on
another machine. The schemas are pydantic models because the folder is untrusted input.

Layout::

    manifest.json   Manifest: ports, taps, layers, plan, versions
    model/          model.onnx, graph.json + graph.npz (the integer graph), golden.npz (optional)
    rtl/            *.v
    reports/        verify.json, synth.json, report.json, report.html
    sim/ synth/     working folders of the tools (safe to delete)
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from codesign.errors import UsageError
from codesign.evidence import (
    BenchResult,
    CriticalPath,
    Evidence,
    Mismatch,
    SynthReport,
    VerifyReport,
)
from codesign.schema import Cost, Strict

__all__ = [
    "BenchResult",
    "Activity",
    "BoardInfo",
    "BuildDir",
    "Cost",
    "CriticalPath",
    "Edge",
    "EventPort",
    "Evidence",
    "Fifo",
    "Layer",
    "LearningRegion",
    "Manifest",
    "Mismatch",
    "Port",
    "Strict",
    "SynthReport",
    "Tap",
    "VerifyReport",
    "WeightMemory",
    "WeightRegion",
    "staged",
    "write_text_atomically",
]

SCHEMA_VERSION = 1


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
    beats of a frame may come before anything of that frame was given to the circuit.
    """

    port: Port
    path: list[str]
    stream: str = "o"
    waits: bool = True
    ahead: bool = False

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
    nothing spikes, and in which everything does. ``expected``: layer -> spikes a step that
    ``latency`` and ``ii`` are for."""

    silent_ii: int
    dense_ii: int
    expected: dict[str, int]


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
    ``frames_depend``: states go on from frame to frame, from reset on. ``learning``: layers that
    learn, whose weights are on the bus too; ``logs``: streams that show what they write, a beat
    for each word, as many as the data decide.
    """

    schema_version: int = SCHEMA_VERSION
    name: str
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


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class BuildDir:
    """Paths of one build folder, and checked reading and writing of its JSON files."""

    root: Path

    @staticmethod
    def open(path: str | os.PathLike[str]) -> BuildDir:
        """An existing BuildDir; ``UsageError`` when ``path`` is not one."""
        root = Path(path)
        if not (root / "manifest.json").is_file():
            raise UsageError(
                "this is not a build folder (no manifest.json)",
                where=str(root),
                hint="create one with: codesign generate model.onnx -o " + str(root),
            )
        return BuildDir(root)

    @property
    def manifest(self) -> Manifest:
        """The manifest, read and checked."""
        return self.read("manifest.json", Manifest)

    def rtl_files(self) -> list[Path]:
        """Verilog files, all inside ``rtl/`` (a manifest cannot point elsewhere)."""
        files = []
        for name in self.manifest.rtl:
            path = (self.root / "rtl" / name).resolve()
            if path.parent != (self.root / "rtl").resolve() or not path.is_file():
                raise UsageError("RTL file is missing or outside rtl/", where=name)
            files.append(path)
        return files

    def read(self, name: str, schema: type[M]) -> M:
        """Parse ``name`` as ``schema``; ``UsageError`` naming the field that is wrong."""
        path = self.root / name
        try:
            return schema.model_validate_json(path.read_text())
        except OSError as error:
            raise UsageError(f"cannot read: {error.strerror}", where=str(path)) from error
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(p) for p in first["loc"])
            raise UsageError(
                f"field '{field}': {first['msg']}", where=str(path), hint="generate it again"
            ) from error

    def read_optional(self, name: str, schema: type[M]) -> M | None:
        """As :meth:`read`, or None when the file does not exist."""
        return self.read(name, schema) if (self.root / name).exists() else None

    def write(self, name: str, model: BaseModel) -> None:
        """Write ``model`` as JSON, atomically."""
        write_text_atomically(self.root / name, json.dumps(model.model_dump(), indent=1) + "\n")


def write_text_atomically(path: Path, text: str) -> None:
    """Write beside ``path``, then move into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix="." + path.name)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A fresh folder beside ``target`` that replaces it only if the block succeeds.

    An existing ``target`` is replaced only when it is empty or a build folder (has a
    manifest.json): anything else is the user's and is left alone (``UsageError``).
    """
    if target.exists() and not target.is_dir():
        raise UsageError("output exists and is not a folder", where=str(target))
    if target.exists() and any(target.iterdir()) and not (target / "manifest.json").exists():
        raise UsageError(
            "output folder is not empty and not a build folder",
            where=str(target),
            hint="choose another -o, or empty it yourself",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    os.chmod(work, 0o755)
    try:
        yield work
        if target.exists():
            shutil.rmtree(target)
        os.replace(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
