"""Data sets: one function each, registered by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codesign.errors import UsageError
from codesign.train.needs import need

MNIST_ENV = "CODESIGN_MNIST"


@dataclass(frozen=True)
class Dataset:
    """A classification task. ``*_x``: float32 [n, features] in 0..1; ``*_y``: int64 [n]."""

    name: str
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(max(self.train_y.max(), self.test_y.max())) + 1


DATASETS: dict[str, Callable[[Path | None], Dataset]] = {}


def dataset(name: str) -> Callable[[Callable[[Path | None], Dataset]], Callable[..., Dataset]]:
    """Decorator: make a loader known under ``name``. It is given the ``--data`` path, if any."""

    def enter(loader: Callable[[Path | None], Dataset]) -> Callable[..., Dataset]:
        DATASETS[name] = loader
        return loader

    return enter


def load(name: str, data: Path | None = None) -> Dataset:
    """The data set called ``name``; ``UsageError`` lists the known ones."""
    if name not in DATASETS:
        raise UsageError(f"unknown data set '{name}'", hint=f"known: {', '.join(sorted(DATASETS))}")
    return DATASETS[name](data)


@dataset("digits")
def digits(data: Path | None = None) -> Dataset:
    """scikit-learn's 1797 digits of 8x8 pixels, 0..16, scaled to 0..1; 360 of them for test."""
    bunch = need("sklearn.datasets").load_digits()
    x = (bunch.data / 16).astype(np.float32)
    y = bunch.target.astype(np.int64)
    split = need("sklearn.model_selection").train_test_split
    train_x, test_x, train_y, test_y = split(x, y, test_size=0.2, random_state=0, stratify=y)
    return Dataset("digits", train_x, train_y, test_x, test_y)


@dataset("mnist")
def mnist(data: Path | None = None) -> Dataset:
    """MNIST from an ``.npz`` with x_train, y_train, x_test, y_test (uint8 images)."""
    path = data or (Path(os.environ[MNIST_ENV]) if MNIST_ENV in os.environ else None)
    if path is None:
        raise UsageError(
            "mnist needs its file", hint=f"give --data mnist.npz or set {MNIST_ENV}=mnist.npz"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = [file[k] for k in ("x_train", "y_train", "x_test", "y_test")]
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(
            f"not a readable MNIST file: {error}",
            where=str(path),
            hint="an .npz with arrays x_train, y_train, x_test, y_test",
        ) from None
    train_x, train_y, test_x, test_y = parts
    return Dataset(
        "mnist",
        _pixels(train_x),
        train_y.astype(np.int64),
        _pixels(test_x),
        test_y.astype(np.int64),
    )


def _pixels(images: np.ndarray) -> np.ndarray:
    return (images.reshape(len(images), -1) / np.float32(255)).astype(np.float32)
