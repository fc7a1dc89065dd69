"""``codesign check``: what is supported and everything that blocks, without generating."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from codesign.api import check
from codesign.cli import main
from codesign.errors import UnsupportedModel
from tests.frontend.parts import insert, node, put, small, varied
from tests.models import Mlp, mlp


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of one verb."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.fixture
def saved(tmp_path: Path):
    """Writes a model and returns its path."""

    def write(model: ModelProto) -> Path:
        (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
        return tmp_path / "net.onnx"

    return write


def two_problems(m: ModelProto) -> None:
    """An unknown operator, and further on a quantizer that is damaged as well."""
    insert(m, "Bogus", "q")
    m.graph.initializer.append(numpy_helper.from_array(np.float32(-1), "minus"))
    node(m, "qw").input[1] = "minus"


def test_a_supported_model(saved, capsys) -> None:
    code, out, err = run(capsys, "check", saved(mlp(Mlp())))
    assert code == 0 and err == ""
    assert "supported: 2 layers of hardware" in out
    assert "uint4 x 2^-4" in out and "0..15" in out and "0..0.9375" in out
    assert "blocked" not in out


def test_json_names_every_tensor(saved, capsys) -> None:
    code, out, _ = run(capsys, "check", saved(small()), "--json")
    data = json.loads(out)
    assert code == 0 and data["supported"] is True and data["blockers"] == []
    rows = {row["tensor"]: row for row in data["tensors"]}
    assert list(rows) == ["x", "q", "qw", "mm", "add", "relu", "y"]
    assert rows["x"]["status"] == "input" and rows["x"]["format"] == "float32"
    assert rows["q"]["codes"] == [-8, 7] and rows["q"]["values"] == [-2.0, 1.75]
    assert rows["qw"]["status"] == "constant" and rows["qw"]["codes"] == [-3, 3]
    assert rows["qw"]["shape"] == [6, 4] and "0.25" in rows["qw"]["format"]
    assert rows["mm"]["shape"] == [4] and "codes" in rows["mm"]
    assert data["layers"] == [{"name": "fc", "operation": "matvec"}]


def test_all_problems_are_listed_and_what_they_hold_up(saved, capsys) -> None:
    path = saved(varied(two_problems))
    code, out, err = run(capsys, "check", path, "--json")
    data = json.loads(out)
    assert code == 4 and err == ""
    first, second = sorted(data["blockers"], key=lambda b: b["where"])
    assert first["where"] == "node 'bad' (Bogus)" and "not supported" in first["problem"]
    assert first["hint"].startswith("supported: A")
    assert second["where"] == "node 'qw' (Quant)" and second["problem"] == "the scale is -1"
    held = ["node 'mm' (MatMul)", "node 'add' (Add)", "node 'relu' (Relu)", "node 'y' (Quant)"]
    assert first["holds_up"] == second["holds_up"] == held
    rows = {row["tensor"]: row for row in data["tensors"]}
    assert rows["q"]["status"] == "computed"
    assert rows["bad_out"]["status"] == "blocked" and rows["y"]["status"] == "waiting"
    assert set(rows["y"]["waits_for"]) == {first["where"], second["where"]}


def test_the_table_says_it_in_words(saved, capsys) -> None:
    code, out, _ = run(capsys, "check", saved(varied(two_problems)))
    assert code == 4
    assert "2 problems block" in out and "hint: scales must be positive" in out
    assert "holds up: node 'mm' (MatMul)" in out
    assert "waiting" in out and "blocked" in out


def test_what_blocks_after_the_import_is_found_too(saved, capsys) -> None:
    """Every node imports, but nothing computes on integer codes."""
    model = small()
    node(model, "relu").input[0] = "x"
    code, out, _ = run(capsys, "check", saved(model), "--json")
    data = json.loads(out)
    assert code == 4
    assert len(data["blockers"]) == 1 and data["blockers"][0]["problem"]


def test_input_format(saved, capsys) -> None:
    model = small()
    node(model, "mm").input[0] = "x"
    path = saved(model)
    assert run(capsys, "check", path)[0] == 4
    code, out, _ = run(capsys, "check", path, "--input-format", "int8:2^-4")
    assert code == 0 and "int8 x 2^-4" in out
    code, _, err = run(capsys, "check", path, "--input-format", "float7")
    assert code == 2 and "float7" in err
    build = path.parent / "build"
    code, out, err = run(capsys, "generate", path, "-o", build, "--smallest", "--json",
                         "--input-format", "int8:2^-4")  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["input"]["bits"] == 8


def test_files_nobody_can_read(tmp_path: Path, capsys) -> None:
    code, _, err = run(capsys, "check", tmp_path / "none.onnx")
    assert code == 2 and "no such file" in err
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x07nonsense")
    code, out, err = run(capsys, "check", tmp_path / "bad.onnx", "--json")
    assert code == 2 and "not an ONNX model" in err and json.loads(out)["exit_code"] == 2


def test_a_graph_that_cannot_be_walked_is_one_error(saved, capsys) -> None:
    code, _, err = run(capsys, "check", saved(varied(lambda m: put(m, "s", np.float32(np.nan)))))
    assert code == 4 and "initializer 's': it contains NaN" in err
    with pytest.raises(UnsupportedModel, match="cycle"):
        check(varied(lambda m: node(m, "mm").input.__setitem__(0, "y")))


def test_names_cannot_break_the_table(saved, capsys) -> None:
    model = small()
    relu = node(model, "relu")
    relu.name, relu.op_type, relu.output[0] = "[red]\x1b[31m", "[/bold]", "[/x]\x1b"
    node(model, "y").input[0] = "[/x]\x1b"
    code, out, _ = run(capsys, "check", saved(model))
    assert code == 4 and "\x1b" not in out
    assert "[/bold]" in out and "[red]" in out


def test_two_outputs_of_one_blocked_node_are_one_problem() -> None:
    model = small()
    model.graph.node.append(
        helper.make_node("Torn", ["relu"], ["left", "right"], "torn", domain="acme")
    )
    model.graph.node.append(helper.make_node("Add", ["left", "right"], ["sum"], "sum"))
    model.graph.output[0].CopyFrom(onnx.ValueInfoProto(name="sum"))
    found = check(model)
    assert [b.where for b in found.blockers] == ["node 'torn' (Torn)"]
    assert found.blockers[0].holds_up == ("node 'sum' (Add)",)
