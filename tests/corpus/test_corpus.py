"""Two hundred random networks: qonnx = reference = RTL on every tensor, at random foldings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codesign.api import Design, generate
from codesign.errors import OverBudget
from codesign.frontend import import_qonnx
from codesign.frontend.execute import execute_batch
from codesign.passes import lower
from codesign.plan import partition
from codesign.reference import run
from codesign.reference.boundaries import boundaries
from codesign.verify.chain import compare
from tests.corpus.networks import Author, network

COUNT = 220
#: The others are part of the long suite: a Verilator build each.
QUICK_SOFTWARE, QUICK_HARDWARE = range(0, COUNT, 4), range(0, COUNT, 55)


def seeds(quick: range) -> list:
    return [s if s in quick else pytest.param(s, marks=pytest.mark.slow) for s in range(COUNT)]


def inputs(model, frames: int, seed: int) -> np.ndarray:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    rng = np.random.default_rng(seed)
    grid = rng.integers(-64, 65, (frames, *shape[1:])) / 16
    return np.where(rng.random(grid.shape) < 0.1, rng.normal(0, 2, grid.shape), grid).astype(
        np.float32
    )


@pytest.mark.parametrize("seed", seeds(QUICK_SOFTWARE))
def test_qonnx_equals_reference(seed: int) -> None:
    model = network(seed)
    imported = import_qonnx(model)
    x = inputs(model, 12, seed)
    lowered = lower(imported.graph)
    partition(lowered)
    points = boundaries(lowered, imported.tensor_names, imported.tensor_axes)
    keep = [p.value.name for p in points]
    ours = run(lowered, {lowered.inputs[0]: x}, keep=keep)
    theirs = execute_batch(imported, x, [p.tensor for p in points])
    expected = {p.value.name: p.of_value(ours[p.value.name]) for p in points}
    actual = {p.value.name: p.codes(theirs[p.tensor]) for p in points}
    sides = {"model": imported.graph, "graph": lowered, "inputs": x, "seed": seed}
    evidence = compare("qonnx = reference", "x", points, expected, actual, **sides, started=0.0)
    assert evidence.mismatches == 0, (evidence.first, Author(seed).written)


def build(seed: int, folder: Path) -> Design:
    """The network at a random folding, from a cycle a pixel to a multiplier a layer."""
    target = int(np.random.default_rng(seed).choice([1, 16, 64, 256, 1024, 4096]))
    try:
        return generate(network(seed), folder, target_ii=target)
    except OverBudget:
        return generate(network(seed), folder)


@pytest.mark.parametrize("seed", seeds(QUICK_HARDWARE))
def test_reference_equals_rtl(seed: int, tmp_path: Path) -> None:
    design = build(seed, tmp_path / "build")
    report = design.verify(random_frames=40, cocotb=False)
    assert report.ok
    assert (report.latency, report.ii) == (design.manifest.latency, design.manifest.ii)
