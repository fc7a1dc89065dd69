"""Direct coding: the code itself at every step, a constant current."""

import numpy as np
from amaranth.hdl import Module, Value

from codesign.hdl.memories import Counter
from codesign.hdl.spikes.replay import Replay
from codesign.spikes import encoders


class DirectEncoder(Replay):
    """Codes in ``lo..hi`` repeated ``steps`` times (:func:`codesign.spikes.encoders.direct`)."""

    def __init__(self, *, lo: int, hi: int, elements: int, steps: int, lanes: int) -> None:
        super().__init__(
            lo=lo, hi=hi, out_lo=lo, out_hi=hi, elements=elements, steps=steps, lanes=lanes
        )

    def reference(self, codes: np.ndarray) -> np.ndarray:
        return encoders.direct(codes, self.steps)

    def _make(self, m: Module, codes: list[Value], step: Counter) -> list[Value]:
        return codes
