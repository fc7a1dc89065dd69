"""Power: a value to a constant exponent, as onnxruntime computes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from codesign.ir import Elementwise, register
from codesign.ops.unary import BLOCK, session_of

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@register("power")
@dataclass(frozen=True)
class Power(Elementwise):
    """``x ** exponent``, float32. Squares and cubes are products; others differ by an ulp between
    implementations."""

    exponent: float

    @property
    def exact(self) -> bool:
        """Whether every float32 implementation gives the same bits."""
        return self.exponent in (1.0, 2.0)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x, dtype=np.float32)
        padded = np.ones(-(-max(x.size, 1) // BLOCK) * BLOCK, dtype=np.float32)
        padded[: x.size] = x.reshape(-1)
        found = _session().run(None, {"x": padded, "e": np.asarray(self.exponent, np.float32)})[0]
        return np.asarray(found)[: x.size].reshape(x.shape)

    def direction(self) -> np.ndarray:
        return np.zeros(1, dtype=np.int64)


@lru_cache(maxsize=1)
def _session() -> InferenceSession:
    from onnx import TensorProto, helper

    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [None]),
        helper.make_tensor_value_info("e", TensorProto.FLOAT, []),
    ]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])
    graph = helper.make_graph([helper.make_node("Pow", ["x", "e"], ["y"])], "pow", ports, [out])
    opset = helper.make_opsetid("", 15)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return session_of(model)
