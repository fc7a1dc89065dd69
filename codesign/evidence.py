"""What verification and synthesis found: the schemas of ``reports/*.json``."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from codesign.schema import Cost, Strict


class Mismatch(Strict):
    """The first difference found: which tensor, where, and both codes."""

    tensor: str
    frame: int
    index: int
    expected: int
    actual: int
    against: str

    def __str__(self) -> str:
        return (
            f"first mismatch in tensor '{self.tensor}', frame {self.frame}, index {self.index}: "
            f"expected {self.expected}, got {self.actual} ({self.against})"
        )


class Evidence(Strict):
    """One link of the chain: two executions compared on every code of every boundary.

    ``explained_in``: by tensor, how many codes differ within proven float32 error. They are counted
    beside the equal ones, never among them.
    """

    link: str
    vectors: str
    frames: int
    tensors: list[str]
    codes: int
    mismatches: int
    explained_in: dict[str, int] = {}
    seed: int | None = None
    seconds: float
    note: str = ""
    first: Mismatch | None = None

    @property
    def explained(self) -> int:
        """Codes that differ within proven float32 error."""
        return sum(self.explained_in.values())

    @staticmethod
    def merged(parts: list[Evidence]) -> Evidence:
        """The evidence of successive frames as one."""
        totals: dict[str, object] = {
            name: sum(getattr(part, name) for part in parts)
            for name in ("frames", "codes", "mismatches", "seconds")
        }
        totals["explained_in"] = dict(sum((Counter(p.explained_in) for p in parts), Counter()))
        before, first = 0, None
        for part in parts:
            if part.first is not None and first is None:
                first = part.first.model_copy(update={"frame": part.first.frame + before})
            before += part.frames
        note = next((part.note for part in parts if part.note), "")
        return parts[0].model_copy(update={**totals, "first": first, "note": note})


class SpikingLayer(Strict):
    """A layer of neurons over the frames of one vector set, and the synapses that feed it.

    ``rate``: spikes a neuron and step, None for membranes; ``inputs_active``: share of the
    synapses' inputs that are not 0. ``synaptic_operations``: additions a frame that active inputs
    cause, of ``dense_operations`` (MACs of all steps). ``state_bits``: of all words of state of one
    neuron.
    """

    name: str
    neurons: int
    steps: int
    rate: float | None
    synapses: str = ""
    inputs_active: float = 0.0
    synaptic_operations: float = 0.0
    dense_operations: int = 0
    weight_bits: int = 0
    spike_bits: int = 0
    state_bits: int = 0


class EnergyTerm(Strict):
    """One thing that costs energy: how often a frame of the spiking network does it, and how often
    one of the equivalent quantized network, and the pJ of each."""

    name: str
    spiking: float
    spiking_pj: float
    baseline: float
    baseline_pj: float

    @property
    def spiking_nj(self) -> float:
        return self.spiking * self.spiking_pj / 1000

    @property
    def baseline_nj(self) -> float:
        return self.baseline * self.baseline_pj / 1000


class EnergyModel(Strict):
    """Energy of a frame by published figures for one operation; a model, nothing was measured.

    ``spiking_nj``, ``baseline_nj``: the sums of the ``terms`` (see ``codesign.verify.energy``), for
    the spiking and for the equivalent quantized network. Without terms, as results of earlier
    versions are: synaptic operations times ``add_pj``, MACs times ``mac_pj``, no more.
    """

    name: str
    mac_pj: float
    add_pj: float
    spiking_nj: float
    baseline_nj: float
    terms: list[EnergyTerm] = []


class CyclePoint(Strict):
    """A frame in the simulated circuit. ``spikes``: at the inputs of event-driven layers;
    ``cycles``: from first input to last output of the frame alone; ``interval``: between frames
    where it comes again and again (None in results of earlier versions). ``kind``: a ``frame`` of
    the vectors, or the ``silent`` one whose codes are all 0.
    """

    spikes: int
    cycles: int
    interval: float | None = None
    kind: Literal["frame", "silent"] = "frame"


class Trace(Strict):
    """What the simulated circuit had in a frame, beside what the model says: codes by step.

    ``kind``: ``input`` spikes, as sent or as the circuit encoded them, ``spikes`` of neurons, or
    their ``state``; ``neurons``: which, those that spike most, ``of`` how many. A state's code
    is worth ``scale``; ``threshold``: what it is compared with, in codes by step, empty where
    nothing is; ``fired``: whether the neuron put out a spike in a step; ``reset``: whether the
    code of such a step is what its reset left; then ``compared``: the model's codes before it.
    """

    tensor: str
    kind: Literal["input", "spikes", "state"]
    neurons: list[int]
    circuit: list[list[int]]
    model: list[list[int]]
    of: int = 0
    scale: float = 1.0
    threshold: list[list[int]] = []
    fired: list[list[int]] = []
    reset: bool = False
    compared: list[list[int]] = []


class SpikingReport(Strict):
    """Activity and cost of a spiking network, over ``frames`` of ``vectors``.

    Bit Budget, S-ACE and NS-ACE as in "Is Conventional SNN Really Efficient?" (Shen et al. 2024):
    T * b_w * b_s, the sum over layers of MACs * T * b_w * b_s, and that times the share of active
    inputs. ``equivalent_bits``: activation bits of the quantized network that T steps amount to,
    ceil(log2(T + 1)), and ``equivalent_ace`` what that one costs: the sum over layers of MACs *
    b_w * equivalent_bits. It is computed from this network's layers; no such network is trained.
    ``most_spikes``: at the inputs of event-driven layers if everything spikes; ``shown``: the frame
    of the traces.
    """

    vectors: str
    frames: int
    steps: int
    layers: list[SpikingLayer]
    bit_budget: int
    s_ace: float
    ns_ace: float
    equivalent_bits: int
    equivalent_ace: float
    energy: list[EnergyModel]
    cycles: list[CyclePoint] = []
    most_spikes: int = 0
    traces: list[Trace] = []
    shown: int = 0


class EventLoad(Strict):
    """Events a step that an event-driven layer was planned for, and those it got in the frames of
    one vector set: means over steps and frames."""

    layer: str
    expected: float
    seen: float


class EventReport(Strict):
    """The event-driven layers over ``frames`` of ``vectors``. ``origin``: of what was expected."""

    vectors: str
    frames: int
    origin: str
    layers: list[EventLoad]


class LearningPoint(Strict):
    """Share of right answers among the last frames up to number ``frame``, each answered before
    its weights changed for good: what it says while it learns."""

    frame: int
    accuracy: float


class LearningReport(Strict):
    """A training run on the simulated circuit: ``frames`` that learned in ``passes`` over ``data``.

    ``before``, ``after``: share of ``test_frames`` other frames answered right without learning.
    ``cycles_passing``, ``cycles_learning``: between frames, measured. ``weights``: how many there
    are, ``weights_changed``: of which the run changed so many. ``words``: of traces, Psi and
    weights that were compared as they were written.
    """

    data: str
    passes: int
    frames: int
    test_frames: int
    before: float
    after: float
    curve: list[LearningPoint]
    cycles_passing: float | None
    cycles_learning: float | None
    weights: int
    weights_changed: int
    words: int


class VerifyReport(Strict):
    """Result of ``codesign verify``."""

    evidence: list[Evidence]
    benches: list[BenchResult] = []
    latency: int | None = None
    ii: float | None = None
    accuracy: float | None = None
    accuracy_frames: int = 0
    spiking: SpikingReport | None = None
    learning: LearningReport | None = None
    events: EventReport | None = None
    versions: dict[str, str]

    @property
    def ok(self) -> bool:
        """No mismatch anywhere and every bench passed."""
        return all(e.mismatches == 0 for e in self.evidence) and all(b.passed for b in self.benches)


class BenchResult(Strict):
    """One cocotb test (or native run): what it did and how it ended."""

    name: str
    engine: str
    passed: bool
    frames: int
    seconds: float
    message: str = ""
    seed: int | None = None


class CriticalPath(Strict):
    """Start and end of the slowest path, its delay in ns and the hops on it."""

    start: str
    end: str
    delay_ns: float
    hops: list[str]


class SynthReport(Strict):
    """Result of ``codesign synth``: per layer and ``total`` after yosys.

    ``placed`` (after nextpnr, carry chain ends included), ``fmax_mhz`` and ``critical_path`` are
    None without place and route. ``seconds`` is wall clock time.
    """

    per_layer: dict[str, Cost]
    total: Cost
    capacity: Cost
    fmax_mhz: float | None
    critical_path: CriticalPath | None
    placed: Cost | None = None
    board: str = ""
    seed: int = 1
    seconds: float
    cached: bool
    rtl_hash: str
    versions: dict[str, str]


VerifyReport.model_rebuild()
