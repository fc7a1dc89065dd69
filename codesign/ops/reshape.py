"""Reshape: another view of the same elements in the same order; costs nothing in hardware."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import Op, register

if TYPE_CHECKING:
    from codesign.ir import Graph, Value


@register("reshape")
@dataclass(frozen=True, eq=False)
class Reshape(Op):
    """The frame's elements, row-major order kept, in ``shape`` (without the batch axis)."""

    shape: tuple[int, ...]

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if math.prod(self.shape) != x.elements:
            raise UnsupportedModel(f"cannot reshape {x.shape} to {self.shape}")
        format = x.format
        per_channel = isinstance(format, ScaledInt) and len(format.scale) > 1
        if per_channel and self.shape[-1:] != x.shape[-1:]:
            channels, wider = x.shape[-1], self.shape[-1] if self.shape else 1
            if wider % channels == 0:  # whole vectors side by side: the scales repeat
                assert isinstance(format, ScaledInt)
                return self.shape, replace(format, scale=format.scale * (wider // channels))
            raise UnsupportedModel(
                f"reshaping {x.shape} to {self.shape} mixes channels of different scale",
                hint="quantize per tensor before the reshape",
            )
        return self.shape, format

    def one_step(self, steps: int) -> Reshape:
        """The view of a single step; ``UnsupportedModel`` where steps are no axis of their own."""
        if self.shape[:1] != (steps,):
            raise UnsupportedModel(
                f"a view of shape {self.shape} inside a recurrent loop mixes its {steps} steps",
                hint="reshape outside of the Scan",
            )
        return replace(self, shape=(1, *self.shape[1:]))

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        (x,) = arrays
        return x.reshape(len(x), *self.shape)


def origin(graph: Graph, name: str) -> str:
    """``name`` seen through reshapes."""
    node = graph.producer(name)
    while node is not None and isinstance(node.op, Reshape):
        name = node.inputs[0]
        node = graph.producer(name)
    return name
