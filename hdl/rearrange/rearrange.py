"""Any index map of a frame, as a streaming component; the cheapest of three is chosen.

The map is static, so it is analysed when the component is built: what keeps the stream as it is
becomes a wire, an ordered choice of beats a filter without memory, and everything else a cyclic
memory with the fewest places that lose no cycle (:mod:`.rearrange_buffer`).
"""

from collections.abc import Iterable

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Process, Stage
from codesign.hdl.rearrange.beats import BeatMap, beat_map
from codesign.hdl.rearrange.buffer import ReorderBuffer
from codesign.hdl.rearrange.lanes import Lanes
from codesign.hdl.rearrange.schedule import schedule
from codesign.hdl.rearrange.sequencer import Sequencer
from codesign.hdl.stream import Component, beats_for, range_shape, stream_signature
from codesign.hdl.timing import Clock, Composite
from codesign.hdl.width_adapter import adapter_timing, width_adapter


class Rearrange(Component):
    """``out[p] = frame[index[p]]``, or ``fill`` where ``index[p]`` is -1.

    ``index``: int64 [outputs], flat element numbers of a frame of ``elements`` codes in
    ``in_lo..in_hi``. ``i`` and ``o``: beats of ``lanes`` codes. Where the map moves whole beats,
    one beat a cycle passes and frames follow each other every max(beats in, beats out) cycles;
    otherwise the largest ``group`` of elements that stays together passes each cycle, and
    adapters narrow and widen the beats around it. ``kind``: ``wire``, ``filter`` or ``buffer``.
    """

    def __init__(
        self,
        index: np.ndarray,
        *,
        in_lo: int,
        in_hi: int,
        out_lo: int,
        out_hi: int,
        elements: int,
        lanes: int,
        fill: int = 0,
    ) -> None:
        index = np.asarray(index, dtype=np.int64).reshape(-1)
        if index.size == 0 or index.min() < -1 or index.max() >= elements:
            raise ValueError(f"index holds -1..{elements - 1}, at least one of them")
        in_range, out_range = (in_lo, in_hi), (out_lo, out_hi)
        self.group = group_of(index, elements, lanes)
        self.outputs, self._elements, self._lanes = len(index), elements, lanes
        moves = beat_map(index, elements, self.group)
        assert moves is not None
        source, beats = moves.source, beats_for(elements, self.group)
        lanes_of = Lanes(moves.patterns, in_range, out_range, fill)
        if np.array_equal(source, np.arange(beats)) and len(moves.patterns) == 1:
            self.kind, core = "wire", Wire(lanes_of)
        elif source[0] >= 0 and (np.diff(source) > 0).all():
            self.kind, core = "filter", Filter(moves, beats, lanes_of)
        else:
            self.kind = "buffer"
            core = ReorderBuffer(schedule(source, beats), lanes_of, moves.choice)
        self.core = core
        self._parts: dict[str, wiring.Component] = {"core": core}
        if self.group != lanes:
            self._parts = {
                "narrow": width_adapter(in_lo, in_hi, elements, lanes, self.group),
                "core": core,
                "widen": width_adapter(out_lo, out_hi, self.outputs, self.group, lanes),
            }
        super().__init__(
            {
                "i": In(stream_signature(range_shape(in_lo, in_hi), lanes)),
                "o": Out(stream_signature(range_shape(out_lo, out_hi), lanes)),
            }
        )

    def timing(self) -> Stage:
        """The event model of this component."""
        core: Stage = self.core.timing()
        if self.group == self._lanes:
            return core
        before = adapter_timing(self._elements, self._lanes, self.group)
        after = adapter_timing(self.outputs, self.group, self._lanes)
        return Composite([*before, core, *after])

    @property
    def luts(self) -> int:
        """LUT4s (rough), adapters included."""
        return int(self.core.luts) + (0 if self.group == self._lanes else self._adapter_bits)

    @property
    def ffs(self) -> int:
        """Flip-flops (rough), adapters included."""
        return int(self.core.ffs) + (0 if self.group == self._lanes else 2 * self._adapter_bits)

    @property
    def brams(self) -> int:
        """Block RAMs."""
        return int(self.core.brams)

    @property
    def _adapter_bits(self) -> int:
        return self._lanes * self.i.payload.shape()["data"].shape.elem_shape.width + 8

    def elaborate(self, platform: object) -> Module:
        m = Module()
        given = Signal(name="o_transfer")
        last = list(self._parts.values())[-1]
        m.d.comb += [
            given.eq(self.o.valid & self.o.ready),
            self.o.payload.eq(last.o.payload),
        ]
        source = wiring.flipped(self.i)
        for name, component in self._parts.items():
            m.submodules[name] = component
            wiring.connect(m, source, component.i)
            source = component.o
        m.d.comb += [self.o.valid.eq(last.o.valid), last.o.ready.eq(self.o.ready)]
        return m


