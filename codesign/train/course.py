"""What every recipe has in common: how long and how fast to learn, and on what.

Adam, a learning rate that rises for a fifth of the batches and falls to nothing (one-cycle), a
shuffled pass an epoch, pictures moved a little. Everything is chosen without the
test split: :attr:`Course.holdout` keeps training samples back for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from codesign.errors import UsageError
from codesign.train.needs import need

Progress = Callable[[str], None]

#: Share of batches that are shifted by up to one pixel.
SHIFTED = 0.3
#: Share of the batches in which the learning rate still rises.
RISING = 0.2


class Samples(Protocol):
    """What is learned from: float32 or uint8 [n, ...] and labels int64 [n]."""

    @property
    def train_x(self) -> np.ndarray: ...
    @property
    def train_y(self) -> np.ndarray: ...


Task = TypeVar("Task", bound=Samples)


@dataclass(frozen=True)
class Course:
    """``epochs``: passes over the data. ``batch``: samples of an update. ``lr``: the largest
    learning rate. ``holdout``: share of the training samples that are not learned from; the epoch
    that does best on them is kept (0: all are learned from, and the last epoch is kept).

    Raises :class:`UsageError` for what is no number of that kind.
    """

    epochs: int
    batch: int
    lr: float
    holdout: float = 0.0
    drift: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise UsageError(f"the learning rate must be above 0, got {self.lr}", hint="--lr 0.005")
        if not 0 <= self.holdout < 1:
            raise UsageError(
                f"holdout is a share of the training samples, 0 to below 1, got {self.holdout}",
                hint="--holdout 0.1",
            )

    def updates(self, samples: int) -> int:
        """Batches altogether."""
        return self.epochs * -(-samples // self.batch)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Training samples kept back: ``x`` [n, ...] and ``y`` int64 [n]."""

    x: np.ndarray
    y: np.ndarray


def hold_out(task: Task, share: float, seed: int) -> tuple[Task, HeldOut | None]:
    """``task`` with fewer training samples, and those that were drawn from it; None for 0.

    The test split is not touched. ``UsageError`` where either side would be empty.
    """
    if share == 0:
        return task, None
    count = len(task.train_x)
    kept_back = round(share * count)
    if not 0 < kept_back < count:
        raise UsageError(
            f"a holdout of {share} of {count} training samples leaves {kept_back} to choose with "
            f"and {count - kept_back} to learn from: both must be at least 1"
        )
    order = np.random.default_rng(seed).permutation(count)
    back, rest = np.sort(order[:kept_back]), np.sort(order[kept_back:])
    fewer = replace(task, train_x=task.train_x[rest], train_y=task.train_y[rest])  # type: ignore[type-var]
    return fewer, HeldOut(task.train_x[back], task.train_y[back])


@dataclass
class Learner:
    """A network and what a batch does to it.

    ``learn``: adds to the gradients what a batch (x, y) says, and returns its loss. ``groups``:
    parameters, or groups with learning rates of their own. ``wrap``: around the optimizer.
    ``after``: called after each update. ``score``: accuracy on samples x, y (arrays).
    """

    net: Any
    learn: Callable[[Any, Any], float]
    groups: Any
    score: Callable[[np.ndarray, np.ndarray], float]
    weight_decay: float = 0.0
    wrap: Callable[[Any], Any] = lambda adam: adam
    after: Callable[[], None] = lambda: None


def teach(
    learner: Learner,
    samples: Samples,
    held: HeldOut | None,
    course: Course,
    progress: Progress,
    phase: str = "",
) -> float | None:
    """Run the course; leaves the network in evaluation mode. Returns the best epoch's accuracy on
    ``held``, whose weights are then the network's, or None without held-out samples."""
    torch = need("torch")
    x, y = torch.from_numpy(samples.train_x), torch.from_numpy(samples.train_y)
    adam = torch.optim.Adam(learner.groups, lr=course.lr, weight_decay=learner.weight_decay)
    rates = [group["lr"] for group in adam.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adam, rates, course.updates(len(x)), pct_start=RISING
    )
    optimizer, best, kept = learner.wrap(adam), None, {}
    for epoch in range(course.epochs):
        learner.net.train()
        total = 0.0
        for pick in torch.randperm(len(x)).split(course.batch):
            optimizer.zero_grad()
            total += learner.learn(_moved(x[pick], course.drift), y[pick]) * len(pick)
            optimizer.step()
            schedule.step()
            learner.after()
        learner.net.eval()
        said = f"{phase}epoch {epoch + 1} of {course.epochs}, loss {total / len(x):.3f}"
        if held is not None:
            score = learner.score(held.x, held.y)
            said += f", {score:.2%} of {len(held.y)} held-out samples"
            if best is None or score >= best:  # of equals the later one, which learned longer
                best, kept = score, {n: v.clone() for n, v in learner.net.state_dict().items()}
        progress(said)
    if best is not None:
        learner.net.load_state_dict(kept)
    return best


def _moved(x: Any, drift: float) -> Any:
    """Pictures [n, side * side]; events [n, steps, features] as they are."""
    torch = need("torch")
    if x.dim() != 2:
        return x
    if drift:
        return drifted(x, drift)
    return shifted(x) if float(torch.rand(())) < SHIFTED else x


def drifted(x: Any, most: float) -> Any:
    """Square images (flattened, float32 [n, side * side]), each moved by up to ``most`` pixels
    along both axes, linearly interpolated; nothing comes in from outside."""
    torch = need("torch")
    side = math.isqrt(x.shape[1])
    if side * side != x.shape[1]:
        return x
    where = torch.eye(2, 3).repeat(len(x), 1, 1)
    where[:, :, 2] = (torch.rand(len(x), 2) * 2 - 1) * (2 * most / side)
    images, sample = x.reshape(-1, 1, side, side), torch.nn.functional
    grid = sample.affine_grid(where, list(images.shape), align_corners=False)
    return sample.grid_sample(images, grid, align_corners=False).reshape(x.shape)


def shifted(x: Any) -> Any:
    """Square images (flattened, float32 [n, side * side]) moved by at most one pixel."""
    torch = need("torch")
    side = math.isqrt(x.shape[1])
    dy, dx = (int(d) for d in torch.randint(-1, 2, (2,)))
    if side * side != x.shape[1]:
        return x
    moved = torch.nn.functional.pad(x.reshape(-1, side, side), (1, 1, 1, 1))
    return moved[:, 1 + dy : 1 + dy + side, 1 + dx : 1 + dx + side].reshape(x.shape)


@contextmanager
def one_thread(seed: int) -> Iterator[None]:
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
