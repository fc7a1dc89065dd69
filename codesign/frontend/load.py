"""Read an ONNX file as untrusted input.

Nothing here executes or follows anything the file asks for, except tensor data in files beside
the model, whose paths are confined to the model's own folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from codesign.errors import UnsupportedModel, UsageError
from codesign.frontend.names import printable

MAX_FILE_BYTES = 1 << 30
MAX_NODES = 100_000


def load_model(path: str | Path) -> ModelProto:
    """Parse ``path`` and pull external tensor data in; every failure is one clear error."""
    path = Path(path)
    model = _parse(_read(path), str(path))
    resolve_external_data(model, path.parent)
    return model


def _read(path: Path) -> bytes:
    where = printable(str(path), 200)
    if not path.exists():
        raise UsageError("no such file", where=where, hint="give the path of an .onnx file")
    if not path.is_file():
        raise UsageError("not a file", where=where, hint="give the path of an .onnx file")
    size = path.stat().st_size
    if size == 0:
        raise UsageError("the file is empty", where=where, hint="export the model again")
    if size > MAX_FILE_BYTES:
        raise UsageError(
            f"the file has {size} bytes, the limit is {MAX_FILE_BYTES}",
            where=where,
            hint="a network this large does not fit an FPGA; export a smaller one",
        )
    try:
        return path.read_bytes()
    except OSError as error:
        hint = "check its permissions"
        raise UsageError(f"cannot be read: {error.strerror}", where=where, hint=hint) from None


def _parse(data: bytes, where: str) -> ModelProto:
    model = ModelProto()
    broken = UsageError(
        "not an ONNX model, or a truncated one",
        where=printable(where, 200),
        hint="export it again with brevitas.export.export_qonnx or torch.onnx.export",
    )
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError, ValueError):
        raise broken from None
    if model.ir_version <= 0 or not model.HasField("graph"):
        raise broken
    return model


def all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor of the model: initializers, and tensors in node attributes, also those of
    subgraphs."""
    graphs = [model.graph]
    for graph in graphs:  # grows while we walk it
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                if attribute.HasField("g"):
                    graphs.append(attribute.g)
                yield from attribute.tensors
                graphs.extend(attribute.graphs)


def resolve_external_data(model: ModelProto, folder: Path) -> None:
    """Replace external tensor data by its bytes; only files inside ``folder`` are opened."""
    for tensor in all_tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        tensor.raw_data = _external_bytes(tensor, folder)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _external_bytes(tensor: TensorProto, folder: Path) -> bytes:
    where = f"tensor '{printable(tensor.name)}'"
    fields = {entry.key: entry.value for entry in tensor.external_data}
    location = fields.get("location", "")
    target = _inside(folder, location, where)
    try:
        size = target.stat().st_size
        offset = int(fields.get("offset", "0"))
        length = int(fields.get("length", str(size - offset)))
    except (OSError, ValueError):
        raise UsageError(
            f"its external data '{printable(location)}' cannot be read",
            where=where,
            hint="keep the data file beside the model, or save the model in one file",
        ) from None
    if offset < 0 or length < 0 or offset + length > size or length > MAX_FILE_BYTES:
        raise UsageError(
            f"its external data lies outside '{printable(location)}' ({size} bytes)",
            where=where,
            hint="the data file is truncated: copy it again",
        )
    with target.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _inside(folder: Path, location: str, where: str) -> Path:
    """The file ``location`` names, unless it leaves ``folder`` (also through links)."""
    home = folder.resolve()
    bad = not location or "\0" in location or Path(location).is_absolute()
    target = home if bad else (home / location).resolve()
    if bad or home not in target.parents:
        raise UsageError(
            f"its external data '{printable(location)}' is outside the model's folder",
            where=where,
            hint="save the model with its data in one file, or in the same folder",
        )
    if not target.is_file():
        raise UsageError(
            f"its external data '{printable(location)}' is missing",
            where=where,
            hint="copy the data file beside the model",
        )
    return target


def supported_opsets() -> tuple[int, int]:
    """Oldest and newest opset of the standard domain that the importer accepts."""
    return 9, int(onnx.defs.onnx_opset_version())


def check_size(model: ModelProto) -> None:
    """Refuse graphs no circuit could hold before anything walks them."""
    nodes = len(model.graph.node)
    for node in model.graph.node:
        nodes += sum(len(a.g.node) for a in node.attribute if a.HasField("g"))
    if nodes > MAX_NODES:
        raise UnsupportedModel(
            f"the graph has {nodes} nodes, the limit is {MAX_NODES}",
            hint="export the network unrolled less, or a smaller one",
        )
