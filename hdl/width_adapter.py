"""Between components whose beats have different lanes: padding goes, codes stay in order."""

from math import gcd

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, beats_for, range_shape, stream_signature
from codesign.hdl.timing import Composite, DownsizerTiming, Pipe, Stage, width_adapter_timing


class Upsizer(Component):
    """``to_lanes / from_lanes`` beats become one. Latency 1; takes a beat each cycle.

    Codes in ``lo..hi``, ``elements`` per frame. ``i.ready`` is ``~o.valid | o.ready``.
    """

    latency = 1

    def __init__(self, lo: int, hi: int, elements: int, from_lanes: int, to_lanes: int) -> None:
        _check(elements, from_lanes, to_lanes)
        if to_lanes % from_lanes:
            raise ValueError(f"{from_lanes} lanes do not divide {to_lanes}")
        self._from, self._ratio = from_lanes, to_lanes // from_lanes
        self._beats = beats_for(elements, from_lanes)
        shape = range_shape(lo, hi)
        super().__init__(
            {
                "i": In(stream_signature(shape, from_lanes)),
                "o": Out(stream_signature(shape, to_lanes)),
            }
        )

    def timing(self) -> Pipe:
        """The event model of this component."""
        return Pipe(1, self._ratio, self._beats)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        take, ends = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            take.eq(self.i.valid & self.i.ready),
        ]
        frame = Counter(m, "beat", self._beats, take)
        slot = _wrapping(m, "slot", self._ratio, take, frame.last)
        m.d.comb += ends.eq(frame.last | (slot == self._ratio - 1))
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(take & ends), self.o.payload.last.eq(frame.last)]
        for part in range(self._ratio):
            with m.If(take & (slot == part)):
                for lane in range(self._from):
                    target = self.o.payload.data[part * self._from + lane]
                    m.d.sync += target.eq(self.i.payload.data[lane])
        return m


class Downsizer(Component):
    """One beat becomes ``from_lanes / to_lanes``. Latency 1; takes the next with its last chunk.

    Codes in ``lo..hi``, ``elements`` per frame; chunks that are all padding are not sent.
    """

    latency = 1

    def __init__(self, lo: int, hi: int, elements: int, from_lanes: int, to_lanes: int) -> None:
        _check(elements, from_lanes, to_lanes)
        if from_lanes % to_lanes:
            raise ValueError(f"{to_lanes} lanes do not divide {from_lanes}")
        self._to, self._ratio = to_lanes, from_lanes // to_lanes
        self._chunks = beats_for(elements, to_lanes)
        shape = range_shape(lo, hi)
        super().__init__(
            {
                "i": In(stream_signature(shape, from_lanes)),
                "o": Out(stream_signature(shape, to_lanes)),
            }
        )

    def timing(self) -> DownsizerTiming:
        """The event model of this component."""
        return DownsizerTiming(self._ratio, self._chunks)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        give, ends, take = Signal(), Signal(), Signal()
        m.d.comb += give.eq(self.o.valid & self.o.ready)
        frame = Counter(m, "chunk", self._chunks, give)
        slot = _wrapping(m, "slot", self._ratio, give, frame.last)
        m.d.comb += [
            ends.eq(frame.last | (slot == self._ratio - 1)),
            self.i.ready.eq(~self.o.valid | (self.o.ready & ends)),
            take.eq(self.i.valid & self.i.ready),
            self.o.payload.last.eq(frame.last),
        ]
        data = self.i.payload.data.as_value()
        held = Signal(len(data), reset_less=True)
        step = len(data) // self._ratio
        m.d.comb += self.o.payload.data.as_value().eq(held[:step])
        with m.If(take):
            m.d.sync += [held.eq(data), self.o.valid.eq(1)]
        with m.Elif(give):
            m.d.sync += held.eq(Cat(held[step:], held[-step:]))
            with m.If(ends):
                m.d.sync += self.o.valid.eq(0)
        return m


class _Both(Component):
    """A Downsizer to the common divisor, then an Upsizer."""

    latency = 2

    def __init__(self, lo: int, hi: int, elements: int, from_lanes: int, to_lanes: int) -> None:
        common = gcd(from_lanes, to_lanes)
        self._down = Downsizer(lo, hi, elements, from_lanes, common)
        self._up = Upsizer(lo, hi, elements, common, to_lanes)
        super().__init__(
            {"i": self._down.signature.members["i"], "o": self._up.signature.members["o"]}
        )

    def timing(self) -> Composite:
        """The event model of this component."""
        return Composite([self._down.timing(), self._up.timing()])

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.down, m.submodules.up = self._down, self._up
        wiring.connect(m, wiring.flipped(self.i), self._down.i)
        wiring.connect(m, self._down.o, self._up.i)
        wiring.connect(m, self._up.o, wiring.flipped(self.o))
        return m


def width_adapter(
    lo: int, hi: int, elements: int, from_lanes: int, to_lanes: int
) -> wiring.Component:
    """The component that turns beats of ``from_lanes`` codes into beats of ``to_lanes``.

    Its event models are :func:`adapter_timing` for the same sizes.
    """
    if from_lanes == to_lanes:
        raise ValueError(f"{from_lanes} lanes on both sides need no adapter")
    if to_lanes % from_lanes == 0:
        return Upsizer(lo, hi, elements, from_lanes, to_lanes)
    if from_lanes % to_lanes == 0:
        return Downsizer(lo, hi, elements, from_lanes, to_lanes)
    return _Both(lo, hi, elements, from_lanes, to_lanes)


def adapter_timing(elements: int, from_lanes: int, to_lanes: int) -> list[Stage]:
    """Event models of :func:`width_adapter`, in order; none when the lanes are equal."""
    return width_adapter_timing(elements, from_lanes, to_lanes)


def _wrapping(m: Module, name: str, limit: int, step: Signal, restart: Signal) -> Signal:
    """Counts 0..``limit``-1 on ``step``, from 0 again after the frame's last."""
    slot = Signal(range(max(limit, 2)), name=name)
    with m.If(step):
        with m.If(restart | (slot == limit - 1)):
            m.d.sync += slot.eq(0)
        with m.Else():
            m.d.sync += slot.eq(slot + 1)
    return slot


def _check(elements: int, from_lanes: int, to_lanes: int) -> None:
    if min(elements, from_lanes, to_lanes) < 1:
        raise ValueError(
            f"elements and lanes start at 1, got {elements} elements, {from_lanes} to {to_lanes}"
        )
