"""The course of every recipe: what is learned from, what is chosen by, what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from codesign.errors import UsageError

torch = pytest.importorskip("torch")

from codesign.cli import main  # noqa: E402
from codesign.train.course import Course, HeldOut, Learner, drifted, hold_out, teach  # noqa: E402
from codesign.train.datasets import Dataset  # noqa: E402


def dataset(count: int = 40) -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.random((count, 3)).astype(np.float32)
    return Dataset("toy", x, np.arange(count), x[:5] + 2, np.zeros(5, np.int64))


def test_held_out_samples_come_from_the_training_split_and_leave_it() -> None:
    whole = dataset()
    rest, held = hold_out(whole, 0.25, seed=1)
    assert held is not None and len(held.y) == 10
    assert sorted([*rest.train_y, *held.y]) == whole.train_y.tolist()
    assert np.array_equal(whole.train_x[held.y], held.x)
    assert rest.test_x is whole.test_x
    again, other = hold_out(whole, 0.25, seed=1)[1], hold_out(whole, 0.25, seed=2)[1]
    assert again is not None and np.array_equal(again.y, held.y)
    assert other is not None and not np.array_equal(other.y, held.y)
    assert hold_out(whole, 0.0, seed=1) == (whole, None)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_share_that_leaves_nothing(share: float) -> None:
    with pytest.raises(UsageError, match="of 40 training samples leaves .* both must be at least"):
        hold_out(dataset(), share, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"lr": 0.0}, "the learning rate must be above 0, got 0"),
        ({"lr": -1e-3}, "above 0, got -0.001"),
        ({"lr": math.nan}, "above 0, got nan"),
        ({"lr": math.inf}, "above 0, got inf"),
        ({"holdout": 1.0}, "0 to below 1, got 1.0"),
        ({"holdout": -0.1}, "0 to below 1, got -0.1"),
        ({"holdout": math.nan}, "0 to below 1, got nan"),
    ],
)
def test_what_is_no_course(change: dict[str, float], message: str) -> None:
    fields = {"epochs": 1, "batch": 8, "lr": 0.1, **change}
    with pytest.raises(UsageError, match=message):
        Course(**fields)  # type: ignore[arg-type]


def run(scores: list[float] | None) -> tuple[float, float | None, int]:
    """Weight after five epochs of SGD-like updates, best score, batches: each epoch adds 1."""
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(net.weight)
    given, batches = iter(scores or []), 0

    def learn(x: object, y: object) -> float:
        nonlocal batches
        batches += 1
        net.weight.grad = torch.zeros(1, 1)
        return 0.0

    def after() -> None:
        with torch.no_grad():
            net.weight += 0.2  # of five batches

    held = HeldOut(np.zeros((2, 1)), np.zeros(2)) if scores else None
    learner = Learner(net, learn, net.parameters(), lambda x, y: next(given), after=after)
    best = teach(learner, dataset(), held, Course(5, 8, 0.1), lambda _: None)
    assert not net.training
    return float(net.weight), best, batches


def test_the_epoch_that_does_best_on_held_out_samples_is_kept() -> None:
    assert run([0.1, 0.7, 0.9, 0.3, 0.8]) == (pytest.approx(3), 0.9, 25)
    assert run([0.1, 0.9, 0.9, 0.3, 0.8]) == (pytest.approx(3), 0.9, 25)  # the later of equals
    assert run(None) == (pytest.approx(5), None, 25)


def test_pictures_drift_by_fractions_of_a_pixel() -> None:
    torch.manual_seed(0)
    x = torch.zeros(200, 8, 8)
    x[:, 3, 4] = 1.0
    moved = drifted(x.flatten(1), 0.5).reshape(-1, 8, 8)
    assert torch.allclose(moved.sum((1, 2)), torch.ones(200), atol=1e-5)
    at = torch.arange(8.0)
    down, right = (moved.sum(2) @ at) - 3, (moved.sum(1) @ at) - 4
    for way in (down, right):
        assert -0.5 <= way.min() < -0.45 and 0.45 < way.max() <= 0.5
    assert abs(float(torch.corrcoef(torch.stack([down, right]))[0, 1])) < 0.3
    assert torch.equal(drifted(torch.ones(2, 7), 0.5), torch.ones(2, 7))  # no square


WORDS = {
    "lr": (["--lr", "0"], "the learning rate must be above 0"),
    "holdout": (["--holdout", "1"], "holdout is a share"),
    "batch": (["--batch", "0"], "Invalid value for '--batch'"),
    "T": (["--spiking", "--steps", "0"], "at least 1 time step, got T = 0"),
    "encoder": (["--spiking", "--encoding", "morse"], "unknown encoding 'morse'"),
    "spikes' cost": (["--spiking", "--activity", "-1"], "a hidden spike costs 0 or more"),
    "seed": (["--seed", "-1"], "Invalid value for '--seed'"),
    "K": (["--spiking", "--rule", "sltt-k", "--k", "9"], "1 to T = 4 steps, got K = 9"),
    "no spiking": (["--steps", "8"], "--steps is for spiking networks"),
    "dense only": (["--spiking", "--argmax"], "not for spiking networks"),
}


@pytest.mark.parametrize("kind", sorted(WORDS))
def test_one_message_and_exit_code_2(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, message = WORDS[kind]
    with pytest.raises(SystemExit) as done:
        main(["train", "digits", "-o", str(tmp_path / "net.onnx"), *words])
    said = capsys.readouterr().err
    assert done.value.code == 2
    assert message in " ".join(said.split())
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"t": [0, 4, 3], "x": [0, 1, 2]}, "not sorted by time: event 2 is at 3"),
        ({"t": [0, 4, 7], "x": [0, 1, 9], "size": 4}, "event 2 has address 9, outside 0..3"),
    ],
)
def test_events_of_a_user(
    arrays: dict, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "events.npz"
    np.savez(path, start=[0, 1, 3], label=[0, 1], test=[0, 1], **arrays)
    words = ["train", "events", "--spiking", "--data", str(path), "-o", str(tmp_path / "net.onnx")]
    with pytest.raises(SystemExit) as done:
        main(words)
    assert done.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_held_out_accuracy_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--spiking"], []):
        path = tmp_path / "net.onnx"
        run = ["train", "digits", "--layers", "8", "--epochs", "1", "--holdout", "0.5"]
        with pytest.raises(SystemExit) as done:
            main([*run, *words, "--lr", "0.02", "--batch", "32", "-o", str(path)])
        assert done.value.code in (0, None)
        assert "on held-out training samples, " in " ".join(capsys.readouterr().out.split())
