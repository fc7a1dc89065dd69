"""Files: missing, damaged, too large, and tensor data outside the model's folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from codesign.errors import CodesignError, UsageError
from codesign.frontend import import_qonnx, load, load_model
from tests.frontend.parts import WEIGHTS, small, tensor


def refused(path: Path, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_model(path)
    assert caught.value.exit_code == 2
    assert message in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.onnx", "no such file")


def test_folder(tmp_path: Path) -> None:
    refused(tmp_path, "not a file")


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"")
    refused(path, "the file is empty")


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"x" * 100)
    monkeypatch.setattr(load, "MAX_FILE_BYTES", 99)
    refused(path, "the file has 100 bytes, the limit is 99")


@pytest.mark.parametrize(
    "data",
    [b"hello world, I am no model", b"PK\x03\x04" + bytes(60), bytes(64), b"\xff" * 40, b"{}"],
    ids=["text", "zip", "zeros", "ones", "json"],
)
def test_not_onnx(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    refused(path, "not an ONNX model, or a truncated one")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = small().SerializeToString()
    path = tmp_path / "m.onnx"
    for length in range(1, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(CodesignError):
            import_qonnx(path)


def test_flipped_bytes_never_end_in_a_traceback(tmp_path: Path) -> None:
    whole = bytearray(small().SerializeToString())
    path = tmp_path / "m.onnx"
    rng = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for position in rng.integers(0, len(data), 3):
            data[position] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(bytes(data))
        try:
            import_qonnx(path)
        except CodesignError as error:
            assert error.exit_code in (2, 4)


def test_too_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MAX_NODES", 3)
    with pytest.raises(CodesignError, match="the graph has 6 nodes, the limit is 3"):
        import_qonnx(small())


def external(folder: Path, location: str, **fields: int) -> Path:
    """:func:`small` with the weights in another file."""
    model = small()
    weights = tensor(model, "fc.weight")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, text in {"location": location, **fields}.items():
        entry = weights.external_data.add()
        entry.key, entry.value = key, str(text)
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"abcd" + WEIGHTS.tobytes())
    imported = import_qonnx(external(tmp_path, "w.bin", offset=4, length=WEIGHTS.nbytes))
    plain = import_qonnx(small())
    for ours, theirs in zip(imported.graph.nodes, plain.graph.nodes, strict=True):
        if ours.op.kind == "dense":
            assert np.array_equal(ours.op.weights, theirs.op.weights)
    # what is written into a build folder no longer needs the other file
    assert tensor(imported.source, "fc.weight").data_location == TensorProto.DEFAULT


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "", "a/../../w.bin", "."])
def test_external_data_elsewhere(tmp_path: Path, location: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    refused(external(home, location), "is outside the model's folder")


def test_external_data_through_a_link(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    (home / "w.bin").symlink_to(tmp_path / "secret")
    refused(external(home, "w.bin"), "is outside the model's folder")


def test_external_data_missing(tmp_path: Path) -> None:
    refused(external(tmp_path, "w.bin"), "is missing")


@pytest.mark.parametrize("fields", [{"offset": 90}, {"offset": -4}, {"length": 1 << 40}])
def test_external_data_too_short(tmp_path: Path, fields: dict[str, int]) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(40))
    refused(external(tmp_path, "w.bin", **fields), "lies outside 'w.bin' (40 bytes)")


def test_external_data_with_a_bad_offset(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(40))
    refused(external(tmp_path, "w.bin", offset="zero"), "cannot be read")  # type: ignore[arg-type]


def test_save_and_load_keeps_every_byte(tmp_path: Path) -> None:
    onnx.save(small(), tmp_path / "m.onnx")
    assert load_model(tmp_path / "m.onnx") == small()
