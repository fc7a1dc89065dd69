"""FP8 (e4m3) networks: 19-bit codes on a fixed grid, whose default plan is found in seconds."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import codesign
from tests.models import DOMAIN, Builder

#: Bits of exponent and mantissa, exponent bias, greatest value.
E4M3 = (4, 3, 7, 448)
CASE = Path(__file__).parents[1] / ".." / "shared" / "cases" / "fp8_mlp_6_8_3.onnx"


def float_quant(b: Builder, x: str, name: str, scale: float) -> str:
    """``x`` as Brevitas' FP8 export has it."""
    ports = [b.const(f"{name}_{i}", value) for i, value in enumerate((scale, *E4M3))]
    return b.node("FloatQuant", [x, *ports], name, DOMAIN, rounding_mode="ROUND", saturation=1,
                  has_inf=0, has_nan=1, has_subnormal=1)  # fmt: skip


def fp8_mlp() -> onnx.ModelProto:
    """Two layers, weights and activations in FP8, biases in float as they were trained."""
    b, x = Builder(3), "x"
    for name, k, n in (("a", 6, 8), ("b", 8, 3)):
        x = float_quant(b, x, f"{name}_in", 2.0**-8 if name == "a" else 2.0**-7)
        raw = b.const(f"{name}.weight", b.rng.normal(0, 0.5, (k, n)))
        x = b.node("MatMul", [x, float_quant(b, raw, f"{name}_w", 2.0**-10)], f"{name}_mm")
        x = b.node("Add", [x, b.const(f"{name}.bias", b.rng.normal(0, 0.3, n))], f"{name}_sum")
        x = b.node("Relu", [x], f"{name}_relu") if name == "a" else x
    return b.model(6, x, 3, False)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "options", [{}, pytest.param({"target_ii": 8}, marks=pytest.mark.slow)], ids=str
)
def test_it_is_planned_and_exact(options: dict, tmp_path: Path) -> None:
    """Without a target it did not end in 400 s: each folding tried had its thresholds written."""
    design = codesign.generate(fp8_mlp(), tmp_path / "b", **options)
    assert {row.in_label[:5] for row in design.manifest.layers} == {"int19"}
    assert design.verify(random_frames=200, cocotb=False).ok


@pytest.mark.timeout(120)
@pytest.mark.slow
@pytest.mark.skipif(not CASE.exists(), reason="needs shared/cases")
def test_the_exported_one(tmp_path: Path) -> None:
    assert codesign.generate(CASE, tmp_path / "b").verify(random_frames=1000).ok
