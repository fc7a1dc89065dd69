"""The recipe behind ``codesign train DATA --spiking``."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from codesign.errors import UsageError
from codesign.exchange import read_metadata
from codesign.train.course import Course, HeldOut, Learner, Progress, hold_out, one_thread, teach
from codesign.train.golden import Golden, save_golden
from codesign.train.needs import need
from codesign.train.spiking.build import NetConfig, dense_net
from codesign.train.spiking.choose import neuron
from codesign.train.spiking.encode import Encoding
from codesign.train.spiking.export import Exported, export_spiking
from codesign.train.spiking.fused import block as fused
from codesign.train.spiking.golden import record_spiking
from codesign.train.spiking.network import SpikingNet
from codesign.train.spiking.readout import BesselLast, Readout, readout
from codesign.train.spiking.rules.base import Objective, Rule
from codesign.train.spiking.rules.bptt import Bptt
from codesign.train.spiking.rules.grapes import Grapes
from codesign.train.spiking.rules.leaves import weight_layers
from codesign.train.spiking.rules.ostl import Ostl
from codesign.train.spiking.rules.qcfs import ann, convert
from codesign.train.spiking.rules.sltt import Sltt
from codesign.train.spiking.rules.tess import Tess
from codesign.train.spiking.task import Task, load_task

RULES = ("bptt", "sltt", "sltt-k", "ostl", "tess", "qcfs")
#: Passes over the data, batch size and learning rate by default.
EPOCHS = {"digits": 40, "mnist": 20}
BATCH = {"mnist": 128}
LR = {"mnist": 5e-3}
#: Pixels that pictures are moved by, see :class:`.Course`: a whole one is much of eight.
DRIFT = {"digits": 0.5}
#: What a step leaves of a hidden membrane by default.
DECAY = 0.875
#: What scores are multiplied by before the softmax: membranes stay small where spikes cost.
GAIN = 2.0
#: Inputs from which on weights are smaller.
MANY = 300
#: Recorded numbers altogether, about: MNIST's traces would fill the disk otherwise.
RECORDED = 1 << 26


@dataclass(frozen=True)
class SpikingOptions:
    """``steps``: T. ``rule``: one of :data:`RULES`. ``neuron``: see :mod:`.choose`. ``encoding``
    ``auto``: latency for pictures. ``low``: see :class:`.Encoding`; by
    default what suits the data. ``input_bits``: of an input code, see :func:`.load_task`.
    ``encoder``: who encodes, the ``host`` or the ``circuit``, whose
    file then takes the numbers themselves. ``readout``: see :mod:`.readout`; ``order`` and
    ``cutoff``: of its filter. ``grapes``: wrap the optimizer. ``k``: steps learned from by
    sltt-k, a quarter by default. ``levels``: L of qcfs. ``decay``: what a step leaves of a hidden
    membrane, 7/8 by default. ``recurrent``: hidden layers hear their own spikes of the step before.
    ``activity``: what a hidden spike costs (bptt). ``epochs``, ``batch``, ``lr``, ``holdout``: see
    :class:`.Course`; by default what suits the data."""

    steps: int = 4
    rule: str = "bptt"
    neuron: str = "lif"
    encoding: str = "auto"
    readout: str = "membrane"
    grapes: bool = False
    weights: int = 4
    hidden: tuple[int, ...] = (128,)
    decay: float | None = None
    recurrent: bool = False
    epochs: int | None = None
    batch: int | None = None
    lr: float | None = None
    holdout: float = 0.0
    activity: float = 0.0
    low: int | None = None
    input_bits: int | None = None
    encoder: str = "host"
    order: int = 2
    cutoff: float = 0.25
    k: int | None = None
    levels: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise UsageError(f"unknown rule '{self.rule}'", hint=f"known: {', '.join(RULES)}")
        if self.steps < 1:
            raise UsageError(f"a network runs at least 1 time step, got T = {self.steps}")
        self.course("")
        if not 0 <= self.activity < math.inf:
            raise UsageError(
                f"a hidden spike costs 0 or more, got --activity {self.activity:g}",
                hint="--activity 0.002",
            )
        if self.encoder not in ("host", "circuit"):
            raise UsageError(f"unknown encoder '{self.encoder}'", hint="use host or circuit")
        self.reader  # noqa: B018 - refuses an unknown one
        if self.rule == "qcfs" and (self.neuron != "lif" or self.recurrent):
            raise UsageError("qcfs makes its own neurons, in feed-forward networks")
        if self.decay is not None and not 0 <= self.decay <= 1:
            raise UsageError(f"a decay is 0 to 1, got {self.decay}")
        if self.decay is not None and (self.rule == "qcfs" or self.neuron == "tinyodin"):
            who = "qcfs" if self.rule == "qcfs" else "tinyodin"
            raise UsageError(f"{who} has no membrane that decays by a factor", hint="leave it out")
        if self.rule == "qcfs" and self.readout != "membrane":
            raise UsageError("qcfs reads out the membrane", hint="--readout membrane")

    @property
    def reader(self) -> Readout:
        """How the output is read."""
        if self.readout != "bessel_last":
            return readout(self.readout)
        found = BesselLast(self.order, self.cutoff)
        found.sections  # noqa: B018 - refuses a filter that cannot be
        return found

    def course(self, dataset: str) -> Course:
        """How long and how fast to learn ``dataset``."""

        def given(value: Any, default: Any) -> Any:
            return default if value is None else value

        return Course(
            given(self.epochs, EPOCHS.get(dataset, 30)),
            given(self.batch, BATCH.get(dataset, 64)),
            given(self.lr, LR.get(dataset, 1e-2)),
            self.holdout,
            DRIFT.get(dataset, 0.0),
        )


@dataclass(frozen=True)
class SpikingResult:
    """A trained network, its files, and what was measured on the test split: ``accuracy``, spikes
    a frame arriving and of all hidden layers. ``held_out``: accuracy on the training samples that
    were held back, if any."""

    net: SpikingNet
    exported: Exported
    golden: Golden
    accuracy: float
    input_spikes: float
    hidden_spikes: float
    held_out: float | None = None


def train_spiking(
    dataset: str,
    options: SpikingOptions,
    *,
    data: Path | None = None,
    progress: Progress = lambda _: None,
) -> SpikingResult:
    """Train on ``dataset`` (pictures or events), export, record; deterministic for a seed."""
    encoding = (
        "direct" if options.rule == "qcfs" and options.encoding == "auto" else options.encoding
    )
    if options.rule == "qcfs" and encoding != "direct":
        raise UsageError("qcfs needs a constant input", hint="--encoding direct")
    task = load_task(
        dataset, encoding, options.steps, data, options.seed, options.low, options.input_bits
    )
    if options.encoder == "circuit":
        task.encoding.in_circuit()  # before hours of training
    config = network_config(task, options)
    task, held = hold_out(task, options.holdout, options.seed)
    with one_thread(options.seed):
        if options.rule == "qcfs":
            net, best = _converted(task, held, config, options, progress)
        else:
            net = dense_net(config)
            best = fit(net, rule_of(options), task, options, progress, held)
        progress("exporting and recording PyTorch's results")
        return finished(net, task, options, best)


def finished(
    net: SpikingNet, task: Task, options: SpikingOptions, held_out: float | None = None
) -> SpikingResult:
    """Measure, export and record a trained network."""
    score, given, hidden = measure(net, task.encoding, task.test_x, task.test_y, options.reader)
    reader = options.reader
    exported = export_spiking(
        net,
        (task.features,),
        task.encoding,
        options.readout,
        encodes=options.encoder == "circuit",
        sections=reader.sections if isinstance(reader, BesselLast) else None,
    )
    per_frame = task.encoding.steps * (task.features + sum(_widths(net)))
    count = max(1, min(len(task.test_x), RECORDED // per_frame))
    golden = record_spiking(
        net,
        exported,
        task.encoding,
        options.readout,
        task.test_x[:count] if exported.encodes else task.encoding(task.test_x[:count]),
        task.test_y[:count],
        seed=options.seed,
    )
    return SpikingResult(
        net, exported, replace(golden, quantized_accuracy=score), score, given, hidden, held_out
    )


def save(result: SpikingResult, path: Path) -> Path:
    """Write the Scan form to ``path``, the one-step form and the recorded results beside it;
    returns the latter's path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(result.exported.scan.SerializeToString())
    path.with_suffix(".step.onnx").write_bytes(result.exported.step.SerializeToString())
    beside = path.with_suffix(".golden.npz")
    save_golden(result.golden, beside)
    return beside


