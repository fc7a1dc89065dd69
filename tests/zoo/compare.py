"""A zoo network through one export path: the file, and three executions of it side by side."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from codesign.formats import ScaledInt
from codesign.frontend import Imported, import_qonnx
from codesign.frontend.execute import execute_batch
from codesign.frontend.load import load_model
from codesign.ops.quantizer import Quantizer
from codesign.train import golden
from codesign.train.export import IR_VERSION, export_module, quiet
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
class Point:
    """One tensor: ONNX name, its step (0 for floats), what we and another execution have."""

    name: str
    step: float
    ours: np.ndarray
    theirs: np.ndarray


@dataclass(frozen=True)
class Runs:
    """Every quantizer's output, then the network's."""

    imported: Imported
    qonnx: list[Point]
    torch: list[Point]


def run(entry: Entry, path: str, frames: int = FRAMES) -> Runs:
    """Import the export of ``entry`` and execute it on random inputs, ties among them."""
    net = build(entry)
    model = export(net, entry, path)
    imported = import_qonnx(model)
    if path in entry.unlike_torch:
        recorded = {}
        x = golden.random_inputs(imported, entry.shape, frames, 1)
    else:
        inputs = np.zeros((1, *entry.shape), np.float32)
        kept = golden.record_golden(net, model, inputs, random_frames=frames)
        recorded, x = kept.random, kept.random_x
    names = compared(imported)
    ours = reference(imported, x)
    theirs = execute_batch(imported, x, names)
    steps = {imported.tensor_names[v]: step(imported, v) for v in imported.tensor_names}
    return Runs(
        imported,
        [Point(n, steps[n], *alike(imported, n, ours[n], theirs[n])) for n in names],
        [Point(n, steps[n], ours[n].reshape(a.shape), a) for n, a in recorded.items()],
    )


def compared(imported: Imported) -> list[str]:
    """ONNX names of the quantizers' outputs and of the network's output."""
    graph = imported.graph
    values = [n.output for n in graph.nodes if isinstance(n.op, Quantizer)]
    values += [v for v in graph.outputs if v not in values]
    return [imported.tensor_names[v] for v in values if v in imported.tensor_names]


def step(imported: Imported, value: str) -> float:
    """The largest distance of two neighbouring values of a quantizer's output, 0 for others
    (floats, sums)."""
    producer = imported.graph.producer(value)
    if producer is None or not isinstance(producer.op, Quantizer):
        return 0.0
    format, levels = imported.graph.values[value].format, producer.op.levels
    codes = np.arange(format.lo, format.hi + 1) if levels is None else levels
    width = len(format.scale) if isinstance(format, ScaledInt) else 1
    values = format.decode(np.repeat(codes[:, None], width, axis=1))
    return float(np.diff(values, axis=0).max())


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


def alike(
    imported: Imported, name: str, ours: np.ndarray, theirs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both as decoded floats: QuantizeLinear's outputs are codes in the file."""
    value = next(v for v, n in imported.tensor_names.items() if n == name)
    format = imported.graph.values[value].format
    if theirs.dtype.kind in "iu" and isinstance(format, ScaledInt):
        axes = imported.tensor_axes[value]
        codes = theirs.transpose(0, *(int(a) + 1 for a in np.argsort(axes))).astype(np.int64)
        theirs = format.decode(codes).transpose(0, *(a + 1 for a in axes))
    return ours.reshape(theirs.shape), theirs


def assert_equal(points: list[Point], *, exact: bool) -> None:
    """Every code equal. Where scales are no powers of two (``exact`` False), float32 sums in
    another order may flip a code to its neighbour now and then, and what follows from it."""
    flipped = False
    for point in points:
        differ = point.ours != point.theirs
        if exact or not differ.any():
            count = int(differ.sum())
            assert not count, f"{point.name}: {count} of {differ.size} differ"
        elif not point.step:
            scale = np.abs(point.theirs).max()
            close = np.isclose(point.ours, point.theirs, rtol=1e-5, atol=1e-5 * scale)
            assert flipped or close.all(), point.name
        else:
            distance = np.abs(point.ours - point.theirs).max()
            assert flipped or distance <= 1.01 * point.step, point.name
            assert differ.mean() < (0.05 if flipped else 0.005), point.name
            flipped = True
