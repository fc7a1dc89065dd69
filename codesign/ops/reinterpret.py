"""Reinterpret: the same integer codes, read with another scale and zero point."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import register
from codesign.ops.reshape import Reshape

if TYPE_CHECKING:
    from codesign.ir import Value


@register("reinterpret")
@dataclass(frozen=True, eq=False)
class Reinterpret(Reshape):
    """Codes as they are, their values ``scale * (code - zero_point)``: what ONNX's integer
    tensors do when two operators give them different parameters. A wire in hardware, like the
    :class:`Reshape` it is."""

    scale: tuple[float, ...] = field(default=(1.0,))
    zero_point: int = 0

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if not isinstance(x.format, ScaledInt):
            raise UnsupportedModel("an integer operator reads float values", hint="quantize first")
        if len(self.scale) not in (1, x.shape[-1]):
            raise UnsupportedModel(f"{len(self.scale)} scales for a value of {x.shape}")
        return x.shape, ScaledInt(x.format.low, x.format.high, self.scale, self.zero_point)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        return arrays[0]
