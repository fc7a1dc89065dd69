"""Read a .nir file (HDF5) as untrusted input.

HDF5 can point at other files, into itself, and at gigabytes behind a few bytes; nothing of that
is followed. The file is read once; what is checked is what is parsed.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from codesign.errors import CodesignError, UnsupportedModel, UsageError
from codesign.frontend.names import printable

MAX_FILE_BYTES = 1 << 28
#: All datasets together, decompressed.
MAX_BYTES = 1 << 30
MAX_OBJECTS = 100_000
MAX_DEPTH = 24
_KINDS = "iufbSO"

PRIMITIVES = (
    "Affine", "AvgPool2d", "Conv1d", "Conv2d", "CubaLI", "CubaLIF", "Delay", "Flatten", "I", "IF",
    "Input", "LI", "LIF", "Linear", "NIRGraph", "Output", "Scale", "SumPool2d", "Threshold",
)  # fmt: skip


def read_nir(path: str | Path) -> Any:
    """The ``nir.NIRGraph`` of a file.

    Raises :class:`UsageError` for anything that is no well-formed NIR file,
    :class:`UnsupportedModel` for a primitive that is not known.
    """
    where = printable(str(path), 200)
    try:
        import h5py
        import nir  # noqa: F401
    except ImportError:
        hint = "pip install 'codesign[spiking]'"
        raise UsageError("NIR files need the package nir", where=where, hint=hint) from None
    data = _bytes(Path(path), where)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            _Checker(where).group(file, 0)
            if "node" not in file or not isinstance(file["node"], h5py.Group):
                raise _broken(where, "it has no group 'node'")
            return _graph(_contents(file["node"]), where, 0)
    except CodesignError:
        raise
    except Exception as reason:
        # h5py and nir raise whatever their parts do: KeyError, AssertionError, OSError, ...
        raise _broken(where, f"{type(reason).__name__}: {reason}") from None


def _bytes(path: Path, where: str) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            what = f"more than {MAX_FILE_BYTES} bytes"
            raise UsageError(what, where=where, hint="export a smaller network")
        return path.read_bytes()
    except OSError as reason:
        what = f"cannot be read: {reason.strerror}"
        raise UsageError(what, where=where, hint="give the path of a .nir file") from None


def _broken(where: str, what: str) -> UsageError:
    hint = "write it again with nir.write"
    return UsageError(f"no well-formed NIR file: {printable(what, 200)}", where=where, hint=hint)


class _Checker:
    """Walks the tree once, before any dataset is read."""

    def __init__(self, where: str) -> None:
        self._where, self._bytes, self._seen = where, 0, 0

    def group(self, group: Any, depth: int) -> None:
        import h5py

        if depth > MAX_DEPTH:
            raise _broken(self._where, f"nested more than {MAX_DEPTH} deep")
        for name in group:
            self._seen += 1
            if self._seen > MAX_OBJECTS:
                raise _broken(self._where, f"more than {MAX_OBJECTS} objects")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _broken(self._where, f"'{name}' is a link to elsewhere")
            item = group[name]
            if isinstance(item, h5py.Group):
                self.group(item, depth + 1)
            elif isinstance(item, h5py.Dataset):
                self._dataset(name, item)
            else:
                raise _broken(self._where, f"'{name}' is no group and no array")

    def _dataset(self, name: str, item: Any) -> None:
        if item.is_virtual or item.external:
            raise _broken(self._where, f"'{name}' keeps its data elsewhere")
        if item.dtype.kind not in _KINDS or item.shape is None:
            raise _broken(self._where, f"'{name}' is of type {item.dtype}")
        self._bytes += int(item.size) * max(item.dtype.itemsize, 1)
        if self._bytes > MAX_BYTES:
            raise _broken(self._where, f"its arrays hold more than {MAX_BYTES} bytes")


def _contents(group: Any) -> dict[str, Any]:
    """Groups as dicts, strings as str, arrays and numbers as numpy has them."""
    import h5py

    found: dict[str, Any] = {}
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            found[name] = _contents(item)
        else:
            value = item[()]
            found[name] = value.decode("utf-8") if isinstance(value, bytes) else value
    return found


def _graph(data: dict[str, Any], where: str, depth: int) -> Any:
    import nir

    if data.get("type") != "NIRGraph":
        raise _broken(where, f"a graph of type {data.get('type')!r}")
    nodes = {name: _node(name, child, where, depth) for name, child in data["nodes"].items()}
    edges = [(_text(a), _text(b)) for a, b in np.asarray(data["edges"]).reshape(-1, 2)]
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    graph.metadata = data.get("metadata", {})
    return graph


def _node(name: str, data: Any, where: str, depth: int) -> Any:
    import nir

    kind = data.get("type") if isinstance(data, dict) else None
    if kind == "NIRGraph":
        return _graph(data, where, depth + 1)
    if kind not in PRIMITIVES:
        raise UnsupportedModel(
            f"a primitive of type '{printable(str(kind))}'",
            where=f"node '{printable(name)}'",
            hint="NIR 1.0.8 has " + ", ".join(PRIMITIVES),
        )
    try:
        return nir.dict2NIRNode(data)
    except Exception as reason:
        what = f"node '{name}' ({kind}): {type(reason).__name__}: {reason}"
        raise _broken(where, what) from None


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
