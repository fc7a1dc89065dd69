"""``generate --activity``: a share of spikes, or those of the recording beside the model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from codesign.cli import main
from codesign.train.golden import Golden, save_golden
from tests.spiking.networks import event_network


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A spiking network, with 20 recorded frames of a quarter of the inputs."""
    onnx.save(event_network((12, 8, 4)), tmp_path / "net.onnx")
    x = np.zeros((20, 5, 12), np.float32)
    x[..., ::4] = 1
    save_golden(Golden(x, np.zeros(0, np.int64), x[:0], 1), tmp_path / "net.golden.npz")
    return tmp_path / "net.onnx"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of one verb."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_the_recording_beside_the_model_is_measured(model: Path, capsys) -> None:
    build = model.with_name("build")
    how = ("--target-ii", 200, "--input", "events", "--activity", "measured", "--json")
    code, out, err = run(capsys, "generate", model, "-o", build, *how)
    assert code == 0, err
    found = json.loads(out)["activity"]
    assert (found["origin"], found["frames"]) == ("measured", 20)
    assert found["expected"]["fc0"] == 3 and found["expected"]["fc1"] not in (0, 2)
    code, out, err = run(capsys, "report", build)
    assert code == 0 and "measured on 20 recorded frames" in out, err
    page = (build / "reports/report.html").read_text()
    assert "Events planned for" in page and "measured on 20 recorded frames" in page


def test_what_is_no_activity_is_refused(model: Path, capsys) -> None:
    build = model.with_name("build")
    code, _, err = run(capsys, "generate", model, "-o", build, "--activity", "guess")
    assert code == 2 and "'measured'" in err and "guess" in err
    code, _, err = run(capsys, "generate", model, "-o", build, "--activity", "2")
    assert code == 2 and "share of inputs" in err
    model.with_name("net.golden.npz").unlink()
    code, _, err = run(capsys, "generate", model, "-o", build, "--activity", "measured")
    assert code == 2 and "nothing is recorded" in err and "--activity 0.05" in err
    assert not build.exists()
