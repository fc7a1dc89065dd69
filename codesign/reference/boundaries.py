"""Layer boundaries: where the executions are compared, and float tensors seen as codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from codesign.errors import MismatchError
from codesign.formats import Real, ScaledInt
from codesign.ir import Graph, Value
from codesign.ops.bessel import Bessel
from codesign.ops.encode import Encode
from codesign.ops.neuron import Neuron, NeuronState
from codesign.ops.quantizer import Quantizer
from codesign.ops.reinterpret import Reinterpret
from codesign.ops.requant import Requant

#: A float32 value that no code stands for becomes this plus its 32 bits: outside every format.
OFF_GRID = 1 << 40


@dataclass(frozen=True)
class Boundary:
    """A tensor every execution must agree on, in graph order."""

    value: Value
    tensor: str  # its name in the ONNX file
    axes: tuple[int, ...] | None = None  # that tensor is value.transpose(axes); None: as it is
    levels: np.ndarray | None = None  # the only codes that occur, where they are far apart

    def codes(self, floats: np.ndarray) -> np.ndarray:
        """int64 codes [n, elements], in the value's layout, of a float tensor of the file.

        A float output (logits) is compared by its float32 bits. For integer formats every value
        must be exactly ``decode(code)`` of some code; one that is not becomes :data:`OFF_GRID` and
        its bits, so that the comparison reports it.
        """
        floats = self._in_layout(np.asarray(floats, dtype=np.float32))
        format = self.value.format
        if isinstance(format, Real):
            bits = (floats + np.float32(0)).view(np.int32).astype(np.int64)  # -0 equals 0
            return bits.reshape(len(floats), -1)
        assert isinstance(format, ScaledInt)
        scale = np.asarray(format.scale) if len(format.scale) > 1 else format.scale[0]
        codes = np.rint(floats.astype(np.float64) / scale).astype(np.int64) + format.zero_point
        if self.levels is not None:  # float32 may be too coarse to tell neighbours of them
            after = np.searchsorted(self.levels, codes).clip(1, len(self.levels) - 1)
            low, high = self.levels[after - 1], self.levels[after]
            codes = np.where(codes - low < high - codes, low, high)
        bits = floats.view(np.uint32).astype(np.int64)
        codes = np.where(format.decode(codes) == floats, codes, OFF_GRID + bits)
        return codes.reshape(len(floats), -1)

    def of_value(self, array: np.ndarray) -> np.ndarray:
        """int64 codes [n, elements] of the value as the reference computes it."""
        if array.dtype.kind != "f":
            return array.reshape(len(array), -1)
        bits = (np.asarray(array, np.float32) + np.float32(0)).view(np.int32)
        return bits.astype(np.int64).reshape(len(array), -1)

    def _in_layout(self, floats: np.ndarray) -> np.ndarray:
        """``floats`` [n, ...] of the file as [n, *shape] of the value."""
        axes = tuple(range(len(self.value.shape))) if self.axes is None else self.axes
        floats = floats.reshape(len(floats), *(self.value.shape[a] for a in axes))
        return np.ascontiguousarray(floats.transpose(0, *(1 + int(a) for a in np.argsort(axes))))


def boundaries(
    graph: Graph, names: Mapping[str, str], axes: Mapping[str, tuple[int, ...]] | None = None
) -> list[Boundary]:
    """Every quantizer output, codes read as if quantized otherwise, every spike and state of
    neurons, what is encoded and smoothed, and every graph output.

    ``names``: value -> ONNX tensor; ``axes``: value -> how that tensor lies in it
    (``Imported.tensor_axes``).
    """
    kinds = Quantizer | Requant | Reinterpret | Neuron | NeuronState | Encode | Bessel
    picked = [n.output for n in graph.nodes if isinstance(n.op, kinds)]
    picked += [name for name in graph.outputs if name not in picked]
    layout = axes or {}
    found = [
        Boundary(graph.values[name], names[name], layout.get(name), _levels(graph, name))
        for name in picked
        if name in names
    ]
    if not found:
        raise MismatchError("no tensor of the model can be compared", where=graph.name)
    return found


def values_of(value: Value, codes: np.ndarray) -> np.ndarray:
    """The float32 numbers that codes [n, elements] of :meth:`Boundary.codes` stand for."""
    bits = (codes & 0xFFFFFFFF).astype(np.uint32).view(np.float32)
    if isinstance(value.format, Real):
        return bits
    decoded = value.format.decode(codes.reshape(-1, *value.shape)).reshape(codes.shape)
    return np.where(codes >= OFF_GRID, bits, decoded)


def _levels(graph: Graph, name: str) -> np.ndarray | None:
    node = graph.producer(name)
    levels = getattr(node.op, "levels", None) if node is not None else None
    return np.unique(levels) if levels is not None and levels.size > 1 else None
