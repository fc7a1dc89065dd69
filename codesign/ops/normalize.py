"""Normalize: the core of a layer normalisation, as the model computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.formats import Format, Real
from codesign.ir import Op, register

if TYPE_CHECKING:
    from codesign.ir import Value


@register("normalize")
@dataclass(frozen=True, eq=False)
class Normalize(Op):
    """``(x - mean) / sqrt(variance + epsilon)`` over the last axis, rounded to float32 once.

    Gain and bias of a LayerNormalization are element-wise steps behind it. The pass
    ``lower_normalize`` makes it a circuit.
    """

    epsilon: float

    @property
    def words(self) -> str:
        return "layer normalisation"

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        return ins[0].shape, Real()

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        x = ins[0].format.decode(arrays[0]).astype(np.float64)
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        return np.asarray(centred / np.sqrt(variance + self.epsilon), dtype=np.float32)
