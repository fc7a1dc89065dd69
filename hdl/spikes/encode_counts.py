"""Whole numbers as spikes (Int2Spike of SpikingBrain): unary, signed unary, or bit by bit."""

from typing import Literal

import numpy as np
from amaranth.hdl import Array, Module, Mux, Value

from codesign.hdl.memories import Counter
from codesign.hdl.spikes.replay import Replay
from codesign.spikes import encoders

KINDS = {
    "binary": encoders.binary,
    "ternary": encoders.ternary,
    "bitwise": encoders.bitwise,
}


class CountEncoder(Replay):
    """``binary``: n in ``0..hi`` as a spike in each of the first n steps. ``ternary``: n in
    ``lo..hi`` as spikes of its sign in the first |n| steps, codes -1..1. ``bitwise``: the bits
    of n below ``2**steps``, highest first (:mod:`codesign.spikes.encoders`).

    ``ValueError`` where ``steps`` cannot say every number of the range."""

    def __init__(
        self,
        kind: Literal["binary", "ternary", "bitwise"],
        *,
        lo: int,
        hi: int,
        elements: int,
        steps: int,
        lanes: int,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"counts become 'binary', 'ternary' or 'bitwise' spikes, got {kind!r}")
        if lo < 0 and kind != "ternary":
            raise ValueError(f"only ternary spikes say negative numbers, got {lo}..{hi}")
        most = (1 << steps) - 1 if kind == "bitwise" else steps
        if max(-lo, hi) > most:
            raise ValueError(f"{steps} {kind} steps reach {most}, numbers reach {max(-lo, hi)}")
        self._kind = kind
        super().__init__(
            lo=lo,
            hi=hi,
            out_lo=-1 if lo < 0 else 0,
            out_hi=1,
            elements=elements,
            steps=steps,
            lanes=lanes,
        )

    def reference(self, codes: np.ndarray) -> np.ndarray:
        return KINDS[self._kind](codes, self.steps)

    def _make(self, m: Module, codes: list[Value], step: Counter) -> list[Value]:
        if self._kind == "bitwise":
            return [Array([c.shift_right(n)[0] for n in reversed(range(self.steps))])[step.value]
                    for c in codes]  # fmt: skip
        above = [c > step.value for c in codes]
        if not self._shape.signed:
            return list(above)
        return [Mux(a, 1, Mux(-c > step.value, -1, 0)) for a, c in zip(above, codes, strict=True)]
