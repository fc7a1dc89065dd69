"""Latency coding: one spike, the earlier the larger the code."""

import numpy as np
from amaranth.hdl import Module, Value

from codesign.hdl.memories import Counter, Table, pack
from codesign.hdl.spikes.replay import Replay
from codesign.spikes import encoders


class LatencyEncoder(Replay):
    """Codes of ``bits`` bits to a spike at step ``((2**bits - 1 - q) * steps) >> bits``, none
    below ``low`` (:func:`codesign.spikes.encoders.latency`).

    The codes that spike in a step are an interval, kept for each step: two comparisons a lane."""

    def __init__(self, *, bits: int, low: int, elements: int, steps: int, lanes: int) -> None:
        if not 1 <= bits <= 16 or not 0 <= low < 1 << bits:
            raise ValueError(f"codes of 1 to 16 bits and a low among them, got {bits} and {low}")
        self._bits, self._low = bits, low
        super().__init__(
            lo=0,
            hi=(1 << bits) - 1,
            out_lo=0,
            out_hi=1,
            elements=elements,
            steps=steps,
            lanes=lanes,
        )

    def _intervals(self) -> list[tuple[int, int]]:
        """For each step the least code that spikes and how many more do, as (least, greatest);
        greatest below least where none does."""
        q = np.arange(self._low, 1 << self._bits)
        when = (((1 << self._bits) - 1 - q) * self.steps) >> self._bits
        found = []
        for step in range(self.steps):
            own = q[when == step]
            found.append((int(own[0]), int(own[-1])) if own.size else (1, 0))
        return found

    def reference(self, codes: np.ndarray) -> np.ndarray:
        return encoders.latency(codes, self.steps, self._bits, self._low)

    def _make(self, m: Module, codes: list[Value], step: Counter) -> list[Value]:
        bits = self._bits
        words = [pack([(least, bits), (most, bits)]) for least, most in self._intervals()]
        table = Table(m, "interval", words, 2 * bits, step).data
        return [(c >= table[:bits]) & (c <= table[bits:]) for c in codes]
