"""Zoo networks as circuits: PyTorch = qonnx = reference = RTL, from the live Brevitas module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")

from codesign.api import generate  # noqa: E402
from codesign.manifest import Manifest  # noqa: E402
from codesign.train.export import export_module  # noqa: E402
from tests.zoo import blocks, bnn_pynq, layers  # noqa: E402
from tests.zoo.registry import ZOO, build  # noqa: E402

assert bnn_pynq and blocks and layers  # importing them fills the zoo

ALWAYS = ("zero_points", "average_pool")  # small: the others take a minute each
LONG = (
    "tfc_w1a2", "residual_shared",
    "tfc_w1a1", "tfc_w2a2", "sfc_w1a1", "sfc_w1a2", "sfc_w2a2", "lfc_w1a1", "lfc_w1a2", "lfc_w2a2",
    "cnv_small_w1a1", "cnv_small_w1a2", "cnv_small_w2a2",
    "mobilenet_block", "keyword_1d", "unet_nearest", "unet_transposed", "truncated_average_pool",
    "cnv_w1a1", "cnv_w1a2", "cnv_w2a2",
)  # fmt: skip


#: Ten minutes are few for 20 frames of a large network beside other work.
LONG_RUN = (pytest.mark.slow, pytest.mark.timeout(3600))


@pytest.mark.parametrize("name", [*ALWAYS, *(pytest.param(name, marks=LONG_RUN) for name in LONG)])
def test_the_whole_chain(name: str, tmp_path: Path) -> None:
    entry = ZOO[name]
    frame = np.zeros((1, *entry.shape), np.float32)
    # 1.5 million weights of two bits fill the board's memories at less folding.
    ii = {"cnv_w1a1": 60_000, "cnv_w1a2": 60_000, "cnv_w2a2": 388_800}
    target = {"target_ii": ii[name]} if name in ii else {}
    design = generate(build(entry), tmp_path / "build", example_input=frame, **target)
    report = design.verify(random_frames=20, cocotb=False)
    assert report.ok
    assert {e.link for e in report.evidence} == {
        "PyTorch = reference", "qonnx = reference", "reference = RTL"
    }  # fmt: skip
    assert report.latency == design.manifest.latency


GENERATE = """
import resource, sys
from codesign.api import generate
generate(sys.argv[1], sys.argv[2], target_ii=60_000)
kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
used = [resource.getrusage(kind) for kind in kinds]
print(sum(u.ru_utime + u.ru_stime for u in used), max(u.ru_maxrss for u in used))
"""


@pytest.mark.slow
def test_a_large_network_is_quick_to_generate_and_balanced(tmp_path: Path) -> None:
    """CNV, 1.5 million weights: within 4 GiB, nine multiplier slots in ten busy."""
    entry, model, out = ZOO["cnv_w1a1"], tmp_path / "cnv.onnx", tmp_path / "build"
    proto = export_module(build(entry), np.zeros((1, *entry.shape), np.float32))
    model.write_bytes(proto.SerializeToString())
    command = [sys.executable, "-c", GENERATE, str(model), str(out)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, kilobytes = map(float, ran.stdout.split())
    print(f"{seconds:.1f} s of one core")  # a minute is what it should take
    assert kilobytes <= 4 << 20
    manifest = Manifest.model_validate_json((out / "manifest.json").read_text())
    layers = [layer for layer in manifest.layers if layer.macs]
    slots = sum(x.pe * x.simd * x.pixels for x in layers) * manifest.ii
    assert sum(x.macs for x in layers) >= 0.9 * slots
