"""OnGrid: float32 values that are whole numbers of a power of two, as codes; nothing is rounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import register
from codesign.ops.quantizer import Quantizer

if TYPE_CHECKING:
    from codesign.ir import Value

#: float32 holds every integer below this.
REACH = 1 << 24


@register("on_grid")
@dataclass(frozen=True, eq=False)
class OnGrid(Quantizer):
    """Codes in steps of ``2**-frac``, for what needs integers where the model has none named: the
    input of a neuron behind a bias. A value between two codes is refused when it is met."""

    frac: int

    @property
    def out_format(self) -> Format:
        return ScaledInt(1 - REACH, REACH - 1, (2.0**-self.frac,))

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        return ins[0].shape, self.out_format

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        codes = np.ldexp(x.astype(np.float64), self.frac)
        if not (np.abs(codes) < REACH).all() or (codes != np.rint(codes)).any():
            raise UnsupportedModel(
                f"a neuron's input is no whole number of steps of 2^{-self.frac}",
                hint="give biases and scales in such steps, or quantize what the neuron receives",
            )
        return codes.astype(np.int64)
