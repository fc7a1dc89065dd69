"""Steps as the bits of a number, the first step the highest."""

import numpy as np
from amaranth.hdl import Mux, Value

from codesign.hdl.memories import Counter
from codesign.hdl.spikes.fold import StepFold
from codesign.spikes import decoders


class BitwiseDecoder(StepFold):
    """The sum of each element's codes, one of step t times ``2**(steps - 1 - t)``
    (:func:`codesign.spikes.decoders.bitwise`).

    Behind a layer of synapses it makes bitwise spikes a bit-serial multiplication: the result is
    ``numbers @ weights``, exactly."""

    def __init__(self, *, lo: int, hi: int, elements: int, steps: int, lanes: int) -> None:
        most = (1 << steps) - 1
        super().__init__(
            lo=lo,
            hi=hi,
            out_lo=min(lo, lo * most),
            out_hi=max(hi, hi * most),
            elements=elements,
            steps=steps,
            lanes=lanes,
        )

    def reference(self, codes: np.ndarray) -> np.ndarray:
        return decoders.bitwise(codes)

    def _fold(self, old: Value, code: Value, first: Value, step: Counter) -> Value:
        return Mux(first, code, (old << 1) + code)
