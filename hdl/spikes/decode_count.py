"""Spikes counted, or membranes added, over the steps of a frame."""

import numpy as np
from amaranth.hdl import Mux, Value

from codesign.hdl.memories import Counter
from codesign.hdl.spikes.fold import StepFold
from codesign.spikes import decoders


class CountDecoder(StepFold):
    """The sum of each element's codes (:func:`codesign.spikes.decoders.count`)."""

    def __init__(self, *, lo: int, hi: int, elements: int, steps: int, lanes: int) -> None:
        super().__init__(
            lo=lo,
            hi=hi,
            out_lo=min(lo, lo * steps),
            out_hi=max(hi, hi * steps),
            elements=elements,
            steps=steps,
            lanes=lanes,
        )

    def reference(self, codes: np.ndarray) -> np.ndarray:
        return decoders.count(codes)

    def _fold(self, old: Value, code: Value, first: Value, step: Counter) -> Value:
        return Mux(first, code, old + code)
