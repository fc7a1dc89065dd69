"""A zoo network through one export path: the file, and three executions of it side by side."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from codesign.evidence import Evidence
from codesign.frontend import Imported, import_qonnx
from codesign.frontend.load import load_model
from codesign.train import golden
from codesign.train.export import IR_VERSION, export_module, quiet
from tests.frontend.checks import judged
from tests.zoo.registry import DYNAMO, QCDQ, Entry, build

FRAMES = 24


def export(net: Any, entry: Entry, path: str) -> onnx.ModelProto:
    """The network as an ONNX file written by ``path``."""
    frame = np.zeros((1, *entry.shape), np.float32)
    if path != QCDQ:
        return export_module(net, frame, dynamo=path == DYNAMO)
    from brevitas.export import export_onnx_qcdq

    with tempfile.TemporaryDirectory() as folder, quiet(), torch.no_grad():
        file = Path(folder) / "model.onnx"
        export_onnx_qcdq(net, torch.from_numpy(frame), export_path=str(file), dynamo=False)
        model = load_model(file)
    model.ir_version = min(model.ir_version, IR_VERSION)
    return model


@dataclass(frozen=True)
class Runs:
    """What was found: every boundary against qonnx and, where both compute the same, PyTorch."""

    imported: Imported
    qonnx: Evidence
    torch: Evidence | None


def run(entry: Entry, path: str, frames: int = FRAMES) -> Runs:
    """Import the export of ``entry`` and execute it on random inputs, ties among them."""
    net = build(entry)
    model = export(net, entry, path)
    imported = import_qonnx(model)
    if path in entry.unlike_torch:
        x = golden.random_inputs(imported, entry.shape, frames, 1)
        return Runs(imported, judged(imported, x), None)
    inputs = np.zeros((1, *entry.shape), np.float32)
    kept = golden.record_golden(net, model, inputs, random_frames=frames)
    x = kept.random_x
    return Runs(imported, judged(imported, x), judged(imported, x, kept.random))


def reference(imported: Imported, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every value by its ONNX name, decoded, in the file's layout, computed by our operations."""
    graph, found = imported.graph, {imported.graph.inputs[0]: x}
    for node in graph.nodes:
        found[node.output] = node.op.execute(graph.ins(node), *[found[i] for i in node.inputs])
    decoded = {}
    for value, tensor in imported.tensor_names.items():
        array = graph.values[value].format.decode(found[value])
        decoded[tensor] = array.transpose(0, *(a + 1 for a in imported.tensor_axes[value]))
    return decoded


def assert_equal(found: Evidence, *, exact: bool) -> None:
    """Nothing unexplained; where ``exact``, no difference at all."""
    assert not found.mismatches, found.first
    assert found.codes and not (exact and found.explained), found.explained
