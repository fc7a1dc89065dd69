"""Layer boundaries: where the executions are compared, and float tensors seen as codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.errors import MismatchError
from codesign.formats import Real, ScaledInt
from codesign.ir import Graph, Value
from codesign.ops.quant import Quant
from codesign.ops.requant import Requant


@dataclass(frozen=True)
class Boundary:
    """A tensor every execution must agree on, in graph order."""

    value: Value
    tensor: str  # its name in the ONNX file

    def codes(self, floats: np.ndarray) -> np.ndarray:
        """int64 codes of a float tensor as the model computes it.

        A float output (logits) is compared by its float32 bits. For integer formats every value
        must be exactly ``decode(code)`` of some code; one that is not becomes a code outside the
        format, so that the comparison reports it.
        """
        floats = np.asarray(floats, dtype=np.float32).reshape(len(floats), -1)
        format = self.value.format
        if isinstance(format, Real):
            return (floats + np.float32(0)).view(np.int32).astype(np.int64)  # -0 equals 0
        assert isinstance(format, ScaledInt)
        scale = np.asarray(format.scale) if len(format.scale) > 1 else format.scale[0]
        codes = np.rint(floats.astype(np.float64) / scale).astype(np.int64) + format.zero_point
        exact = format.decode(codes.reshape(-1, *self.value.shape)).reshape(codes.shape) == floats
        return np.where(exact, codes, np.int64(1) << 40)


def boundaries(graph: Graph, names: dict[str, str]) -> list[Boundary]:
    """Every quantizer output and every graph output. ``names``: value -> ONNX tensor."""
    picked = [n.output for n in graph.nodes if isinstance(n.op, Quant | Requant)]
    picked += [name for name in graph.outputs if name not in picked]
    found = [Boundary(graph.values[name], names[name]) for name in picked if name in names]
    if not found:
        raise MismatchError("no tensor of the model can be compared", where=graph.name)
    return found
