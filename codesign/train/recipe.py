"""The training recipe behind ``codesign train``: float first, then quantization-aware."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from codesign.errors import UsageError
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

Progress = Callable[[str], None]

#: Epochs (float, quantized) and batch size: about 10 s for digits on one idle core, one
#: minute for mnist.
EPOCHS = {"digits": (80, 40), "mnist": (4, 20)}
BATCH = {"digits": 64, "mnist": 256}
#: Random inputs hold about this many numbers altogether.
RANDOM_VALUES = 1 << 20
#: Share of batches that are shifted by up to one pixel.
SHIFTED = 0.3


@dataclass(frozen=True)
class TrainResult:
    """A trained network: the Brevitas module, its QONNX model, PyTorch's own recorded results,
    and the accuracy on the test split before and after quantization."""

    module: Any
    model: onnx.ModelProto
    golden: Golden
    float_accuracy: float
    quantized_accuracy: float


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
    lr: float = 1e-2,
    seed: int = 0,
    data: Path | None = None,
    random_frames: int | None = None,
    progress: Progress = lambda _: None,
) -> TrainResult:
    """Train an MLP on ``dataset`` and export it; deterministic for a given ``seed``.

    ``input_bits``: by default at least 4, whatever the activations have.
    ``epochs`` counts each of the two phases, float and quantized. Accuracies are fractions on the
    test split, of the last epoch (no epoch is picked by its test accuracy). ``random_frames``:
    recorded beside the test split; by default 10,000, fewer where that would fill the disk.
    """
    if epochs is not None and epochs < 1:
        raise UsageError(f"epochs must be at least 1, got {epochs}")
    images = load(dataset, data)
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
    first, second = (epochs, epochs) if epochs else EPOCHS.get(dataset, (20, 20))
    with _one_thread(seed):
        float_net = float_mlp(config)
        _fit(float_net, images, first, lr, "float", progress)
        float_accuracy = accuracy(float_net, images.test_x, images.test_y)
        module = quantized_mlp(config)
        if config.fixed_weight_scale:
            centre_weights(config, float_net)
        copy_float_weights(float_net, module)
        _fit(module, images, second, lr / 2, "quantized", progress)
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
    return TrainResult(module, model, golden, float_accuracy, quantized_accuracy)


def save(result: TrainResult, path: Path) -> Path:
    """Write the model to ``path`` and the recorded results beside it; returns the latter's path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(result.model.SerializeToString())
    beside = path.with_suffix(".golden.npz")
    save_golden(result.golden, beside)
    return beside


@contextmanager
def _one_thread(seed: int) -> Iterator[None]:
    """Seeded, and on one thread: for networks this small that is faster, and repeatable."""
    torch = need("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _fit(net: Any, images: Dataset, epochs: int, lr: float, phase: str, progress: Progress) -> None:
    """Adam with a one-cycle learning rate; every epoch is one shuffled pass."""
    torch = need("torch")
    x, y = torch.from_numpy(images.train_x), torch.from_numpy(images.train_y)
    size = BATCH.get(images.name, 128)
    optimizer = torch.optim.Adam(net.parameters(), lr=lr, weight_decay=1e-5)
    steps = epochs * -(-len(x) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps, pct_start=0.2)
    net.train()
    for epoch in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x), size):
            pick = order[start : start + size]
            batch = _shift(x[pick]) if float(torch.rand(())) < SHIFTED else x[pick]
            loss = torch.nn.functional.cross_entropy(net(batch), y[pick])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        progress(f"{phase} epoch {epoch + 1} of {epochs}, loss {float(loss.detach()):.3f}")
    net.eval()


def _shift(x: Any) -> Any:
    """Square images (flattened, float32 [n, side * side]) moved by at most one pixel."""
    torch = need("torch")
    side = math.isqrt(x.shape[1])
    dy, dx = (int(d) for d in torch.randint(-1, 2, (2,)))
    if side * side != x.shape[1]:
        return x
    moved = torch.nn.functional.pad(x.reshape(-1, side, side), (1, 1, 1, 1))
    return moved[:, 1 + dy : 1 + dy + side, 1 + dx : 1 + dx + side].reshape(x.shape)


def accuracy(net: Any, x: np.ndarray, y: np.ndarray) -> float:
    """Share of rows of ``x`` (float32 [n, features]) whose largest logit is class ``y``."""
    torch = need("torch")
    net.eval()
    with torch.no_grad():
        logits = net(torch.from_numpy(x))
    return float((logits.argmax(-1).numpy() == y).mean())
