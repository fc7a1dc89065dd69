"""Joins of scales that are no powers of two, from the model to RTL; what TopK refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from codesign.api import generate
from codesign.errors import UnsupportedModel
from codesign.frontend import import_qonnx
from tests import branch_models


@pytest.mark.parametrize("function", ["Add", pytest.param("Sub", marks=pytest.mark.slow), "Mul"])
def test_reference_equals_rtl(function: str, tmp_path: Path) -> None:
    model = branch_models.residual(function, (0.3, 0.21, 0.4))
    design = generate(model, tmp_path / "build", target_ii=12)
    assert design.verify(random_frames=200, cocotb=False).ok


@pytest.mark.parametrize("name", [pytest.param("skip", marks=pytest.mark.slow), "residual_block"])
def test_images(name: str, tmp_path: Path) -> None:
    """Forks, FIFOs, pooling, upsampling and joins together."""
    design = generate(getattr(branch_models, name)(), tmp_path / "build", target_ii=400)
    report = design.verify(random_frames=40, cocotb=False)
    assert report.ok and report.ii <= 400


def test_values_of_topk_are_refused() -> None:
    model = branch_models.ranked()
    model.graph.output[0].name = "values"
    model.graph.output[0].type.tensor_type.elem_type = 1
    with pytest.raises(UnsupportedModel, match="its values are read"):
        import_qonnx(model)