def group_of(index: np.ndarray, elements: int, lanes: int) -> int:
    """The largest divisor of ``lanes`` such that each output beat of so many elements shows one
    input beat, its lanes wired in few ways.

    The last beat of a frame may be short on either side: what stands there means nothing.
    """
    index = np.asarray(index, dtype=np.int64).reshape(-1)
    for group in (g for g in range(lanes, 0, -1) if lanes % g == 0):
        if beat_map(index, elements, group) is not None:
            return group
    raise AssertionError("groups of one always move")


class Wire(Component):
    """The beats as they are; lanes may be wired otherwise and the range of codes may grow."""

    luts = ffs = brams = 0

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        super().__init__(lanes.ports())

    def timing(self) -> "WireTiming":
        """The event model of this component."""
        return WireTiming()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready),
            self.o.payload.last.eq(self.i.payload.last),
        ]
        shown = self._lanes.shown(m, self.i.payload.data.as_value(), None, None)
        m.d.comb += [self.o.payload.data[lane].eq(code) for lane, code in enumerate(shown)]
        return m


class WireTiming(Stage):
    """No register between input and output."""

    def processes(self) -> Iterable[Process]:
        yield self._run()

    def _run(self) -> Process:
        n = 0
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            self.o.valid.put(self.i.valid.at[n])
            if len(self.o.taken.at) <= n:
                yield self.o.taken, n
            self.i.taken.put(self.o.taken.at[n])
            n += 1


class Filter(Component):
    """Passes the beats numbered in ``moves.source`` (ascending) of each frame of ``beats``, their
    lanes wired as they say; latency 1."""

    brams = 0

    def __init__(self, moves: BeatMap, beats: int, lanes: Lanes) -> None:
        kept = moves.source
        keep, last, choice = (np.zeros(beats, dtype=np.int64) for _ in range(3))
        keep[kept], last[kept[-1]], choice[kept] = 1, 1, moves.choice
        self._keep, self._lanes = keep, lanes
        self._choice = Sequencer({"keep": keep, "last": last, "pattern": choice})
        self.luts = self._choice.luts + lanes.luts + 4
        self.ffs = self._choice.ffs + lanes.count * lanes.out_shape.width + 2
        super().__init__(lanes.ports())

    def timing(self) -> "FilterTiming":
        """The event model of this component."""
        return FilterTiming(self._keep)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        take = Signal()
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            take.eq(self.i.valid & self.i.ready),
        ]
        word = self._choice.build(m, "choice", take)
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(take & word["keep"])
        with m.If(take):
            m.d.sync += self.o.payload.last.eq(word["last"])
        data = self.i.payload.data.as_value()
        for lane, code in enumerate(self._lanes.shown(m, data, word["pattern"], None)):
            with m.If(take):
                m.d.sync += self.o.payload.data[lane].eq(code)
        return m


class FilterTiming(Stage):
    """Event model of :class:`Filter`; ``keep``: one flag per beat of a frame."""

    def __init__(self, keep: np.ndarray) -> None:
        self._keep = [bool(k) for k in keep]

    def processes(self) -> Iterable[Process]:
        clock = Clock(1, self.o)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock: Clock) -> Process:
        n = 0
        while True:
            for kept in self._keep:
                if len(self.i.valid.at) <= n:
                    yield self.i.valid, n
                issued = yield from clock.issue(self.i.valid.at[n])
                self.i.taken.put(issued)
                n += 1
                if kept:
                    clock.emit()
