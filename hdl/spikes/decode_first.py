"""Which element spikes first."""

import numpy as np
from amaranth.hdl import Const, Mux, Value

from codesign.hdl.memories import Counter
from codesign.hdl.spikes.decode_bits import BitwiseDecoder
from codesign.hdl.spikes.fold import StepFold
from codesign.spikes import decoders


class FirstSpikeDecoder(StepFold):
    """The step of each element's first spike, ``steps`` where there is none
    (:func:`codesign.spikes.decoders.first_spike`)."""

    def __init__(self, *, levels: int, elements: int, steps: int, lanes: int) -> None:
        super().__init__(
            lo=0,
            hi=levels,
            out_lo=0,
            out_hi=steps,
            elements=elements,
            steps=steps,
            lanes=lanes,
        )

    def reference(self, codes: np.ndarray) -> np.ndarray:
        return decoders.first_spike(codes)

    def _fold(self, old: Value, code: Value, first: Value, step: Counter) -> Value:
        still = Mux(first, Const(self.steps, self._out), old)
        return Mux((still == self.steps) & (code != 0), step.value, still)


class EarliestDecoder(BitwiseDecoder):
    """A score that is larger the earlier the spikes, 0..``levels``: one of step t weighs
    ``2**(steps - 1 - t)``, as much as all later ones of one level together and one more
    (:func:`codesign.spikes.decoders.bitwise`)."""

    def __init__(self, *, levels: int, elements: int, steps: int, lanes: int) -> None:
        super().__init__(lo=0, hi=levels, elements=elements, steps=steps, lanes=lanes)
