"""How early each element spikes."""

import numpy as np
from amaranth.hdl import Const, Mux, Value

from codesign.hdl.memories import Counter
from codesign.hdl.spikes.decode_first import FirstSpikeDecoder
from codesign.hdl.windows.delay import memories
from codesign.spikes import decoders


class StepsLeftDecoder(FirstSpikeDecoder):
    """The steps from each element's first spike to the end, its own counted: ``steps`` for a spike
    in the first, 0 where there is none (:func:`codesign.spikes.decoders.steps_left`)."""

    def reference(self, codes: np.ndarray) -> np.ndarray:
        return decoders.steps_left(codes)

    def memories(self) -> list[tuple[int, int]]:
        """(words, bits) of the memory for the elements of a step."""
        return memories([self._beats - 1], self.lanes * self._out.width)

    def _fold(self, old: Value, code: Value, first: Value, step: Counter) -> Value:
        still = Mux(first, Const(0, self._out), old)
        left = (Const(self.steps, self._out) - step.value)[: self._out.width]
        return Mux((still == 0) & (code != 0), left, still)
