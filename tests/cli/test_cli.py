"""The command line as a user meets it: exit codes, messages, JSON, nothing half-written."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest

from codesign.builddir import BuildDir
from codesign.cli import app, main
from codesign.report import build_report
from codesign.report.html import render_html
from tests.models import Mlp, mlp
from tests.recurrent_models import Recurrent
from tests.recurrent_models import model as recurrent


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of one verb."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated design, by the command line."""
    folder = tmp_path_factory.mktemp("cli")
    onnx.save(mlp(Mlp()), folder / "net.onnx")
    with pytest.raises(SystemExit) as ended:
        main(["generate", str(folder / "net.onnx"), "-o", str(folder / "build"),
              "--target-ii", "24", "-q"])  # fmt: skip
    assert ended.value.code == 0
    return folder / "build"


def test_every_verb_helps_with_examples(capsys) -> None:
    for command in app.registered_commands:
        verb = str(command.name)
        code, out, _ = run(capsys, verb, "--help")
        assert code == 0
        assert "Example" in out and f"codesign {verb}" in out
        assert "--json" in out and "--quiet" in out and "--verbose" in out


def test_verify_proves_and_writes_junit(build: Path, tmp_path: Path, capsys) -> None:
    junit = tmp_path / "results.xml"
    code, out, err = run(capsys, "verify", build, "--junit", junit, "--random", 300, "--json")
    assert code == 0, err
    report = json.loads(out)
    assert all(e["mismatches"] == 0 for e in report["evidence"])
    names = {b["name"] for b in report["benches"]}
    wanted = {"exactness", "random_stalls", "idle_gaps", "reset_mid_frame", "latency_and_ii"}
    assert names >= wanted
    assert all(b["passed"] for b in report["benches"])
    suites = {s.get("name"): s for s in ElementTree.parse(junit).getroot()}
    assert [s.get("failures") for s in suites.values()] == ["0", "0"]
    assert {c.get("name") for c in suites["benches"]} == names
    assert len(suites["comparisons"]) == len(report["evidence"])


def test_verify_user_inputs(build: Path, tmp_path: Path, capsys) -> None:
    x = tmp_path / "x.npy"
    np.save(x, np.random.default_rng(0).normal(size=(20, 12)).astype(np.float32))
    code, out, _ = run(capsys, "verify", build, "--inputs", x, "--no-cocotb", "--json")
    assert code == 0
    assert json.loads(out)["evidence"][0]["frames"] == 20


