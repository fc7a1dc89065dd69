"""Unary: element-wise float32 functions, evaluated by onnxruntime as qonnx executes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.ir import Elementwise, register

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

#: How far another implementation (PyTorch) may lie, in units in the last place.
ULPS = 2
#: Elements are evaluated in multiples of this many.
BLOCK = 64


@dataclass(frozen=True)
class Function:
    """What is known of an operator: ``exact`` where every implementation agrees bit for bit, and
    ``way``, the direction for given attributes (+1, -1, 0: neither or unknown).

    A transcendental function is not taken to be monotone: its float32 approximation may waver
    by an ulp, so its chains are enumerated.
    """

    exact: bool = False
    way: Callable[[Mapping[str, Any]], int] = field(default=lambda attrs: 0)
    opset: int = 13


def _positive(name: str, default: float) -> Callable[[Mapping[str, Any]], int]:
    return lambda attrs: int(attrs.get(name, default) >= 0)


_UP = Function(exact=True, way=lambda attrs: 1)
#: ONNX operators of one input. LeakyRelu and the like are exact: one product, one rounding.
FUNCTIONS: dict[str, Function] = {
    "Abs": Function(exact=True),
    "Ceil": _UP,
    "Celu": Function(),
    "Elu": Function(),
    "Erf": Function(),
    "Exp": Function(),
    "Floor": _UP,
    "Gelu": Function(opset=20),
    "HardSigmoid": Function(),
    "HardSwish": Function(opset=14),
    "LeakyRelu": Function(exact=True, way=_positive("alpha", 0.01)),
    "Log": Function(),
    "Mish": Function(opset=18),
    "Neg": Function(exact=True, way=lambda attrs: -1),
    "Reciprocal": Function(exact=True),
    "Round": _UP,
    "Selu": Function(),
    "Sigmoid": Function(),
    "Sign": _UP,
    "Softplus": Function(),
    "Softsign": Function(),
    "Sqrt": Function(exact=True, way=lambda attrs: 1),
    "Tanh": Function(),
    "ThresholdedRelu": Function(exact=True),
    "Cos": Function(),
    "Sin": Function(),
}


@register("unary")
@dataclass(frozen=True)
class Unary(Elementwise):
    """``operator(x)`` of ONNX with ``attributes``, float32.

    Evaluated by onnxruntime on a one-node model: the golden semantics of the transcendental
    functions are those of qonnx's execution (contract 4).
    """

    operator: str
    attributes: tuple[tuple[str, Any], ...] = ()

    @property
    def words(self) -> str:
        return self.operator.lower()

    def __post_init__(self) -> None:
        if self.operator not in FUNCTIONS:
            raise ValueError(f"unknown operator {self.operator!r}; known: {sorted(FUNCTIONS)}")

    @property
    def exact(self) -> bool:
        """Whether every float32 implementation gives the same bits."""
        return FUNCTIONS[self.operator].exact

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x, dtype=np.float32)
        if not x.size:
            return x
        # A kernel may round the rest of a vector otherwise than what fills its registers, so
        # that onnxruntime's result depends on the place: nothing is left over here.
        padded = np.ones(-(-x.size // BLOCK) * BLOCK, dtype=np.float32)
        padded[: x.size] = x.reshape(-1)
        run = session(self.operator, self.attributes)
        return np.asarray(run.run(None, {"x": padded})[0])[: x.size].reshape(x.shape)

    def direction(self) -> np.ndarray:
        function = FUNCTIONS[self.operator]
        return np.full(1, function.way(dict(self.attributes)), dtype=np.int64)


@lru_cache(maxsize=256)
def session(operator: str, attributes: tuple[tuple[str, Any], ...]) -> InferenceSession:
    """An onnxruntime session of the one-node model."""
    from onnx import TensorProto, helper

    node = helper.make_node(operator, ["x"], ["y"], **dict(attributes))
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None]) for n in ("x", "y")]
    graph = helper.make_graph([node], operator, ports[:1], ports[1:])
    opset = helper.make_opsetid("", FUNCTIONS[operator].opset)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return session_of(model)


def session_of(model: ModelProto) -> InferenceSession:
    """A quiet session of ``model`` on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
