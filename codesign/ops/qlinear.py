"""onnxruntime's own integer operators on elements: whatever it computes, code by code.

They scale, add or multiply, and round in one kernel, with fused multiply-adds on some machines,
so no chain of float32 steps is known to be them. Their 8-bit operands have few enough codes to
ask onnxruntime for every result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.formats import Format, Real
from codesign.ir import Elementwise, register
from codesign.ops.combine import Combine
from codesign.ops.unary import session_of

if TYPE_CHECKING:
    from codesign.ir import Value

Attributes = tuple[tuple[str, Any], ...]


@register("qlinear_unary")
@dataclass(frozen=True)
class QLinearUnary(Elementwise):
    """``operator`` of com.microsoft on a decoded 8-bit code; the real value of the resulting code.

    ``scales`` and ``zero_points``: of the input, then of the output.
    """

    operator: str
    attributes: Attributes
    scales: tuple[float, float]
    zero_points: tuple[int, int]
    signed: bool

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        results = _results(
            self.operator, self.attributes, self.scales, self.zero_points, self.signed
        )
        return results[_place(x, self.scales[0], self.zero_points[0], self.signed)]

    def direction(self) -> np.ndarray:
        return np.zeros(1, dtype=np.int64)


@register("qlinear_combine")
@dataclass(frozen=True, eq=False)
class QLinearCombine(Combine):
    """``operator`` of com.microsoft on two decoded 8-bit codes; the real value of the resulting
    code. ``function``: what it does, for those who look for an integer form.

    ``scales`` and ``zero_points``: of the inputs, then of the output.
    """

    operator: str = ""
    scales: tuple[float, float, float] = (1.0, 1.0, 1.0)
    zero_points: tuple[int, int, int] = (0, 0, 0)
    signed: bool = False

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        shape, _ = super().infer(*ins)
        return shape, Real()

    def evaluate(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        results = _results(self.operator, (), self.scales, self.zero_points, self.signed)
        left = _place(a, self.scales[0], self.zero_points[0], self.signed)
        return results[left, _place(b, self.scales[1], self.zero_points[1], self.signed)]

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        a, b = (v.format.decode(x) for v, x in zip(ins, arrays, strict=True))
        return self.evaluate(a, b)


def _place(x: np.ndarray, scale: float, zero_point: int, signed: bool) -> np.ndarray:
    """The number, from 0 to 255, of the code that float32 ``x`` was decoded from."""
    code = np.rint(np.asarray(x, dtype=np.float64) / scale) + zero_point
    return np.clip(code + (128 if signed else 0), 0, 255).astype(np.int64)


@lru_cache(maxsize=64)
def _results(
    operator: str,
    attributes: Attributes,
    scales: tuple[float, ...],
    zero_points: tuple[int, ...],
    signed: bool,
) -> np.ndarray:
    """float32 [256] or [256, 256]: the real value of the result for every operand."""
    kind = np.int8 if signed else np.uint8
    codes = np.arange(256) - (128 if signed else 0)
    operands = [codes] if len(scales) == 2 else [np.repeat(codes, 256), np.tile(codes, 256)]
    feed: dict[str, np.ndarray] = {}
    for number, (scale, zero) in enumerate(zip(scales, zero_points, strict=True)):
        if number < len(operands):
            feed[f"x{number}"] = operands[number].astype(kind)
        feed[f"s{number}"], feed[f"z{number}"] = np.float32(scale), kind(zero)  # type: ignore[assignment]
    found = _run(operator, attributes, feed).astype(np.int64).reshape([256] * len(operands))
    return (found - zero_points[-1]).astype(np.float32) * np.float32(scales[-1])


def _run(operator: str, attributes: Attributes, feed: dict[str, np.ndarray]) -> np.ndarray:
    """The operator's result; parameters are constants, as they are in a file."""
    from onnx import ValueInfoProto, helper, numpy_helper

    node = helper.make_node(operator, list(feed), ["y"], domain="com.microsoft", **dict(attributes))
    ports, constants = [], []
    for name, array in feed.items():
        if name.startswith("x"):
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            ports.append(helper.make_tensor_value_info(name, kind, array.shape))
        else:
            constants.append(numpy_helper.from_array(np.asarray(array), name))
    graph = helper.make_graph([node], operator, ports, [ValueInfoProto(name="y")], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return np.asarray(
        session_of(model).run(None, {port.name: feed[port.name] for port in ports})[0]
    )
