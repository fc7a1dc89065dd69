"""Graphs as ``graph.json`` + ``graph.npz``: plain data, no pickle, checked when read."""

from __future__ import annotations

import json
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from codesign import formats
from codesign.errors import UsageError
from codesign.formats import Format
from codesign.ir.graph import Graph, Node, State, Value, verify
from codesign.ir.op import RECORDS, REGISTRY, Op


def save_graph(graph: Graph, folder: Path) -> None:
    """Write ``graph.json`` and ``graph.npz`` into ``folder``."""
    arrays: dict[str, np.ndarray] = {}
    data = {
        "name": graph.name,
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "states": [[s.read, s.write, s.initial] for s in graph.states],
        "values": [[v.name, v.shape, v.format.to_json()] for v in graph.values.values()],
        "nodes": [
            [n.name, n.op.kind, n.inputs, n.outputs, _encode_op(n.op, arrays)] for n in graph.nodes
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "graph.json").write_text(json.dumps(data, indent=1) + "\n")
    np.savez_compressed(folder / "graph.npz", **arrays)  # type: ignore[arg-type]


def load_graph(folder: Path) -> Graph:
    """Read and verify what :func:`save_graph` wrote; ``UsageError`` when it is damaged."""
    try:
        data = json.loads((folder / "graph.json").read_text())
        with np.load(folder / "graph.npz", allow_pickle=False) as arrays:
            graph = _decode_graph(data, arrays)
        verify(graph)
        return graph
    except (OSError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"the stored graph is damaged ({error})", where=str(folder), hint="generate it again"
        ) from error


def _decode_graph(data: dict[str, Any], arrays: Any) -> Graph:
    values = [Value(n, tuple(s), formats.from_json(f)) for n, s, f in data["values"]]
    nodes = [
        Node(name, _decode_op(kind, blob, arrays), tuple(ins), tuple(outs))
        for name, kind, ins, outs, blob in data["nodes"]
    ]
    return Graph(
        data["name"],
        tuple(nodes),
        {v.name: v for v in values},
        tuple(data["inputs"]),
        tuple(data["outputs"]),
        tuple(State(*s) for s in data["states"]),
    )


def _encode_op(op: Op, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {f.name: _encode(getattr(op, f.name), arrays) for f in fields(op)}  # type: ignore[arg-type]


#: What :func:`content` returns: text, and for each array its type, shape and bytes.
Content = tuple[str, tuple[tuple[str, tuple[int, ...], bytes], ...]]


def content(op: Op) -> Content:
    """All that ``op`` holds, to compare: equal exactly for operations that compute the same
    from the same fields, arrays by their bits."""
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps([op.kind, _encode_op(op, arrays)])
    return text, tuple((a.dtype.str, a.shape, a.tobytes()) for a in arrays.values())


def _decode_op(kind: str, blob: dict[str, Any], arrays: Any) -> Op:
    if kind not in REGISTRY:
        raise ValueError(f"unknown operation '{kind}'")
    return REGISTRY[kind](**{name: _decode(value, arrays) for name, value in blob.items()})


def _encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        key = f"a{len(arrays)}"
        arrays[key] = value
        return {"array": key}
    if isinstance(value, Format):
        return {"format": value.to_json()}
    if isinstance(value, Op):
        return {"op": value.kind, "fields": _encode_op(value, arrays)}
    if type(value) in RECORDS.values():
        parts = {f.name: _encode(getattr(value, f.name), arrays) for f in fields(value)}
        return {"record": value.record_name, "fields": parts}
    if isinstance(value, tuple):
        return {"tuple": [_encode(v, arrays) for v in value]}
    if isinstance(value, float):
        return {"float": value.hex()}
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"cannot store a {type(value).__name__}")


def _decode(value: Any, arrays: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "format" in value:
        return formats.from_json(value["format"])
    if "op" in value:
        return _decode_op(value["op"], value["fields"], arrays)
    if "record" in value:
        parts = {name: _decode(part, arrays) for name, part in value["fields"].items()}
        return RECORDS[value["record"]](**parts)
    if "tuple" in value:
        return tuple(_decode(v, arrays) for v in value["tuple"])
    return float.fromhex(value["float"])