def network_config(task: Task, options: SpikingOptions) -> NetConfig:
    """The network for a task: thresholds (about 1) and biases learned, weights within 1, or 1/2
    where a neuron has hundreds of them."""
    config = NetConfig(
        (task.features, *options.hidden, task.classes),
        weights=options.weights,
        weight_frac=options.weights - (1 if task.features < MANY else 0),
        input_frac=task.encoding.frac,
        decay=DECAY if options.decay is None else options.decay,
        output=options.reader.neuron_output,
        recurrent=options.recurrent,
    )
    return replace(config, neuron=neuron(options.neuron, config))


def rule_of(options: SpikingOptions) -> Rule:
    """The learning rule that was asked for."""
    k = options.k if options.k is not None else max(1, options.steps // 4)
    made: dict[str, Rule] = {
        "bptt": Bptt(activity=options.activity, fused=True),
        "sltt": Sltt(),
        "sltt-k": Sltt(k=k),
        "ostl": Ostl(),
        "tess": Tess(seed=options.seed + 1),
    }
    return made[options.rule]


def fit(
    net: SpikingNet,
    rule: Rule,
    task: Task,
    options: SpikingOptions,
    progress: Progress,
    held: HeldOut | None = None,
) -> float | None:
    """Train ``net``; returns the accuracy on ``held``, see :func:`.teach`."""
    objective = Objective(options.reader, GAIN)

    def learn(x: Any, y: Any) -> float:
        encoded = need("torch").from_numpy(task.encoding(x.numpy()))
        return rule.gradients(net, encoded, y, objective)

    def score(x: np.ndarray, y: np.ndarray) -> float:
        return measure(net, task.encoding, x, y, options.reader)[0]

    return _teach(net, learn, score, task, options, progress, held)


def _teach(
    net: Any,
    learn: Any,
    score: Any,
    task: Task,
    options: SpikingOptions,
    progress: Progress,
    held: HeldOut | None,
) -> float | None:
    course = options.course(task.name)
    learner = Learner(
        net,
        learn,
        groups(net, course.lr),
        score,
        wrap=lambda adam: Grapes(adam, net) if options.grapes else adam,
        after=lambda: clamp_weights(net),
    )
    return teach(learner, task, held, course, progress)


def groups(net: Any, lr: float) -> list[dict[str, Any]]:
    """Parameters with their learning rates: neurons' parameters are codes, so theirs grows with
    what a code is worth."""
    found: dict[float, list[Any]] = {}
    for name, parameter in net.named_parameters():
        owner = net.get_submodule(name.rpartition(".")[0])
        model = getattr(owner, "model", None)
        rate = lr if model is None else lr * 2.0**model.word.frac / 4
        found.setdefault(rate, []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in found.items()]


def clamp_weights(net: Any) -> None:
    """Keep float weights where their quantizer does not saturate, so that none gets lost."""
    torch = need("torch")
    with torch.no_grad():
        for layer in weight_layers(net):
            grid = getattr(layer, "grid", None)
            top = grid.top if grid is not None else _top(layer.quant_weight())
            layer.weight.clamp_(-top, top)


def _top(quantized: Any) -> float:
    """One step beyond the largest weight of a Brevitas quantizer."""
    return float(quantized.scale.max()) * 2.0 ** (float(quantized.bit_width) - 1)


def measure(
    net: SpikingNet, encoding: Encoding, x: np.ndarray, y: np.ndarray, read: Readout
) -> tuple[float, float, float]:
    """Of samples ``x`` with labels ``y``, read out by ``read``: accuracy, input spikes a frame,
    hidden spikes a frame."""
    torch = need("torch")
    right, given, hidden = 0, 0.0, 0.0
    with torch.no_grad():
        for start in range(0, len(x), 500):
            now = torch.from_numpy(encoding(x[start : start + 500]))
            given += float((now != 0).sum())
            for block in net.eval().blocks[:-1]:
                now = fused(block, now)
                hidden += float((now != 0).sum())
            guess = read(fused(net.blocks[-1], now)).argmax(1).numpy()
            right += int((guess == y[start : start + 500]).sum())
    return right / len(x), given / len(x), hidden / len(x)


def _converted(
    task: Task,
    held: HeldOut | None,
    config: NetConfig,
    options: SpikingOptions,
    progress: Progress,
) -> tuple[SpikingNet, float | None]:
    torch = need("torch")
    net = ann(config, options.levels or options.steps)

    def learn(x: Any, y: Any) -> float:
        codes = torch.from_numpy(task.encoding(x.numpy())[:, 0])
        loss = torch.nn.functional.cross_entropy(net(codes), y)
        loss.backward()
        return float(loss.detach())

    def score(x: np.ndarray, y: np.ndarray) -> float:
        spiking = convert(net, config, options.steps)
        return measure(spiking, task.encoding, x, y, options.reader)[0]

    best = _teach(net, learn, score, task, options, progress, held)
    return convert(net, config, options.steps), best


def _widths(net: SpikingNet) -> list[int]:
    """Numbers recorded a step for each layer."""
    found = []
    for block in net.blocks:
        (layer,) = weight_layers(block.synapse)
        states = len(block.neuron.model.states) if block.neuron is not None else 0
        found.append(layer.weight.shape[0] * (1 + states))
    return found


def summary(result: SpikingResult) -> dict[str, float]:
    """What the command line shows."""
    held = {} if result.held_out is None else {"held_out_accuracy": result.held_out}
    return {
        "accuracy": result.accuracy,
        **held,
        "input_spikes": result.input_spikes,
        "hidden_spikes": result.hidden_spikes,
        "steps": float(read_metadata(result.exported.scan).steps),
    }
