"""The list of zoo networks: what they are called, how they are built, what is expected of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Make = Callable[[], Any]

TORCHSCRIPT, DYNAMO, QCDQ = "torchscript", "dynamo", "qcdq"
PATHS = (TORCHSCRIPT, DYNAMO, QCDQ)


@dataclass(frozen=True)
class Entry:
    """One network. ``shape``: of one input, without batch. ``exact``: all scales are powers of two
    and every sum fits float32, so PyTorch must agree to the last code. ``paths``: exports that
    Brevitas itself can do; ``unlike_torch``: those that write something else than PyTorch
    computes, so that only qonnx can be compared."""

    name: str
    make: Make
    shape: tuple[int, ...]
    exact: bool = True
    slow: bool = False
    paths: tuple[str, ...] = PATHS
    unlike_torch: tuple[str, ...] = ()


ZOO: dict[str, Entry] = {}


def network(
    shape: tuple[int, ...],
    *,
    exact: bool = True,
    slow: bool = False,
    skip: tuple[str, ...] = (),
    unlike_torch: tuple[str, ...] = (),
) -> Callable[[Make], Make]:
    """Decorator: enter the network under the function's name. ``skip``: paths that Brevitas
    cannot export it by (the reason belongs beside the use)."""

    def enter(make: Make) -> Make:
        enlist(
            make.__name__, make, shape, exact=exact, slow=slow, skip=skip,
            unlike_torch=unlike_torch,
        )  # fmt: skip
        return make

    return enter


def enlist(
    name: str,
    make: Make,
    shape: tuple[int, ...],
    *,
    exact: bool = True,
    slow: bool = False,
    skip: tuple[str, ...] = (),
    unlike_torch: tuple[str, ...] = (),
) -> None:
    """As :func:`network`, for networks made in a loop."""
    paths = tuple(p for p in PATHS if p not in skip)
    ZOO[name] = Entry(name, make, shape, exact, slow, paths, unlike_torch)


def build(entry: Entry, seed: int = 0) -> Any:
    """The network in evaluation mode; a few batches in training mode have set the ranges of its
    quantizers and the statistics of its batch norms."""
    torch.manual_seed(seed)
    net = entry.make().train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(8, *entry.shape) * 2 - 0.5)
    return net.eval()
