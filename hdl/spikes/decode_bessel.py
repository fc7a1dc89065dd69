"""Spike trains smoothed by a Bessel low-pass in fixed point."""

import numpy as np
from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from codesign.hdl.memories import Counter
from codesign.hdl.neurons.timing import NeuronTiming
from codesign.hdl.series import Series
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.spikes.bessel import Ranges, Sections, ranges

#: Enabled cycles after which an element's states are written.
LOOP = 3


class Biquad(Component):
    """One section (:mod:`codesign.spikes.bessel`): ``coefficients`` b0, b1, b2, a1, a2 worth
    ``2**-frac``, of codes times ``2**shift``; ``span``: what its signals can hold.

    ``i``, ``o``: frames of ``steps`` vectors of ``beats`` beats of ``lanes`` codes. A beat waits
    until the states it needs are written, three cycles after they were read."""

    latency = 2

    def __init__(
        self,
        coefficients: list[int],
        *,
        frac: int,
        shift: int,
        span: Ranges,
        beats: int,
        steps: int,
        lanes: int,
    ) -> None:
        self._coefficients, self._frac, self._shift = coefficients, frac, shift
        self._beats, self._steps, self._lanes = beats, steps, lanes
        self._x = range_shape(span.x[0] >> shift, span.x[1] >> shift)
        self._y, self._z1, self._z2 = (range_shape(*s) for s in (span.y, span.z1, span.z2))
        super().__init__(
            {
                "i": In(stream_signature(self._x, lanes)),
                "o": Out(stream_signature(self._y, lanes)),
            }
        )

    def timing(self) -> NeuronTiming:
        """The event model of this component."""
        return NeuronTiming(("i",), self._beats, LOOP, self.latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, take = Signal(name="ce"), Signal(name="take")
        valid = [take, Signal(name="valid1"), self.o.valid, Signal(name="valid3")]
        m.d.comb += ce.eq(~self.o.valid | self.o.ready)
        go: Value = ce
        if self._beats < LOOP:
            go = ce & (valid[1] + valid[2] < self._beats)
        m.d.comb += [self.i.ready.eq(go), take.eq(self.i.valid & go)]
        beat = Counter(m, "beat", self._beats, take)
        step = Counter(m, "step", self._steps, take & beat.last)
        place: list[Value] = [beat.value]
        fresh, last = Signal(name="fresh"), Signal(name="last")
        for stage in range(1, LOOP + 1):
            place.append(Signal.like(place[0], name=f"place{stage}"))
            with m.If(ce):
                m.d.sync += [valid[stage].eq(valid[stage - 1]), place[-1].eq(place[-2])]
        with m.If(ce):
            m.d.sync += [
                fresh.eq(step.value == 0),
                last.eq(beat.last & step.last),
                self.o.payload.last.eq(last),
            ]
        word = self._lanes * (self._z1.width + self._z2.width)
        memory = m.submodules.states = Memory(shape=word, depth=max(1, self._beats), init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            read.addr.eq(place[1]),
            write.addr.eq(place[3]),
            write.en.eq(valid[3] & ce),
        ]
        made = [self._lane(m, ce, lane, read.data, fresh) for lane in range(self._lanes)]
        m.d.comb += write.data.eq(Cat(*made))
        return m

    def _lane(self, m: Module, ce: Value, lane: int, states: Value, fresh: Value) -> Value:
        """One element's three stages; yields its new states."""
        b0, b1, b2, a1, a2 = self._coefficients
        w1, w2 = self._z1.width, self._z2.width
        old = states[lane * (w1 + w2) :][: w1 + w2]
        z1, z2 = Signal(self._z1, name=f"z1_{lane}"), Signal(self._z2, name=f"z2_{lane}")
        with m.If(~fresh):
            m.d.comb += [z1.eq(old[:w1]), z2.eq(old[w1:])]
        x = self.i.payload.data[lane] << self._shift
        lead = _register(m, ce, x * b0, f"lead{lane}")
        x1 = _register(m, ce, x, f"x1_{lane}")
        y, z2_2 = self.o.payload.data[lane], _register(m, ce, z2, f"z2_2_{lane}")
        with m.If(ce):
            m.d.sync += y.eq((lead + z1) >> self._frac)
        x2 = _register(m, ce, x1, f"x2_{lane}")
        parts = [_register(m, ce, value, f"part{n}_{lane}")
                 for n, value in enumerate((x2 * b1 + z2_2, y * a1, x2 * b2, y * a2))]  # fmt: skip
        new1, new2 = Signal(self._z1, name=f"new1_{lane}"), Signal(self._z2, name=f"new2_{lane}")
        m.d.comb += [new1.eq(parts[0] - parts[1]), new2.eq(parts[2] - parts[3])]
        return Cat(new1, new2)


def _register(m: Module, ce: Value, value: Value, name: str) -> Signal:
    held = Signal(value.shape(), name=name, reset_less=True)
    with m.If(ce):
        m.d.sync += held.eq(value)
    return held


class BesselDecoder(Series):
    """``i``: frames of ``steps`` vectors of ``elements`` codes in ``lo..hi``, ``lanes`` (a divisor)
    a beat; ``o``: as many codes, each element's train through ``sections``
    (:meth:`codesign.spikes.bessel.Sections.apply`), in the range ``self.lo..self.hi``.

    Words are as wide as what ``steps`` steps can make of them: nothing saturates or wraps."""

    def __init__(
        self, sections: Sections, *, lo: int, hi: int, elements: int, steps: int, lanes: int
    ) -> None:
        if lanes < 1 or elements % lanes:
            raise ValueError(f"{lanes} lanes do not divide a vector of {elements} codes")
        if steps < 1:
            raise ValueError(f"a frame has at least one step, got {steps}")
        spans = ranges(sections, lo, hi, steps)
        self.sections, (self.lo, self.hi) = sections, spans[-1].y
        super().__init__(
            {
                f"section{n}": Biquad(
                    row,
                    frac=sections.frac,
                    shift=0 if n else sections.guard,
                    span=span,
                    beats=elements // lanes,
                    steps=steps,
                    lanes=lanes,
                )
                for n, (row, span) in enumerate(
                    zip(sections.coefficients.tolist(), spans, strict=True)
                )
            }
        )

    def reference(self, codes: np.ndarray) -> np.ndarray:
        """int64 [frames, steps, elements] of codes of the same shape."""
        return self.sections.apply(codes)
