"""What ``codesign train --spiking`` says of encoders, readouts and signals that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas.nn")

from codesign.cli import main  # noqa: E402

SIGNALS = {"x": np.zeros((10, 4, 2), np.float32), "label": np.arange(10) % 2}


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["digits", "--encoding", "morse"], "unknown encoding 'morse'"),
        (["digits", "--encoding", "delta"], "'digits' holds pictures, 'delta' encodes signals"),
        (["digits", "--encoding", "ternary", "--steps", "1"], "signed codes have at least 2 bits"),
        (["digits", "--encoding", "binary", "--input-bits", "8"], "need 255 steps"),
        (["digits", "--input-bits", "17"], "an input code has 1 to 16 bits, got 17"),
        (["waves", "--encoding", "rate"], "'waves' holds signals over time"),
        (["waves", "--steps", "0"], "at least 1 time step, got T = 0"),
        (["waves", "--low", "256"], "low must lie in 0..255, got 256"),
        (["poisson", "--encoder", "circuit"], "'events' inputs are not encoded in the circuit"),
        (["waves", "--readout", "bessel_last", "--order", "3"], "an even order"),
        (["waves", "--readout", "bessel_last", "--cutoff", "1.5"], "a cutoff in 0..1"),
        (["waves", "--readout", "bessel_last", "--cutoff", "0.001"], "needs more than 12"),
        (["waves", "--readout", "vote"], "unknown readout 'vote'"),
        (["signals"], "signals need their file"),
        (["signals", "--data", "SHORT"], "its signals have 4 steps, the network T = 6"),
        (["signals", "--data", "LARGE"], "signals lie in 0..1, or in -1..1"),
        (["signals", "--data", "FLAT"], "signals are (samples, steps, features)"),
        (["signals", "--data", "EMPTY"], "array 'x' is missing"),
        (["signals", "--data", "FEW"], "there are 10 signals but 9 labels"),
    ],
)
def test_bad_input_is_one_message(
    words: list[str], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "SHORT": SIGNALS,
        "LARGE": SIGNALS | {"x": SIGNALS["x"] + 2},
        "FLAT": SIGNALS | {"x": SIGNALS["x"][:, 0]},
        "EMPTY": {"label": SIGNALS["label"]},
        "FEW": SIGNALS | {"label": SIGNALS["label"][:9]},
    }
    for name, arrays in files.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
    words = [str(tmp_path / f"{w}.npz") if w in files else w for w in words]
    given = ["train", words[0], "--spiking", "--steps", "6", "-o", str(tmp_path / "n.onnx")]
    with pytest.raises(SystemExit) as done:
        main([*given, *words[1:]])
    assert done.value.code == 2
    found = " ".join(capsys.readouterr().err.split())
    assert what in found, found
