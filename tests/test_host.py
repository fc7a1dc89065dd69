"""What of a network is left to the host: it is named, in order, wherever a design is shown."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

import codesign
from codesign.builddir import BuildDir
from codesign.cli import app
from codesign.report import build_report
from tests.models import Mlp, mlp


@pytest.fixture(scope="module")
def left_over(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A network that ends in a batch norm with scales of no common grid, and its build folder."""
    folder = tmp_path_factory.mktemp("host")
    onnx.save(mlp(Mlp(sizes=(6, 5, 4), batch_norm=True, scale="float")), folder / "net.onnx")
    codesign.generate(folder / "net.onnx", folder / "build", smallest=True)
    return folder / "net.onnx", folder / "build"


def test_what_remains_is_named(left_over: tuple[Path, Path]) -> None:
    model, build = left_over
    words = ["bias", "batch norm"]
    manifest = json.loads((build / "manifest.json").read_text())
    assert [step["operation"] for step in manifest["host"]] == words
    assert list(manifest).index("host") < 4
    assert [step.operation for step in build_report(BuildDir.open(build)).host] == words
    said = "the host must apply: bias → batch norm"
    for args in (["check", str(model)], ["report", str(build)]):
        shown = CliRunner().invoke(app, args).output
        assert said in "\n".join(shown.splitlines()[:3])
    assert said in (build / "reports" / "report.html").read_text()
    found = json.loads(CliRunner().invoke(app, ["check", str(model), "--json"]).output)
    assert [step["operation"] for step in found["host"]] == words


def test_nothing_remains_of_quantized_outputs(tmp_path: Path) -> None:
    found = codesign.generate(mlp(Mlp(sizes=(6, 4), quantized_output=True)), tmp_path / "build")
    assert found.manifest.host == []
