"""The Python interface with a live Brevitas module: PyTorch's own results join the proof."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import codesign
from codesign.errors import MismatchError, UsageError

torch = pytest.importorskip("torch")
qnn = pytest.importorskip("brevitas.nn")


def network() -> torch.nn.Module:
    """A user's own script: 10-6-3, 4 bits, power-of-two scales."""
    from brevitas.quant import Int8WeightPerTensorFixedPoint, Uint8ActPerTensorFixedPoint

    torch.manual_seed(0)
    acts = {"act_quant": Uint8ActPerTensorFixedPoint, "bit_width": 4}
    weights = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
    net = torch.nn.Sequential(
        qnn.QuantIdentity(**acts),
        qnn.QuantLinear(10, 6, bias=False, **weights),
        qnn.QuantReLU(**acts),
        qnn.QuantLinear(6, 3, bias=False, **weights),
    )
    net.train()
    for _ in range(20):  # calibrates the activation scales
        net(torch.rand(64, 10))
    return net.eval()


# tests/cli/test_cli.py runs the benches in every round
@pytest.mark.parametrize("cocotb", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_live_module(cocotb: bool, tmp_path: Path) -> None:
    design = codesign.generate(
        network(), tmp_path / "build", example_input=torch.rand(8, 10), target_ii=10
    )
    report = design.verify(random_frames=300, cocotb=cocotb)
    assert report.ok and bool(report.benches) == cocotb
    assert "PyTorch = reference" in {e.link for e in report.evidence}
    assert all(bench.passed for bench in report.benches)
    assert design.report().read_text().startswith("<!doctype html")


def test_module_without_example_input(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="example input"):
        codesign.generate(network(), tmp_path / "build")


def test_tampered_record_is_a_mismatch(tmp_path: Path) -> None:
    """PyTorch's recorded results are compared, not just stored."""
    design = codesign.generate(
        network(), tmp_path / "build", example_input=torch.rand(8, 10), target_ii=10
    )
    path = tmp_path / "build" / "model" / "golden.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["test_1"][3, 2] += 1.0
    np.savez_compressed(path, **arrays)
    with pytest.raises(MismatchError, match=r"PyTorch = reference.*frame 3, index 2"):
        design.verify(random_frames=50, cocotb=False)
