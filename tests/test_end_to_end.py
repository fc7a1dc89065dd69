"""Model to proven circuit: every recipe in every style, latency and II exactly as predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codesign.api import generate
from tests.models import Mlp, mlp

RECIPES = {
    "plain": Mlp(),
    "channel scales, batch norm": Mlp(scale="channel", batch_norm=True, sizes=(11, 7, 6, 3)),
    "float scale": Mlp(scale="float", weight_bits=3, act_bits=5),
    "signed activations": Mlp(signed_acts=True, relu=False, batch_norm=True),
    "zero point": Mlp(zero_point=3, scale="float"),
    "argmax": Mlp(argmax=True, bias=False),
    "ternary weights, 1-bit activations": Mlp(weight_bits=2, act_bits=1, batch_norm=True),
    "wide": Mlp(weight_bits=8, act_bits=8, quantized_output=True),
    "floor": Mlp(rounding="FLOOR", quantized_output=True),
}
STYLES = {
    "smallest": {"smallest": True},
    "folded": {"target_ii": 10},
    "unrolled": {"unrolled": True},
}


def pairs() -> list[object]:
    """Every recipe in every style; in each round the first in all styles, the others in one."""
    found = []
    for number, recipe in enumerate(RECIPES):
        for index, style in enumerate(STYLES):
            quick = number == 0 or index == number % len(STYLES)
            found.append(pytest.param(recipe, style, marks=[] if quick else pytest.mark.slow))
    return found


@pytest.mark.parametrize("recipe, style", pairs())
def test_circuit_equals_model(recipe: str, style: str, tmp_path: Path) -> None:
    design = generate(mlp(RECIPES[recipe], 11), tmp_path / "build", **STYLES[style])
    report = design.verify(random_frames=400, cocotb=False)
    manifest = design.manifest
    assert (report.latency, report.ii) == (manifest.latency, manifest.ii)
    links = {evidence.link for evidence in report.evidence}
    assert links == {"qonnx = reference", "reference = RTL"}
    assert all(evidence.codes > 0 for evidence in report.evidence)


@pytest.mark.parametrize(
    "pe, simd",
    [
        (3, 5),
        *(pytest.param(*f, marks=pytest.mark.slow) for f in [(1, 1), (8, 12), (5, 1), (2, 7)]),
    ],
)
def test_any_folding(pe: int, simd: int, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(f"[layers.fc0]\npe = {pe}\nsimd = {simd}\n[layers.fc1]\npe = 2\nsimd = 3\n")
    design = generate(mlp(Mlp(), 2), tmp_path / "build", config=plan, smallest=True)
    report = design.verify(random_frames=200, cocotb=False)
    assert (report.latency, report.ii) == (design.manifest.latency, design.manifest.ii)
    first = design.manifest.layers[0]
    assert (first.pe, first.simd) == (pe, simd)


def test_mixed_styles(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[design]\ntarget_ii = 20\n[layers.fc1]\nstyle = "unrolled"\ndepth = 3\n')
    design = generate(mlp(Mlp(sizes=(9, 8, 6, 4)), 2), tmp_path / "build", config=plan)
    assert [layer.style for layer in design.manifest.layers] == ["folded", "unrolled", "folded"]
    report = design.verify(random_frames=200, cocotb=False)
    assert (report.latency, report.ii) == (design.manifest.latency, design.manifest.ii)


def test_user_inputs(tmp_path: Path) -> None:
    design = generate(mlp(Mlp()), tmp_path / "build", target_ii=24)
    x = np.random.default_rng(0).normal(0, 1, (50, 12)).astype(np.float32)
    report = design.verify(x, cocotb=False)
    assert {evidence.vectors.split(",")[0] for evidence in report.evidence} == {"user inputs"}
    assert report.evidence[0].frames == 50


def test_multipliers_busy_and_latency_close_to_the_limit(tmp_path: Path) -> None:
    """98 % of multiplier slots busy; at most six cycles a layer beyond the work itself."""
    design = generate(mlp(Mlp(sizes=(64, 32, 16, 8)), 1), tmp_path / "build", target_ii=64)
    for layer in design.manifest.layers:
        work = -(-layer.macs // (layer.pe * layer.simd))
        assert layer.latency <= work + 6, layer
        assert layer.ii == work
    assert design.manifest.ii == 64
    busiest = design.manifest.layers[0]
    assert busiest.macs / (busiest.pe * busiest.simd * design.manifest.ii) >= 0.98
