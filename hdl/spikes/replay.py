"""A frame of codes taken once and turned into spikes at every time step."""

import numpy as np
from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Process, Times
from codesign.hdl.frame_buffer import FrameBuffer
from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.timing import Clock, MatVecTiming, Pipe


class Replay(Component):
    """``i``: frames of ``elements`` codes in ``lo..hi``, ``lanes`` (a divisor) a beat. ``o``: what
    each of ``steps`` steps makes of them, codes in ``out_lo..out_hi``, step after step.

    A beat a cycle; the next frame is taken meanwhile. Subclasses give ``_make``.
    """

    #: Registers between a beat of the replay and what is made of it, beside the output's.
    extra = 0

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
        self.elements, self.steps, self.lanes = elements, steps, lanes
        self._beats, self._shape = elements // lanes, range_shape(lo, hi)
        super().__init__(
            {
                "i": In(stream_signature(self._shape, lanes)),
                "o": Out(stream_signature(range_shape(out_lo, out_hi), lanes)),
            }
        )

    @property
    def latency(self) -> int:
        """Registers from a beat's transfer to what its first step makes of it."""
        return 2 + self.extra

    def timing(self) -> "ReplayTiming":
        """The event model of this component."""
        return ReplayTiming(self.steps, self._beats, self.latency)

    def reference(self, codes: np.ndarray) -> np.ndarray:
        """int64 [frames, steps, elements] of codes int [frames, elements]."""
        raise NotImplementedError

    def _make(self, m: Module, codes: list[Value], step: Counter) -> list[Value]:
        """What leaves of ``codes`` in ``step``."""
        raise NotImplementedError

    def _begin(self, m: Module, ce: Value, issue: Value) -> None:
        """For what begins with the replay of a beat, ``1 + extra`` registers before ``_make``."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce = Signal(name="ce")
        m.d.comb += ce.eq(~self.o.valid | self.o.ready)
        buffer = m.submodules.buffer = FrameBuffer(self._shape, self.lanes, self.steps, self._beats)
        wiring.connect(m, wiring.flipped(self.i), buffer.i)
        m.d.comb += buffer.ce.eq(ce)
        self._begin(m, ce, buffer.issue)
        valid: Value = buffer.o_valid
        codes: list[Value] = [buffer.o_data[n] for n in range(self.lanes)]
        for stage in range(self.extra):
            flag = Signal(name=f"valid{stage}")
            held = [Signal(self._shape, name=f"code{stage}_{n}", reset_less=True)
                    for n in range(self.lanes)]  # fmt: skip
            with m.If(ce):
                m.d.sync += [flag.eq(valid), *(h.eq(c) for h, c in zip(held, codes, strict=True))]
            valid, codes = flag, list(held)
        passes = Signal(name="passes")
        m.d.comb += passes.eq(valid & ce)
        beat = Counter(m, "beat", self._beats, passes)
        step = Counter(m, "step", self.steps, passes & beat.last)
        made = self._make(m, codes, step)
        with m.If(ce):
            m.d.sync += [
                self.o.valid.eq(valid),
                self.o.payload.last.eq(beat.last & step.last),
                *(self.o.payload.data[n].eq(v) for n, v in enumerate(made)),
            ]
        return m


class ReplayTiming(MatVecTiming):
    """Event model of :class:`Replay`: every beat of every pass leaves."""

    def __init__(self, steps: int, beats: int, latency: int) -> None:
        super().__init__(steps, beats, latency)

    def _straight(self) -> Pipe:
        return Pipe(self._latency)

    def _replay(self, clock: Clock, freed: Times) -> Process:
        n = 0
        while True:
            for _ in range(self.sf):
                if len(self.i.taken.at) <= n:
                    yield self.i.taken, n
                yield from clock.issue(self.i.taken.at[n])
                clock.emit()
                n += 1
            yield from clock.run((self.nf - 2) * self.sf, 1)
            yield from clock.run(self.sf, 1, freed)
