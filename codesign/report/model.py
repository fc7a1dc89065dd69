"""The one Report model behind the terminal table, the JSON file and the HTML page.

Whatever was not run is ``None`` here and "not run" on the page: nothing is ever invented.
Times are in cycles, µs or ns as named; resources as in :class:`~codesign.builddir.Cost`;
percentages are 0 … 100, accuracies 0 … 1.
"""

from __future__ import annotations

from typing import Literal

from codesign.evidence import CriticalPath, SynthReport, VerifyReport
from codesign.manifest import Activity, BoardInfo, Edge, Fifo, HostStep, what_remains
from codesign.schema import Cost
from codesign.schema import Strict as Base

Status = Literal["exact", "explained", "failed", "unverified"]

KINDS = {"lut": "LUT4", "ff": "Flip-flops", "dsp": "DSP", "bram": "Block RAM"}


class Verdict(Base):
    """What the evidence says. ``frames`` and ``codes`` count what went through the RTL."""

    status: Status
    headline: str
    detail: str
    frames: int = 0
    codes: int = 0
    mismatches: int = 0
    explained: int = 0


class Speed(Base):
    """Throughput and latency at one clock (MHz)."""

    clock_mhz: float
    frames_per_second: float
    latency_us: float


class Performance(Base):
    """Cycle counts are the design's own; ``measured_*`` come from simulation.

    ``meets_clock`` compares Fmax with the board's clock; None without place and route.
    """

    latency_cycles: int
    ii: int
    measured_latency: int | None
    measured_ii: float | None
    at_board_clock: Speed
    at_fmax: Speed | None
    meets_clock: bool | None
    macs: int
    gmacs_at_board_clock: float


class LayerRow(Base):
    """One layer: how it is built, estimated and synthesised resources.

    ``utilisation`` is the share of cycles its multipliers work, in %:
    MACs / (PE · SIMD · II of the design). ``difference`` is (estimate - synthesised) /
    synthesised in %, None where nothing was synthesised of that kind.
    """

    name: str
    op: str
    style: str
    in_label: str
    out_label: str
    macs: int
    pe: int
    simd: int
    pixels: int
    realisation: str
    reason: str
    ii: int
    latency: int
    utilisation: float | None
    bottleneck: bool
    estimate: Cost
    synthesised: Cost | None
    difference: dict[str, float | None]


class Usage(Base):
    """One resource of the board: used and available, in % where the board has any."""

    kind: str
    label: str
    used: int
    available: int
    percent: float | None


class Totals(Base):
    """Sums. ``glue`` is what is in no layer: stream registers and the AXI4-Stream top.

    ``board_usage`` is after place and route when that ran, else after yosys, else the estimate,
    as ``usage_source`` says.
    """

    estimate: Cost
    synthesised_layers: Cost | None
    glue: Cost | None
    synthesised: Cost | None
    placed: Cost | None
    difference: dict[str, float | None]
    usage_source: Literal["placed", "synthesised", "estimated"]
    board_usage: list[Usage]


class Accuracy(Base):
    """Share of labelled test frames classified right; None means not recorded."""

    float_model: float | None
    quantized_model: float | None
    circuit: float | None
    circuit_frames: int


class Report(Base):
    """Everything known of one build."""

    name: str
    top: str
    target: str
    missed: str
    model_sha256: str
    board: BoardInfo
    in_label: str
    out_label: str
    in_shape: str
    out_shape: str
    host: list[HostStep]
    verdict: Verdict
    performance: Performance
    layers: list[LayerRow]
    edges: list[Edge]
    fifos: list[Fifo]
    totals: Totals
    accuracy: Accuracy
    verify: VerifyReport | None
    synth: SynthReport | None
    synth_stale: bool
    critical_path: CriticalPath | None
    activity: Activity | None = None
    versions: dict[str, str]

    @property
    def remains(self) -> str:
        """How much of the network is in the circuit, in one line."""
        return what_remains(self.host)
