"""The Python interface: ``design = codesign.generate(model); design.verify(x)``."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from codesign.build import Progress, generate_into
from codesign.builddir import BuildDir
from codesign.errors import MismatchError, UnsupportedModel, UsageError
from codesign.evidence import SynthReport, VerifyReport
from codesign.formats import parse_format
from codesign.frontend import import_qonnx, load_model
from codesign.frontend.output_format import quantize_output
from codesign.frontend.survey import Survey, survey
from codesign.host import HostModel, host_steps
from codesign.learnfile import LearnFile, read_learning
from codesign.manifest import HostStep, Manifest
from codesign.passes import lower
from codesign.passes.expected import Activity
from codesign.plan import Goal, partition
from codesign.plan.planfile import PlanFile, read_plan

if TYPE_CHECKING:
    from codesign.weights import Weights


@dataclass(frozen=True)
class Design:
    """One generated design on disk. Every method reads only its folder."""

    path: Path

    @property
    def manifest(self) -> Manifest:
        """Ports, layers, folding and cycle counts."""
        return BuildDir.open(self.path).manifest

    def verify(
        self,
        inputs: np.ndarray | None = None,
        *,
        weights: str | Path | onnx.ModelProto | None = None,
        **options: Any,
    ) -> VerifyReport:
        """Prove the circuit equal to the model; ``MismatchError`` naming the first difference.

        ``inputs``: float32 [n, ...] as the network takes them; without, the recorded test
        vectors and 10,000 random ones. ``weights``: a model whose weights are loaded first, see
        :meth:`load_weights`. Options as in :func:`codesign.verify.verify`.
        """
        from codesign.verify import verify

        with BuildDir.open(self.path).reading() as build:
            loaded = None if weights is None else self.load_weights(weights)
            report = verify(build, inputs=inputs, weights=loaded, **options)
        if not report.ok:
            raise MismatchError(describe_failure(report), where=str(self.path))
        return report

    def predict(self, inputs: Any) -> np.ndarray | dict[str, np.ndarray]:
        """The model's own outputs for ``inputs`` (numbers [n, ...] as the network takes them): the
        circuit's codes, then what the manifest's ``host`` says is left to the host.

        float32 [n, ...], or int64 where the model yields integers; by name if there are several.
        The circuit is the integer reference that :meth:`verify` proves the RTL equal to.
        """
        return self._model.predict(np.asarray(inputs))

    def trace(self, inputs: Any) -> dict[str, np.ndarray]:
        """What the model has at every boundary for ``inputs``, by the name of its tensor: the
        quantized tensors inside, as the numbers their codes stand for, and the outputs."""
        return self._model.trace(np.asarray(inputs))

    @property
    def _model(self) -> HostModel:
        return HostModel.open(BuildDir.open(self.path))

    def load_weights(
        self, model: str | Path | onnx.ModelProto, *, input_format: str | None = None
    ) -> Weights:
        """The bus writes that give a design with run-time weights those of ``model``.

        ``model``: the same network with other weights (same scales, biases, batch normalization;
        anything else is ``UnsupportedModel``). ``verify(weights=model)`` proves the circuit with
        them.
        """
        from codesign.weights import weights_for

        source = model if isinstance(model, onnx.ModelProto) else Path(model)
        format = parse_format(input_format) if input_format else None
        return weights_for(BuildDir.open(self.path), source, input_format=format)

    def synth(self, **options: Any) -> SynthReport:
        """Synthesise, place and route for the board of the design."""
        from codesign.toolchain.synth import synthesise

        with BuildDir.open(self.path).reading() as build:
            report = synthesise(build, board=build.manifest.board, **options)
            build.write("reports/synth.json", report)
        return report

    def report(self) -> Path:
        """Write ``reports/report.json`` and ``report.html``; the path of the latter."""
        from codesign.report import write_report

        return write_report(BuildDir.open(self.path))


def generate(
    model: Any,
    out: str | Path | None = None,
    *,
    example_input: Any = None,
    labels: Any = None,
    board: str = "ulx3s",
    target_ii: int | None = None,
    fps: float | None = None,
    clock_mhz: float | None = None,
    smallest: bool = False,
    unrolled: bool = False,
    config: str | Path | None = None,
    input_format: str | None = None,
    output_format: str | None = None,
    runtime_weights: bool = False,
    softmax: str = "host",
    activity: Activity | None = None,
    learn: str | Path | LearnFile | None = None,
    input: str = "dense",
    progress: Progress = lambda _: None,
) -> Design:
    """Generate a circuit from a QONNX file, a ``ModelProto`` or a live Brevitas module.

    ``example_input``: needed for a module, a tensor of the shape it takes (batch first);
    ``labels``: the class of each of its frames, for the accuracy. The module is recorded in
    evaluation mode (with a warning if it was in training mode) and left in its own.
    ``out``: the build folder; a temporary one when left out. At most one target: ``target_ii``
    (cycles a frame), ``fps`` (frames a second at ``clock_mhz``, by default the board's),
    ``smallest`` or ``unrolled``; none means the fastest folding that fits the board.
    ``input_format``: codes of an input the model does not quantize, e.g. ``int16:2^-10``;
        :func:`codesign.formats.parse_format` says what may be written.
    ``output_format``: a quantizer put at the end of the model, e.g. ``int16:2^-8``: the circuit
    then computes exactly that model, to its last tensor.
    ``runtime_weights``: the weights of folded layers can be written over AXI4-Lite.
    ``activity``: layers between spikes become event-driven, planned for this share of spikes, or,
    ``"measured"``, each for those it gets in the recorded frames.
    ``learn``: a rule file (or its schema), by which dense layers of neurons learn on the chip.
    ``input``: ``dense`` beats, or address ``events`` where the first layers are event-driven.
    ``softmax``: one at the end is computed on the ``host``, or is replaced by ``argmax``.

    Raises ``UnsupportedModel``, ``OverBudget`` or ``UsageError``.
    """
    target = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="codesign-")) / "build"
    choices = read_plan(Path(config)) if config is not None else PlanFile()
    goal = make_goal(choices, board, target_ii, fps, clock_mhz, smallest, unrolled)
    source, golden, scratch = _resolve(model, example_input, labels)
    try:
        generate_into(
            target, source, goal=goal, board=board, choices=choices, golden=golden,
            input_format=parse_format(input_format) if input_format else None,
            output_format=parse_format(output_format) if output_format else None,
            runtime_weights=runtime_weights, softmax=softmax, activity=activity,
            learn=read_learning(Path(learn)) if isinstance(learn, str | Path) else learn,
            input=input, progress=progress,
        )  # fmt: skip
    finally:
        if scratch is not None:
            scratch.cleanup()
    return Design(target)


@dataclass(frozen=True)
class Blocker:
    """One reason why a model cannot be built, and the nodes that wait for it."""

    where: str
    problem: str
    hint: str
    holds_up: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """What :func:`check` found. ``layers``: name and kind of each layer of hardware; ``host``: what
    is left to the host after the circuit, in order."""

    model: str
    survey: Survey
    blockers: tuple[Blocker, ...]
    layers: tuple[tuple[str, str], ...] = ()
    host: tuple[HostStep, ...] = ()

    @property
    def supported(self) -> bool:
        """Whether the model can be built."""
        return not self.blockers


def check(
    model: str | Path | onnx.ModelProto,
    *,
    input_format: str | None = None,
    output_format: str | None = None,
    progress: Progress = lambda _: None,
) -> Check:
    """What of a model is supported, without generating: every tensor's format and range, and
    everything that blocks, not just the first. ``input_format``: the codes of a network input
    that the file does not quantize, such as ``int16:2^-10``.

    Raises ``UsageError`` for a file that cannot be read and ``UnsupportedModel`` for a graph so
    malformed that it cannot be walked.
    """
    proto = model if isinstance(model, onnx.ModelProto) else load_model(model)
    name = "" if isinstance(model, onnx.ModelProto) else str(model)
    progress("trying every node")
    format = parse_format(input_format) if input_format is not None else None
    proto = quantize_output(proto, parse_format(output_format)) if output_format else proto
    found = survey(proto, input_format=format)
    held: dict[str, list[str]] = {}
    for row in found.rows:
        for blocker in row.waits_for:
            held.setdefault(blocker, []).append(row.node)
    blockers = tuple(
        Blocker(row.node, row.problem, row.hint, tuple(dict.fromkeys(held.get(row.node, ()))))
        for row in found.blocked
    )
    if blockers:
        return Check(name, found, blockers)
    progress("lowering to integer codes")
    try:
        circuit = partition(lower(import_qonnx(proto, input_format=format).graph))
    except UnsupportedModel as error:
        return Check(name, found, (Blocker(error.where, error.what, error.hint),))
    layers = tuple((layer.name, layer.head.kind) for layer in circuit.layers)
    return Check(name, found, (), layers, tuple(host_steps(circuit)))


def _resolve(
    model: Any, example_input: Any, labels: Any
) -> tuple[Path | onnx.ModelProto, Path | None, tempfile.TemporaryDirectory[str] | None]:
    """(model, recorded PyTorch vectors, folder to remove afterwards)."""
    if labels is not None and isinstance(model, onnx.ModelProto | str | Path):
        raise UsageError(
            "labels are for a live module: a file's are recorded beside it",
            hint="record_golden(module, model, inputs, labels=labels), saved as MODEL.golden.npz",
        )
    if isinstance(model, onnx.ModelProto):
        return model, None, None
    if isinstance(model, str | Path):
        golden = Path(model).with_suffix(".golden.npz")
        return Path(model), golden if golden.exists() else None, None
    from codesign.train.export import export_module
    from codesign.train.golden import checked_labels, record_golden, save_golden
    from codesign.train.live import check_module, checked_example
    from codesign.train.modes import evaluating

    check_module(model)
    if example_input is None:
        raise UsageError(
            "a live module needs an example input", hint="generate(module, example_input=x)"
        )
    example = checked_example(model, example_input)
    checked_labels(labels, len(example))
    with evaluating(model):
        proto = export_module(model, example)
        recorded = record_golden(model, proto, example, labels=labels)
    scratch = tempfile.TemporaryDirectory(prefix="codesign-")
    path = Path(scratch.name) / "golden.npz"
    save_golden(recorded, path)
    return proto, path, scratch


def make_goal(
    choices: PlanFile,
    board: str,
    target_ii: int | None,
    fps: float | None,
    clock_mhz: float | None,
    smallest: bool,
    unrolled: bool,
) -> Goal:
    """The one target among the options and the plan file; ``UsageError`` when they conflict."""
    from codesign import boards

    design = choices.design
    given = [target_ii is not None, fps is not None, smallest, unrolled]
    if sum(given) > 1:
        raise UsageError("give one of --target-ii, --fps, --smallest and --unrolled")
    if not any(given):
        target_ii, fps = design.target_ii, design.fps
        unrolled = design.style == "unrolled"
        if sum([target_ii is not None, fps is not None, unrolled]) > 1:
            raise UsageError("[design] gives more than one of target_ii, fps, style = 'unrolled'")
    if target_ii is not None:
        if target_ii < 1:
            raise UsageError(f"--target-ii must be at least 1, got {target_ii}")
        return Goal("ii", target_ii)
    if fps is not None:
        clock = clock_mhz or design.clock_mhz or boards.get(board).clock_mhz
        if not fps > 0 or not 0 < clock < math.inf:
            raise UsageError(f"--fps and --clock must be positive, got {fps:g} and {clock:g} MHz")
        if fps > clock * 1e6:
            raise UsageError(
                f"{fps:g} frames/s exceed one frame a cycle at {clock:g} MHz",
                hint=f"ask for at most {clock * 1e6:g} frames/s, or raise --clock",
            )
        return Goal("ii", int(clock * 1e6 // fps), f"{fps:g} frames/s at {clock:g} MHz")
    if smallest:
        return Goal("smallest")
    return Goal("unrolled") if unrolled else Goal("fastest")


def describe_failure(report: VerifyReport) -> str:
    """The first thing that went wrong, in one sentence."""
    for evidence in report.evidence:
        if evidence.mismatches:
            found = str(evidence.first) if evidence.first else evidence.note
            return f"{evidence.link}: {evidence.mismatches} mismatches; {found}"
    failed = next(b for b in report.benches if not b.passed)
    return f"bench '{failed.name}' failed: {failed.message}"
