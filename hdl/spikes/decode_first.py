"""Which element spikes first."""

import numpy as np
from amaranth.hdl import Const, Mux, Value

from codesign.hdl.memories import Counter
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


class EarliestDecoder(StepFold):
    """A score that is larger the earlier the spikes: one of step t weighs ``2**(steps - 1 - t)``
    (:func:`codesign.spikes.decoders.earliest`)."""

    def __init__(self, *, levels: int, elements: int, steps: int, lanes: int) -> None:
        super().__init__(
            lo=0,
            hi=levels,
            out_lo=0,
            out_hi=levels * ((1 << steps) - 1),
            elements=elements,
            steps=steps,
            lanes=lanes,
        )

    def reference(self, codes: np.ndarray) -> np.ndarray:
        return decoders.earliest(codes)

    def _fold(self, old: Value, code: Value, first: Value, step: Counter) -> Value:
        return Mux(first, code, (old << 1) + code)
