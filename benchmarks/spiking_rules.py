"""SLTT and SLTT-K against BPTT on the same network: memory, time of a batch, accuracy.

Memory is what autograd keeps for the backward pass, at its peak: bytes of distinct tensors,
counted by hooks, so the figure is the same on every machine and in every run.

Two baselines: BPTT as PyTorch's autograd derives it from single steps, and BPTT with the layers'
steps fused and their derivatives written out (``Bptt(fused=True)``). Both quantize weights by
Brevitas and autograd; SLTT, a whole network as one function, quantizes them by the same function
written out, which is part of what makes few steps cheap.

Accuracies are those of a constant input and membranes that forget half in a step, as SLTT was
published for, and of latency codes with the recipe's longer memory. SLTT takes no gradient from one
step to another: where every step carries the whole input that costs little; where the time of a
spike is the information, and a membrane keeps it for many steps, it costs more.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import torch

from codesign.train.spiking.build import NetConfig, dense_net
from codesign.train.spiking.readout import readout
from codesign.train.spiking.recipe import SpikingOptions, fit, network_config
from codesign.train.spiking.recipe import measure as score
from codesign.train.spiking.rules.base import Objective, Rule
from codesign.train.spiking.rules.bptt import Bptt
from codesign.train.spiking.rules.sltt import Sltt
from codesign.train.spiking.task import Task, load_task

STEPS = (6, 16, 32, 64)
SIZES, BATCH = (64, 128, 128, 10), 64
REPEATS = 9
TRAINED_STEPS, EPOCHS, SEEDS = 8, 20, 5
CASES: dict[str, dict[str, Any]] = {
    "constant input, decay 1/2": {"encoding": "direct", "decay": 0.5},
    "latency code, decay 7/8": {"encoding": "latency", "decay": 0.875},
}


def rules(steps: int) -> dict[str, Rule]:
    """What is compared; SLTT-K learns from a quarter of the steps."""
    return {
        "BPTT": Bptt(),
        "BPTT by hand": Bptt(fused=True),
        "SLTT": Sltt(),
        "SLTT-K": Sltt(k=max(1, steps // 4)),
    }


class Meter:
    """Bytes of tensors saved for backward: now and at most."""

    def __init__(self) -> None:
        self.holders: Counter[int] = Counter()
        self.now = self.peak = 0

    def hooks(self) -> Any:
        """A context in which they are counted."""
        return torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: _Kept(self, tensor), lambda kept: kept.tensor
        )


class _Kept:
    """A saved tensor; its storage counts while one of these holds it."""

    def __init__(self, meter: Meter, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        self.meter, self.tensor = meter, tensor
        self.key, self.bytes = storage.data_ptr(), storage.nbytes()
        if not meter.holders[self.key]:
            meter.now += self.bytes
            meter.peak = max(meter.peak, meter.now)
        meter.holders[self.key] += 1

    def __del__(self) -> None:
        self.meter.holders[self.key] -= 1
        if not self.meter.holders[self.key]:
            self.meter.now -= self.bytes


def batch(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes of a tenth of the inputs, and labels."""
    g = torch.Generator().manual_seed(steps)
    x = (torch.rand(BATCH, steps, SIZES[0], generator=g) < 0.1).float()
    return x, torch.randint(0, SIZES[-1], (BATCH,), generator=g)


def peak_bytes(rule: Rule, steps: int) -> int:
    """Peak of what one batch keeps for backward."""
    torch.manual_seed(0)
    net, meter = dense_net(NetConfig(SIZES)), Meter()
    x, y = batch(steps)
    with meter.hooks():
        rule.gradients(net, x, y, Objective(readout("membrane")))
    return meter.peak


def batch_seconds(steps: int) -> dict[str, float]:
    """Processor time on one thread, the best of a few interleaved runs of each rule."""
    torch.manual_seed(0)
    net, (x, y) = dense_net(NetConfig(SIZES)), batch(steps)
    best: dict[str, float] = {}
    for _ in range(REPEATS):
        for name, rule in rules(steps).items():
            net.zero_grad()
            begin = time.process_time()
            rule.gradients(net, x, y, Objective(readout("membrane")))
            best[name] = min(best.get(name, 1e9), time.process_time() - begin)
    return best


def accuracies(case: str) -> dict[str, list[float]]:
    """On the test split of digits, the same networks and seeds trained by each rule. BPTT once: by
    hand or by autograd, its gradients are the same."""
    options = SpikingOptions(steps=TRAINED_STEPS, hidden=SIZES[1:-1], epochs=EPOCHS, **CASES[case])
    task = load_task("digits", options.encoding, options.steps, None, 0, options.low)
    found: dict[str, list[float]] = {}
    trained = {"BPTT": Bptt(fused=True), "SLTT": Sltt(), "SLTT-K": Sltt(k=TRAINED_STEPS // 4)}
    for name, rule in trained.items():
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            net = dense_net(network_config(task, options))
            fit(net, rule, task, options, lambda _: None)
            found.setdefault(name, []).append(accuracy(net, task))
    return found


def accuracy(net: Any, task: Task) -> float:
    """On the test split."""
    return score(net, task.encoding, task.test_x, task.test_y, readout("membrane"))[0]


def measure() -> dict[str, float]:
    """All figures by name."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    try:
        for steps in STEPS:
            kept = {name: peak_bytes(rule, steps) for name, rule in rules(steps).items()}
            spent = batch_seconds(steps)
            for name in kept:
                figures[f"T = {steps}, {name}: MiB kept for backward"] = kept[name] / 2**20
                figures[f"T = {steps}, {name}: ms a batch of {BATCH}"] = spent[name] * 1e3
        for case in CASES:
            for name, found in accuracies(case).items():
                what = f"digits, {case}, T = {TRAINED_STEPS}, {name}: accuracy in %"
                figures[f"{what}, mean of {SEEDS} seeds"] = 100 * sum(found) / SEEDS
    finally:
        torch.set_num_threads(threads)
    return figures
