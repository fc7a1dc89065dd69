"""Softmax at the end of a network: float32 on the host, as onnxruntime computes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, Real
from codesign.ir import Op, register

if TYPE_CHECKING:
    from codesign.ir import Value


@register("softmax")
@dataclass(frozen=True, eq=False)
class Softmax(Op):
    """``exp(x) / sum(exp(x))`` along ``axis`` (of the value, the batch not counted), or its
    logarithm when ``log``. Takes codes or float32, yields float32."""

    axis: int
    log: bool = False

    @property
    def words(self) -> str:
        return "log softmax" if self.log else "softmax"

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if not 0 <= self.axis < len(x.shape):
            raise UnsupportedModel(f"Softmax along axis {self.axis} of a value of shape {x.shape}")
        return x.shape, Real()

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(ins[0].format.decode(arrays[0]), dtype=np.float32)
        session = _session("LogSoftmax" if self.log else "Softmax", self.axis + 1, x.ndim)
        return np.asarray(session.run(None, {"x": x})[0])


@lru_cache(maxsize=16)
def _session(operator: str, axis: int, rank: int) -> Any:
    """onnxruntime with this one node: its exponentials are what qonnx computes with."""
    import onnxruntime
    from onnx import TensorProto, helper

    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * rank) for n in "xy"]
    node = helper.make_node(operator, ["x"], ["y"], axis=axis)
    graph = helper.make_graph([node], operator, ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
