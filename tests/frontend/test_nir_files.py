"""NIR files, which are untrusted input."""

from __future__ import annotations

import h5py
import nir
import pytest

from codesign.errors import UnsupportedModel, UsageError
from codesign.frontend.nir import read_nir
from tests.frontend.nir_models import W, chain, inputs, lif, outputs, recurrent


def test_a_file(tmp_path) -> None:
    path, x = tmp_path / "net.nir", inputs(3)
    nir.write(path, recurrent(True))
    assert (outputs(str(path), x) == outputs(recurrent(True), x)).all()


def write_bad(path, change) -> None:
    nir.write(path, chain(nir.Linear(W), lif(4)))
    with h5py.File(path, "r+") as file:
        change(file)


def unknown_type(file) -> None:
    del file["node/nodes/n1/type"]
    file["node/nodes/n1/type"] = "Izhi\x1b[31mkevich"


def external(file) -> None:
    del file["node/nodes/n0/weight"]
    file["node/nodes/n0/weight"] = h5py.ExternalLink("/etc/passwd", "x")


def cycle(file) -> None:
    file["node/nodes/again"] = file["node"]


def bomb(file) -> None:
    file.create_dataset("node/nodes/n0/big", (1 << 28,), "f8", chunks=True, fillvalue=1)


def lost(file) -> None:
    del file["node/nodes/n1/tau"]


def no_edges(file) -> None:
    del file["node/edges"]


BAD = [
    (unknown_type, UnsupportedModel, r"type 'Izhi\\x1b\[31mkevich'"),
    (external, UsageError, "'weight' is a link to elsewhere"),
    (cycle, UsageError, "nested more than"),
    (bomb, UsageError, "hold more than"),
    (lost, UsageError, r"node 'n1' \(LIF\): TypeError"),
    (no_edges, UsageError, "KeyError: 'edges'"),
]


@pytest.mark.parametrize("change, error, says", BAD)
def test_bad_files(change, error, says: str, tmp_path) -> None:
    path = tmp_path / "bad.nir"
    write_bad(path, change)
    with pytest.raises(error, match=says) as caught:
        read_nir(path)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"not hdf5", b"\x89HDF\r\n\x1a\n" + b"\0" * 40])
def test_no_hdf5(data: bytes, tmp_path) -> None:
    path = tmp_path / "x.nir"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="no well-formed NIR file"):
        read_nir(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_nir(tmp_path / "missing.nir")


def test_truncated_files(tmp_path) -> None:
    """Every prefix of a file is one clear error, or the whole graph."""
    path = tmp_path / "x.nir"
    nir.write(path, chain(nir.Linear(W), lif(4)))
    whole = path.read_bytes()
    for size in range(0, len(whole), 997):
        path.write_bytes(whole[:size])
        with pytest.raises((UsageError, UnsupportedModel)):
            read_nir(path)
