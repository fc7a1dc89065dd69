"""All steps of a frame folded into one vector: the shape of most decoders."""

import numpy as np
from amaranth.hdl import Module, Shape, Signal, Value
from amaranth.lib.wiring import In, Out

from codesign.hdl.memories import Counter
from codesign.hdl.pool import PoolTiming
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.windows.delay import tapped_delay


class StepFold(Component):
    """``i``: frames of ``steps`` vectors of ``elements`` codes in ``lo..hi``, ``lanes`` (a divisor)
    a beat. ``o``: one vector a frame, codes in ``out_lo..out_hi``, with the last step.

    A beat a cycle, latency 1. Subclasses give ``_fold``; its range holds every step's result."""

    latency = 1

    def __init__(
        self,
        *,
        lo: int,
        hi: int,
        out_lo: int,
        out_hi: int,
        elements: int,
        steps: int,
        lanes: int,
    ) -> None:
        if lanes < 1 or elements % lanes:
            raise ValueError(f"{lanes} lanes do not divide a vector of {elements} codes")
        if steps < 1:
            raise ValueError(f"a frame has at least one step, got {steps}")
        self.steps, self.lanes, self._beats = steps, lanes, elements // lanes
        self._out: Shape = range_shape(out_lo, out_hi)
        super().__init__(
            {
                "i": In(stream_signature(range_shape(lo, hi), lanes)),
                "o": Out(stream_signature(self._out, lanes)),
            }
        )

    def timing(self) -> PoolTiming:
        """The event model of this component."""
        return PoolTiming(1, self.steps, self._beats)

    def reference(self, codes: np.ndarray) -> np.ndarray:
        """int64 [frames, elements] of codes int [frames, steps, elements]."""
        raise NotImplementedError

    def _fold(self, old: Value, code: Value, first: Value, step: Counter) -> Value:
        """What a step makes of ``old``, which means nothing in the ``first`` step."""
        raise NotImplementedError

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, take, first = Signal(name="ce"), Signal(name="take"), Signal(name="first")
        m.d.comb += [
            ce.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(ce),
            take.eq(self.i.valid & ce),
        ]
        beat = Counter(m, "beat", self._beats, take)
        step = Counter(m, "step", self.steps, take & beat.last)
        m.d.comb += first.eq(step.value == 0)
        width = self._out.width
        word = Signal(width * self.lanes, name="folded")
        before = tapped_delay(m, word, [self._beats - 1], take)[self._beats - 1]
        for n in range(self.lanes):
            old = before[n * width :][:width]
            old = old.as_signed() if self._out.signed else old
            made = self._fold(old, self.i.payload.data[n], first, step)
            m.d.comb += word[n * width :][:width].eq(made)
        with m.If(ce):
            m.d.sync += [
                self.o.valid.eq(take & step.last),
                self.o.payload.last.eq(beat.last),
                self.o.payload.data.as_value().eq(word),
            ]
        return m
