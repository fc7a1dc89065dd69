"""NIR at the command line: a policy to begin with, import, export, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from codesign.cli import main
from codesign.neurons.presets import PRESETS

nir = pytest.importorskip("nir")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of one verb."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A file of a Linear layer and neurons without leak, which every preset can hold."""
    ones, path = np.ones(2), tmp_path / "net.nir"
    nodes = [
        nir.Linear(np.array([[0.5, 1.0, -0.25], [0.7, 0.5, 1.0]])),
        nir.IF(r=1e4 * ones, v_threshold=ones),
    ]
    nir.write(path, nir.NIRGraph.from_list(*nodes))
    return path


@pytest.mark.parametrize("preset", PRESETS)
def test_a_policy_import_and_export(preset: str, graph: Path, tmp_path: Path, capsys) -> None:
    policy, model, back = (tmp_path / n for n in ("policy.toml", "net.onnx", "back.nir"))
    code, text, _ = run(capsys, "nir-policy", preset)
    assert code == 0
    policy.write_text(text)
    code, out, err = run(capsys, "import-nir", graph, "--policy", policy, "-o", model, "--json")
    assert code == 0, err
    assert json.loads(out)["rounded"] == [
        "linear: 1 of 6 weight values rounded, the largest change is 0.00313"
    ]
    assert onnx.load(model).graph.node[0].op_type == "Scan"
    code, out, err = run(capsys, "export-nir", model, "-o", back)
    assert code == 0, err
    assert "NIR does not say" in out and nir.read(back).nodes


def test_one_step_form(graph: Path, tmp_path: Path, capsys) -> None:
    policy, model = tmp_path / "policy.toml", tmp_path / "net.onnx"
    policy.write_text(run(capsys, "nir-policy", "hls4ml")[1])
    assert (
        run(capsys, "import-nir", graph, "--policy", policy, "-o", model, "--form", "step")[0] == 0
    )
    assert "Lif" in {n.op_type for n in onnx.load(model).graph.node}


def test_without_policy(graph: Path, tmp_path: Path, capsys) -> None:
    code, _, err = run(capsys, "import-nir", graph, "-o", tmp_path / "net.onnx")
    assert code == 2 and "a policy must" in err and "fires on >=" in err
    assert not (tmp_path / "net.onnx").exists()


def test_presets_are_listed(capsys) -> None:
    code, out, _ = run(capsys, "nir-policy")
    assert code == 0 and all(f"  {name}: " in out for name in PRESETS)
    assert run(capsys, "nir-policy", "norse")[0] == 2


def test_bad_policies(graph: Path, tmp_path: Path, capsys) -> None:
    policy = tmp_path / "policy.toml"
    text = run(capsys, "nir-policy", "xylo")[1]
    for change, says in (
        (text.replace("dt = 1e-4", "dt = 0"), "field 'time.dt'"),
        (text.replace("reset_at_window = true\n", ""), "field 'time.reset_at_window'"),
        (text.replace("bits = 16", "bits = 12", 1), "preset 'xylo' has 16"),
        ("[", "not TOML"),
    ):
        policy.write_text(change)
        code, _, err = run(capsys, "import-nir", graph, "--policy", policy, "-o", tmp_path / "o")
        assert code == 2 and says in err
    code, _, err = run(
        capsys, "import-nir", graph, "--policy", tmp_path / "no", "-o", tmp_path / "o"
    )
    assert code == 2 and "cannot be read" in err


def test_every_verb_helps(capsys) -> None:
    for verb in ("import-nir", "export-nir", "nir-policy"):
        code, out, _ = run(capsys, verb, "--help")
        assert code == 0 and "Example" in out and "--json" in out
