"""The last step's codes, such as the membranes of leaky integrators."""

from collections.abc import Iterable

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Process, Stage
from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.spikes import decoders


class MembraneDecoder(Component):
    """``i``: frames of ``steps`` vectors of ``elements`` codes in ``lo..hi``, ``lanes`` (a divisor)
    a beat. ``o``: the last vector of each (:func:`codesign.spikes.decoders.membrane`); no register,
    the others are taken and dropped."""

    latency = 0

    def __init__(self, *, lo: int, hi: int, elements: int, steps: int, lanes: int) -> None:
        if lanes < 1 or elements % lanes:
            raise ValueError(f"{lanes} lanes do not divide a vector of {elements} codes")
        if steps < 1:
            raise ValueError(f"a frame has at least one step, got {steps}")
        self._steps, self._beats = steps, elements // lanes
        signature = stream_signature(range_shape(lo, hi), lanes)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def timing(self) -> "LastStepTiming":
        """The event model of this component."""
        return LastStepTiming(self._steps, self._beats)

    def reference(self, codes: np.ndarray) -> np.ndarray:
        """int64 [frames, elements] of codes int [frames, steps, elements]."""
        return decoders.membrane(codes)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        take = Signal(name="take")
        m.d.comb += take.eq(self.i.valid & self.i.ready)
        beat = Counter(m, "beat", self._beats, take)
        step = Counter(m, "step", self._steps, take & beat.last)
        m.d.comb += [
            self.o.valid.eq(self.i.valid & step.last),
            self.i.ready.eq(self.o.ready | ~step.last),
            self.o.payload.data.eq(self.i.payload.data),
            self.o.payload.last.eq(beat.last),
        ]
        return m


class LastStepTiming(Stage):
    """Event model of :class:`MembraneDecoder`."""

    def __init__(self, steps: int, beats: int) -> None:
        self._steps, self._beats = steps, beats

    def processes(self) -> Iterable[Process]:
        yield self._run()

    def _run(self) -> Process:
        n, given, t = 0, 0, -1
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            t = max(self.i.valid.at[n], t + 1)
            if n // self._beats % self._steps == self._steps - 1:
                self.o.valid.put(t)
                if len(self.o.taken.at) <= given:
                    yield self.o.taken, given
                t = self.o.taken.at[given]
                given += 1
            self.i.taken.put(t)
            n += 1
