"""Generation time, busy multipliers and latency overhead of folded designs."""

from __future__ import annotations

import time
from pathlib import Path

import onnx

from codesign.api import generate
from tests.models import Mlp, mlp


def measure(model: Path, folder: Path) -> dict[str, float]:
    """Seconds to generate, and how near folded layers are to one MAC a multiplier a cycle."""
    figures: dict[str, float] = {}
    begin = time.perf_counter()
    design = generate(model, folder / "demo", target_ii=64)
    figures["generate demo, folded (s)"] = time.perf_counter() - begin
    rows = [layer for layer in design.manifest.layers if layer.macs]
    figures["busiest layer's multiplier slots busy"] = max(
        r.macs / (r.pe * r.simd * design.manifest.ii) for r in rows
    )
    # ii is NF x SF: the MACs over the multipliers, padding of N and K included.
    figures["worst layer latency beyond NF x SF (cycles)"] = max(r.latency - r.ii for r in rows)
    large = folder / "large.onnx"
    onnx.save(mlp(Mlp(sizes=(784, 256, 256, 10))), large)
    begin = time.perf_counter()
    generate(large, folder / "large", target_ii=1024)
    figures["generate 784-256-256-10, folded (s)"] = time.perf_counter() - begin
    return figures
