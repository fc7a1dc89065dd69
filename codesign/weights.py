"""Weights for a design that exists: from another model of the same structure to bus writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from codesign.builddir import BuildDir, while_reading, write_text_atomically
from codesign.emit.registers import loadable_layers
from codesign.errors import UnsupportedModel, UsageError
from codesign.formats import QuantFormat, parse_format
from codesign.frontend import Imported, import_qonnx, load_model
from codesign.frontend.output_format import quantize_output
from codesign.hdl.loading.weight_image import image_of, values
from codesign.ir import Graph, Node
from codesign.ir.serialize import load_graph
from codesign.manifest import Manifest, WeightMemory, WeightRegion
from codesign.ops.convolve import Convolve
from codesign.ops.matvec import MatVec
from codesign.passes import lower
from codesign.plan import Circuit, partition

Writes = list[tuple[int, int]]


@dataclass(frozen=True)
class Weights:
    """A model's weights for one design. ``writes``: (byte address, 32-bit data) in the order in
    which they must be written over AXI4-Lite, no frame in flight."""

    imported: Imported
    graph: Graph
    writes: Writes

    def save(self, path: Path) -> None:
        """As JSON (``{"writes": [[address, data], ...]}``), or, for any other ending than
        ``.json``, as little-endian 32-bit words: address, data, address, data, ..."""
        if path.suffix == ".json":
            write_text_atomically(path, json.dumps({"writes": self.writes}) + "\n")
        else:
            path.write_bytes(np.array(self.writes, dtype="<u4").tobytes())


@while_reading
def weights_for(
    build: BuildDir,
    model: Path | onnx.ModelProto,
    *,
    input_format: QuantFormat | None = None,
) -> Weights:
    """The writes that put the weights of ``model`` into the design of ``build``.

    ``UsageError`` when the design has no run-time weights; ``UnsupportedModel``, naming the first
    difference, when ``model`` is not the design's network but for its weights.
    """
    manifest = build.manifest
    if not manifest.registers:
        raise UsageError(
            "this design has its weights built in",
            where=str(build.root),
            hint="generate it again with --runtime-weights",
        )
    proto = model if isinstance(model, onnx.ModelProto) else load_model(model)
    if manifest.output_format:
        proto = quantize_output(proto, parse_format(manifest.output_format))
    imported = import_qonnx(proto, input_format=input_format)
    graph = lower(imported.graph, runtime_weights=True)
    old, new = partition(load_graph(build.root / "model")), partition(graph)
    check_same(old, new)
    return Weights(imported, graph, pack_weights(manifest, new.graph))


def pack_weights(manifest: Manifest, graph: Graph) -> Writes:
    """(byte address, data) of every word of every loadable layer of ``graph``, a lowered model of
    the design's structure."""
    layers = loadable_layers(partition(graph))
    writes: Writes = []
    for region, layer in zip(manifest.registers, layers, strict=True):
        op = layer.head
        assert isinstance(op, MatVec | Convolve)
        weights = op.weights.reshape(len(op.weights), -1)
        writes += region_writes(region, weights, op.bias)
    return writes


def region_writes(region: WeightRegion, weights: np.ndarray, bias: np.ndarray) -> Writes:
    """The writes of one layer: ``weights`` int64 [rows, columns], ``bias`` int64 [rows]."""
    if weights.shape != (region.rows, region.columns) or bias.shape != (region.rows,):
        raise UsageError(
            f"weights {weights.shape} and bias {bias.shape} do not fit",
            where=f"layer '{region.layer}'",
            hint=f"it has {region.rows} x {region.columns} weights",
        )
    least, most = int(weights.min()), int(weights.max())
    if least < region.lo or most > region.hi:
        raise UsageError(
            f"weights {least}..{most} lie outside {region.lo}..{region.hi}",
            where=f"layer '{region.layer}'",
            hint="the design holds weights of the format it was generated for",
        )
    image = image_of(
        weights.shape,
        pe=region.pe,
        simd=region.simd,
        sets=region.groups,
        multiplier=region.multiplier,
        weights=values(region.lo, region.hi, region.columns, region.simd),
    )
    writes = list(_parts(region.weights, image.weight_words(weights)))
    return writes + list(_parts(region.starts, image.start_words(weights, bias, region.start_bits)))


def _parts(memory: WeightMemory, words: list[int]) -> Iterator[tuple[int, int]]:
    for n, word in enumerate(words):
        for part in range(memory.parts):
            yield memory.base + n * memory.stride + 4 * part, word >> (32 * part) & 0xFFFFFFFF


def check_same(old: Circuit, new: Circuit) -> None:
    """``UnsupportedModel`` unless both circuits are the same but for weights."""
    if len(old.layers) != len(new.layers):
        raise _different(f"it has {len(new.layers)} layers, the design {len(old.layers)}")
    numbers: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for known, circuit in zip(numbers, (old, new), strict=True):
        known[circuit.source.name] = 0
    _same_value(old.source, new.source, "the input")
    for a, b in zip(old.layers, new.layers, strict=True):
        where = f"layer '{a.name}'"
        if [n.op.kind for n in a.nodes] != [n.op.kind for n in b.nodes]:
            raise _different(f"{where} is another operation there")
        for known, layer in zip(numbers, (a, b), strict=True):
            known[layer.target.name] = len(known)
        read = [
            [known.get(source.name) for source in layer.sources]
            for known, layer in zip(numbers, (a, b), strict=True)
        ]
        if read[0] != read[1]:
            raise _different(f"{where} reads another value there")
        for one, other in zip(a.nodes, b.nodes, strict=True):
            _same_op(one, other, where)
            _same_value(old.graph.out(one), new.graph.out(other), where)


def _same_value(a: Any, b: Any, where: str) -> None:
    if (a.shape, a.format) != (b.shape, b.format):
        raise _different(f"{where} has {b.shape} {b.format.label()}, here {a.shape} "
                         f"{a.format.label()}")  # fmt: skip


def _same_op(a: Node, b: Node, where: str) -> None:
    """Every field but the weights, and of the bias what does not follow from them."""
    for field in fields(a.op):  # type: ignore[arg-type]
        one, other = getattr(a.op, field.name), getattr(b.op, field.name)
        loads = isinstance(a.op, MatVec | Convolve) and a.op.loadable is not None
        if loads and field.name == "weights":
            one, other = one.shape, other.shape
        elif loads and field.name == "bias" and a.op.weights.shape == b.op.weights.shape:  # type: ignore[attr-defined]
            one, other = _fixed(a.op), _fixed(b.op)
        same = np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
        if not same:
            raise _different(f"{where}: another {field.name} in '{b.name}' ({b.op.kind})")


def _fixed(op: Any) -> np.ndarray:
    return np.asarray(op.loadable.fixed_bias(op.weights, op.bias))


def _different(what: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"the model is not the design's network with other weights: {what}",
        hint="only weights may differ; scales, biases and batch normalization are built in. Freeze "
        "them while training, or generate a new design",
    )
