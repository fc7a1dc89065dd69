"""Zoo networks as circuits: PyTorch = qonnx = reference = RTL, from the live Brevitas module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")

from codesign.api import generate  # noqa: E402
from tests.zoo import blocks, bnn_pynq, layers  # noqa: E402
from tests.zoo.registry import ZOO, build  # noqa: E402

assert bnn_pynq and blocks and layers  # importing them fills the zoo

ALWAYS = ("zero_points", "average_pool")  # small: the others take a minute each
LONG = (
    "tfc_w1a2", "residual_shared",
    "tfc_w1a1", "tfc_w2a2", "sfc_w1a1", "cnv_small_w1a1", "cnv_small_w1a2", "cnv_small_w2a2",
    "mobilenet_block", "keyword_1d", "unet_nearest", "unet_transposed", "truncated_average_pool",
    "cnv_w1a1", "cnv_w1a2", "cnv_w2a2",
)  # fmt: skip


@pytest.mark.parametrize(
    "name", [*ALWAYS, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)]
)
def test_the_whole_chain(name: str, tmp_path: Path) -> None:
    entry = ZOO[name]
    frame = np.zeros((1, *entry.shape), np.float32)
    target = {"target_ii": 60_000} if name.startswith("cnv_w") else {}
    design = generate(build(entry), tmp_path / "build", example_input=frame, **target)
    report = design.verify(random_frames=20, cocotb=False)
    assert report.ok
    assert {e.link for e in report.evidence} == {
        "PyTorch = reference", "qonnx = reference", "reference = RTL"
    }  # fmt: skip
    assert report.latency == design.manifest.latency
