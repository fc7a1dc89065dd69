"""Files that are no models, or damaged ones: one message, exit code 2 (or 4), no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.frontend.parts import node, refused_file, small, tensor

Make = Callable[[Path], Path]
BAD: list[tuple[str, Make, int, str]] = []


def bad(message: str, code: int = 2) -> Callable[[Make], Make]:
    """Note a file and what must be said of it."""

    def enter(make: Make) -> Make:
        BAD.append((make.__name__, make, code, message))
        return make

    return enter


def written(folder: Path, data: bytes) -> Path:
    """``data`` as a file."""
    (folder / "bad.onnx").write_bytes(data)
    return folder / "bad.onnx"


def external(folder: Path, **fields: object) -> Path:
    """The small model, its weights in another file described by ``fields``."""
    model = small()
    weight = tensor(model, "fc.weight")
    data = weight.raw_data
    (folder / "weights.bin").write_bytes(data)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in fields.items():
        weight.external_data.add(key=key, value=str(value))
    return written(folder, model.SerializeToString())


@bad("no such file")
def missing(folder: Path) -> Path:
    return folder / "none.onnx"


@bad("not a file")
def a_folder(folder: Path) -> Path:
    (folder / "net.onnx").mkdir()
    return folder / "net.onnx"


@bad("the file is empty")
def empty(folder: Path) -> Path:
    return written(folder, b"")


@bad("not an ONNX model, or a truncated one")
def text(folder: Path) -> Path:
    return written(folder, b"this is a text\n" * 20)


@bad("not an ONNX model, or a truncated one")
def zeros(folder: Path) -> Path:
    return written(folder, bytes(4096))


@bad("not an ONNX model, or a truncated one")
def a_zip_file(folder: Path) -> Path:
    np.savez(folder / "net.npz", x=np.zeros(9))
    return written(folder, (folder / "net.npz").read_bytes())


@bad("not an ONNX model, or a truncated one")
def half_a_file(folder: Path) -> Path:
    data = small().SerializeToString()
    return written(folder, data[: len(data) // 2])


@bad("not an ONNX model, or a truncated one")
def a_file_without_its_last_byte(folder: Path) -> Path:
    return written(folder, small().SerializeToString()[:-1])


@bad("not an ONNX model, or a truncated one")
def a_graph_alone(folder: Path) -> Path:
    return written(folder, small().graph.SerializeToString())


@bad("not an ONNX model, or a truncated one")
def a_model_without_graph(folder: Path) -> Path:
    model = small()
    model.ClearField("graph")
    return written(folder, model.SerializeToString())


@bad("external data '../weights.bin' is outside the model's folder")
def external_data_above(folder: Path) -> Path:
    return external(folder, location="../weights.bin")


@bad("external data '/etc/passwd' is outside the model's folder")
def external_data_anywhere(folder: Path) -> Path:
    return external(folder, location="/etc/passwd")


@bad("external data 'link.bin' is outside the model's folder")
def external_data_through_a_link(folder: Path) -> Path:
    (folder / "link.bin").symlink_to("/etc/hostname")
    return external(folder, location="link.bin")


@bad("external data 'gone.bin' is missing")
def external_data_missing(folder: Path) -> Path:
    return external(folder, location="gone.bin")


@bad("external data '' is outside the model's folder")
def external_data_nowhere(folder: Path) -> Path:
    return external(folder)


@bad("external data lies outside 'weights.bin' (96 bytes)")
def external_data_truncated(folder: Path) -> Path:
    return external(folder, location="weights.bin", offset=0, length=9999)


@bad("external data lies outside 'weights.bin' (96 bytes)")
def external_data_before_the_start(folder: Path) -> Path:
    return external(folder, location="weights.bin", offset=-8)


@bad("external data 'weights.bin' cannot be read")
def external_data_at_no_number(folder: Path) -> Path:
    return external(folder, location="weights.bin", offset="zero")


@bad("initializer 'fc.weight': its data does not fit its shape (6, 4)", code=4)
def external_data_too_short(folder: Path) -> Path:
    return external(folder, location="weights.bin", offset=0, length=12)


@bad("the graph has 100001 nodes, the limit is 100000", code=4)
def too_many_nodes(folder: Path) -> Path:
    model = small()
    chain = [helper.make_node("Relu", [f"r{i}"], [f"r{i + 1}"]) for i in range(100_001 - 6)]
    model.graph.node.extend(chain)
    return written(folder, model.SerializeToString())


@bad("node 'relu' (Relu): the graph has a cycle here", code=4)
def cyclic(folder: Path) -> Path:
    model = small()
    node(model, "relu").input[0] = "relu"
    return written(folder, model.SerializeToString())


@bad("initializer 'fc.bias': element type STRING is not supported", code=4)
def strings(folder: Path) -> Path:
    model = small()
    bias = onnx.helper.make_tensor("fc.bias", TensorProto.STRING, [4], [b"a", b"b", b"c", b"d"])
    tensor(model, "fc.bias").CopyFrom(bias)
    return written(folder, model.SerializeToString())


@bad("initializer 'fc.bias': element type COMPLEX64 is not supported", code=4)
def complex_numbers(folder: Path) -> Path:
    model = small()
    array = np.zeros(4, np.complex64)
    tensor(model, "fc.bias").CopyFrom(numpy_helper.from_array(array, "fc.bias"))
    return written(folder, model.SerializeToString())


@pytest.mark.parametrize(("make", "code", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_refused(
    make: Make, code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused_file(make(tmp_path), message, capsys, code=code)


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    from codesign.frontend import import_qonnx

    path = external(tmp_path, location="weights.bin", offset=0, length=96)
    assert import_qonnx(path).graph.nodes