def test_mismatch_exits_one_and_names_the_place(build: Path, tmp_path: Path, capsys) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(build, bad)
    manifest = json.loads((bad / "manifest.json").read_text())
    rtl = bad / "rtl" / "codesign_top.v"
    text = rtl.read_text()
    broken = text.replace("m_axis_tdata = ", "m_axis_tdata = 8'd1 ^ ", 1)
    assert broken != text
    rtl.write_text(broken)
    code, _, err = run(capsys, "verify", bad, "--no-cocotb", "--random", 50)
    assert code == 1
    tensor = manifest["output"]["tensor"]
    assert f"tensor '{tensor}'" in err and "expected" in err and "got" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((3, 11), np.float32), "shape (3, 11)"),
        (np.zeros((0, 12), np.float32), "shape (0, 12)"),
        (np.array([["a"] * 12]), "type <U1"),
        (np.full((2, 12), np.nan, np.float32), "NaN"),
        (np.full((2, 12), 0.1, np.float64), "float32"),
    ],
)
def test_wrong_inputs(array, message: str, build: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "x.npy"
    np.save(path, array)
    code, _, err = run(capsys, "verify", build, "--inputs", path, "--no-cocotb")
    assert code == 2
    assert message in err and "Traceback" not in err


def test_inputs_that_are_no_npy(build: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(b"not an array")
    assert run(capsys, "verify", build, "--inputs", path)[0] == 2
    np.save(path, np.array([object()]), allow_pickle=True)
    code, _, err = run(capsys, "verify", build, "--inputs", path)
    assert code == 2 and "Traceback" not in err
    assert run(capsys, "verify", build, "--inputs", tmp_path / "missing.npy")[0] == 2


def test_generate_usage_errors(model_file: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "build"
    cases = {
        ("--target-ii", "0"): "at least 1",
        ("--target-ii", "8", "--unrolled"): "one of",
        ("--board", "nothing"): "ulx3s",
        ("--fps", "1e12"): "one frame a cycle",
        ("--fps", "nan"): "must be positive, got nan",
        ("--fps", "30", "--clock", "inf"): "must be positive, got 30 and inf MHz",
        ("--config", str(tmp_path / "none.toml")): "cannot read",
    }
    for options, message in cases.items():
        code, _, err = run(capsys, "generate", model_file, "-o", out, *options)
        assert (code, message in err) == (2, True), (options, err)
        assert not out.exists() and not list(tmp_path.glob(".build*"))


def test_unsupported_model_leaves_nothing(tmp_path: Path, capsys) -> None:
    model = tmp_path / "bad.onnx"
    model.write_bytes(b"\x00 not onnx")
    code, out, err = run(capsys, "generate", model, "-o", tmp_path / "build", "--json")
    assert code in (2, 4) and json.loads(out)["exit_code"] == code
    assert "Traceback" not in err and not (tmp_path / "build").exists()


def test_user_folders_are_never_overwritten(model_file: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    code, _, err = run(capsys, "generate", model_file, "-o", tmp_path / "mine")
    assert code == 2 and "not empty" in err
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_over_budget_exits_five(tmp_path: Path, capsys) -> None:
    model = tmp_path / "big.onnx"
    onnx.save(mlp(Mlp(sizes=(64, 128, 64, 10), weight_bits=8, act_bits=8)), model)
    code, _, err = run(capsys, "generate", model, "-o", tmp_path / "b", "--board", "ulx3s_25f",
                       "--target-ii", "1")  # fmt: skip
    assert code == 5
    assert "LUT" in err and "--target-ii" in err and not (tmp_path / "b").exists()


def test_a_missed_target_is_said(tmp_path: Path, capsys) -> None:
    """A loop cannot go on before it has come round: built as fast as can be, and said so."""
    onnx.save(recurrent(Recurrent("rnn", steps=3)), tmp_path / "net.onnx")
    generate = ("generate", tmp_path / "net.onnx", "-o", tmp_path / "build", "--target-ii")
    code, out, err = run(capsys, *generate, 1)
    assert code == 0, err
    build = BuildDir.open(tmp_path / "build")
    missed = build.manifest.missed
    assert missed is not None and (missed.target_ii, missed.ii) == (1, build.manifest.ii)
    assert "target missed" in out and missed.describe() in " ".join(out.split())
    assert f"Target missed: 1 cycles a frame asked for, {missed.ii}" in page(build)
    code, out, err = run(capsys, *generate, 200, "--json")
    assert code == 0 and json.loads(out)["missed"] is None, err
    assert "Target missed" not in page(build)


def page(build: BuildDir) -> str:
    """The report as HTML."""
    return html.unescape(render_html(build_report(build)))


def test_missing_compiler_exits_three(build: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    code, _, err = run(capsys, "verify", build, "--no-cocotb")
    assert code == 3
    assert "install" in err


@pytest.mark.parametrize("verb", ["learning-data", "generate"])
def test_a_file_that_cannot_be_written(verb: str, model_file: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "under"
    given = ["digits", "--steps", "2"] if verb == "learning-data" else [model_file]
    more = ["--target-ii", "24"] if verb == "generate" else []
    code, _, err = run(capsys, verb, *given, *more, "-o", out)
    assert code == 2 and "Traceback" not in err and str(tmp_path / "file") in err.replace("\n", "")


def test_not_a_build_folder(tmp_path: Path, capsys) -> None:
    for verb in ("verify", "synth", "report"):
        code, _, err = run(capsys, verb, tmp_path)
        assert code == 2 and "codesign generate" in err


def test_damaged_build_folder(build: Path, tmp_path: Path, capsys) -> None:
    for name in ("manifest.json", "model/graph.json", "model/graph.npz", "model/model.onnx"):
        bad = tmp_path / name.replace("/", "_")
        shutil.copytree(build, bad)
        data = (bad / name).read_bytes()
        (bad / name).write_bytes(data[: len(data) // 2])
        code, _, err = run(capsys, "verify", bad, "--no-cocotb", "--random", 10)
        assert code in (2, 4), (name, err)
        assert "Traceback" not in err


def test_folders_of_another_version_are_generated_again(
    build: Path, tmp_path: Path, capsys
) -> None:
    old = tmp_path / "old"
    shutil.copytree(build, old)
    manifest = json.loads((old / "manifest.json").read_text())
    (old / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 1}))
    code, _, err = run(capsys, "verify", old, "--no-cocotb", "--random", 10)
    assert code == 2 and "schema_version" in err and "generate it again" in err


def test_init_ci_writes_a_workflow(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("codesign.ci.origin", lambda: None)
    code, _, err = run(capsys, "init-ci", "models/net.onnx")
    assert code == 2 and "no such file" in err
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "net.onnx").write_bytes(b"")
    code, out, _ = run(capsys, "init-ci", "models/net.onnx")
    assert code == 0 and "recorded results, does not exist" in " ".join(out.split())
    text = (tmp_path / ".github/workflows/codesign.yml").read_text()
    assert "codesign verify build/ --junit results.xml" in text and "models/net.onnx" in text
    assert "models/net.golden.npz" in text and "cache: pip" not in text
    assert run(capsys, "init-ci", "models/net.onnx")[0] == 2  # exists
    assert run(capsys, "init-ci", "models/net.onnx", "--force")[0] == 0
    assert run(capsys, "init-ci", "a.onnx; rm -rf /", "--force")[0] == 2


def test_no_traceback_and_silent_stderr_in_a_pipe(model_file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from codesign.cli import main; main()", "generate",
               str(model_file), "-o", str(tmp_path / "b"), "--smallest", "--json"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)["layers"][0]["name"] == "fc0"


def test_doctor(capsys) -> None:
    code, out, _ = run(capsys, "doctor", "--json")
    rows = json.loads(out)["checks"]
    assert code == (0 if all(row["ok"] for row in rows) else 3)
    assert {"verilator", "cocotb"} <= {row["name"].lower() for row in rows}
