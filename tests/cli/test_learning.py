"""Learning from the command line: the example of docs/LEARNING.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codesign.cli import main


def run(*arguments: str) -> int:
    """The exit code of a verb."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hidden", "steps", "goal"), [(",", "8", 0.85), ("32", "4", 0.75)], ids=["64-10", "64-32-10"]
)
def test_a_network_learns_digits_on_the_chip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hidden: str, steps: str, goal: float
) -> None:
    """Trained for an epoch; then one pass over the training frames in the circuit."""
    pytest.importorskip("torch")
    net, rule, data, build = (str(tmp_path / n) for n in ("n.onnx", "l.toml", "d.npz", "build"))
    assert not run("train", "digits", "--spiking", "--steps", steps, "--layers", hidden,
                   "--readout", "count", "--epochs", "1", "-o", net, "-q")  # fmt: skip
    assert not run("learning-rule", net, "-o", rule, "-q")
    assert run("learning-rule", net, "-o", rule) == 2  # it is there already
    assert not run("learning-data", "digits", "--steps", steps, "-o", data, "-q")
    assert not run("generate", net, "-o", build, "--learn", rule, "-q")
    capsys.readouterr()
    assert not run("verify", build, "--data", data, "--json")
    found = json.loads(capsys.readouterr().out)
    assert not any(link["mismatches"] for link in found["evidence"])
    learned = found["learning"]
    assert learned["frames"] == 1437 and learned["test_frames"] == 360
    assert learned["before"] < 0.7 and learned["after"] >= goal
    assert learned["cycles_passing"] < learned["cycles_learning"]
    assert not run("report", build, "-q")
    page = (Path(build) / "reports/report.html").read_text()
    assert "Learning on the chip" in page and "1,437 frames" in page.replace("\u202f", ",")


@pytest.mark.slow
def test_a_network_learns_from_the_events_of_a_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Moving edges: the events that the generated set makes are kept as a camera's would be, go in
    as address events with the header before them, and are learned."""
    pytest.importorskip("torch")
    net, rule, data, build = (str(tmp_path / n) for n in ("n.onnx", "l.toml", "d.npz", "build"))
    assert not run("train", "edges", "--spiking", "--steps", "8", "--layers", ",",
                   "--readout", "count", "--epochs", "1", "-o", net, "-q")  # fmt: skip
    assert not run("learning-rule", net, "-o", rule, "-q")
    assert not run("learning-data", "edges", "--steps", "8", "--events", "-o", data, "-q")
    assert not run("generate", net, "-o", build, "--learn", rule, "--input", "events", "-q")
    capsys.readouterr()
    assert not run("verify", build, "--data", data, "--json")
    found = json.loads(capsys.readouterr().out)
    assert not any(link["mismatches"] for link in found["evidence"])
    learned = found["learning"]
    assert learned["frames"] == 800 and learned["test_frames"] == 200
    assert learned["before"] < 0.6 and learned["after"] >= 0.9


@pytest.mark.slow
def test_a_network_learns_behind_its_encoder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Digits as codes; the circuit makes rate codes of them, and learns."""
    pytest.importorskip("torch")
    net, rule, data, build = (str(tmp_path / n) for n in ("n.onnx", "l.toml", "d.npz", "build"))
    encoding = ("--steps", "4", "--encoding", "rate", "--encoder", "circuit")
    assert not run("train", "digits", "--spiking", *encoding, "--layers", ",",
                   "--readout", "count", "--epochs", "1", "-o", net, "-q")  # fmt: skip
    assert not run("learning-rule", net, "-o", rule, "-q")
    assert not run("learning-data", "digits", *encoding, "-o", data, "-q")
    assert run("learning-data", "digits", "--encoder", "chip", "-o", data, "-q") == 2
    assert not run("generate", net, "-o", build, "--learn", rule, "-q")
    capsys.readouterr()
    assert not run("verify", build, "--data", data, "--json")
    found = json.loads(capsys.readouterr().out)
    assert not any(link["mismatches"] for link in found["evidence"])
    assert all(bench["passed"] for bench in found["benches"])
    assert found["learning"]["before"] < 0.5 and found["learning"]["after"] >= 0.75
