"""``--unrolled`` from the command line: a frame of three axes is one vector."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from codesign.cli import main
from tests.cnn_models import Net


def test_codes_of_a_picture_are_quantized_a_frame_a_cycle(tmp_path: Path, capsys) -> None:
    """A requantizer of its own stands first: it had a row of lanes, the circuit took 4 cycles."""
    net = Net((1, 4, 4), seed=2)
    x = net.quant(net.node("Sub", net.node("Mul", "x", net.const(2.0)), net.const(1.0)))
    x = net.dense(net.node("Flatten", x), 16, 3)
    onnx.save(net.model(x), tmp_path / "net.onnx")
    made = ["generate", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "build"), "--unrolled"]
    with pytest.raises(SystemExit) as ended:
        main([*made, "--input-format", "uint8:2^-6", "--json"])
    assert not ended.value.code
    found = json.loads(capsys.readouterr().out)
    assert found["missed"] is None
    manifest = json.loads((tmp_path / "build" / "manifest.json").read_text())
    assert manifest["ii"] == 1 and "requant" in manifest["layers"][0]["op"]
