"""The training recipe behind ``codesign train``: float first, then quantization-aware."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from codesign.train.course import Course, HeldOut, Learner, Progress, hold_out, one_thread, teach
from codesign.train.datasets import Dataset, load
from codesign.train.export import export_module
from codesign.train.golden import Golden, record_golden, save_golden
from codesign.train.mlp import (
    MlpConfig,
    centre_weights,
    copy_float_weights,
    float_mlp,
    quantized_mlp,
    with_argmax,
)
from codesign.train.needs import need

#: Epochs (float, quantized) and batch size: about 10 s for digits on one idle core, one
#: minute for mnist.
EPOCHS = {"digits": (80, 40), "mnist": (4, 20)}
BATCH = {"digits": 64, "mnist": 256}
#: Random inputs hold about this many numbers altogether.
RANDOM_VALUES = 1 << 20
LR = 1e-2


@dataclass(frozen=True)
class TrainResult:
    """A trained network: the Brevitas module, its QONNX model, PyTorch's own recorded results,
    and the accuracy on the test split before and after quantization, and on the training samples
    that were held back, if any."""

    module: Any
    model: onnx.ModelProto
    golden: Golden
    float_accuracy: float
    quantized_accuracy: float
    held_out_accuracy: float | None = None


def train(
    dataset: str,
    *,
    weights: int = 4,
    activations: int = 4,
    hidden: tuple[int, ...] = (32, 16),
    input_bits: int | None = None,
    batch_norm: bool = False,
    argmax: bool = False,
    scale: str = "power_of_two",
    per_channel: bool = False,
    epochs: int | None = None,
    lr: float | None = None,
    batch: int | None = None,
    holdout: float = 0.0,
    seed: int = 0,
    data: Path | None = None,
    random_frames: int | None = None,
    progress: Progress = lambda _: None,
) -> TrainResult:
    """Train an MLP on ``dataset`` and export it; deterministic for a given ``seed``.

    ``input_bits``: by default at least 4, whatever the activations have.
    ``epochs`` counts each of the two phases, float and quantized. Of ``lr``, the second has half.
    ``batch``, ``holdout``: see :class:`.Course`. Accuracies are fractions on the test split, of
    the last epoch or of that which did best on held-out training samples (no epoch is picked by its
    test accuracy). ``random_frames``: recorded beside the test split; by default 10,000, fewer
    where that would fill the disk.
    """
    first, second = EPOCHS.get(dataset, (20, 20)) if epochs is None else (epochs, epochs)
    course = Course(first, batch or BATCH.get(dataset, 128), LR if lr is None else lr, holdout)
    images, held = hold_out(load(dataset, data), holdout, seed)
    sizes = (images.train_x.shape[1], *hidden, images.classes)
    config = MlpConfig(
        sizes,
        weights,
        activations,
        input_bits or max(4, activations),
        batch_norm,
        scale,
        per_channel,
    )
    with one_thread(seed):
        float_net = float_mlp(config)
        _fit(float_net, images, held, course, "float ", progress)
        float_accuracy = accuracy(float_net, images.test_x, images.test_y)
        module = quantized_mlp(config)
        if config.fixed_weight_scale:
            centre_weights(config, float_net)
        copy_float_weights(float_net, module)
        course = replace(course, epochs=second, lr=course.lr / 2)
        best = _fit(module, images, held, course, "quantized ", progress)
        quantized_accuracy = accuracy(module, images.test_x, images.test_y)
        progress("exporting and recording PyTorch's results")
        module = with_argmax(module) if argmax else module.eval()
        model = export_module(module, images.test_x[:1])
        golden = record_golden(
            module,
            model,
            images.test_x,
            labels=images.test_y,
            random_frames=random_frames or min(10_000, RANDOM_VALUES // sizes[0]),
            seed=seed,
            float_accuracy=float_accuracy,
        )
    return TrainResult(module, model, golden, float_accuracy, quantized_accuracy, best)


def save(result: TrainResult, path: Path) -> Path:
    """Write the model to ``path`` and the recorded results beside it; returns the latter's path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(result.model.SerializeToString())
    beside = path.with_suffix(".golden.npz")
    save_golden(result.golden, beside)
    return beside


def _fit(
    net: Any, images: Dataset, held: HeldOut | None, course: Course, phase: str, progress: Progress
) -> float | None:
    """Accuracy on ``held``, see :func:`.teach`."""

    def learn(x: Any, y: Any) -> float:
        loss = need("torch").nn.functional.cross_entropy(net(x), y)
        loss.backward()
        return float(loss.detach())

    learner = Learner(
        net, learn, net.parameters(), lambda x, y: accuracy(net, x, y), weight_decay=1e-5
    )
    return teach(learner, images, held, course, progress, phase)


def accuracy(net: Any, x: np.ndarray, y: np.ndarray) -> float:
    """Share of rows of ``x`` (float32 [n, features]) whose largest logit is class ``y``."""
    torch = need("torch")
    net.eval()
    with torch.no_grad():
        logits = net(torch.from_numpy(x))
    return float((logits.argmax(-1).numpy() == y).mean())
