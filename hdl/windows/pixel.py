"""A sliding window that shows all its taps at once, out of line delays."""

from collections.abc import Iterable
from functools import cached_property
from itertools import accumulate

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from codesign.hdl.clock import Clock
from codesign.hdl.events import Process, Stage
from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.windows.delay import REGISTERS, memories, stretches, tapped_delay
from codesign.hdl.windows.geometry import Geometry
from codesign.hdl.windows.window import check_lanes, check_padding, padded_range

#: Places of the FIFO behind a window that the FIFO's own registers take.
QUEUE_SLACK = 1


class PixelWindow(Component):
    """One output pixel (or ``pixels`` of them) per beat and channel fold, with all its taps.

    ``i``: the map (H, W, C) in beats of ``lanes`` channels, or of ``pixels`` whole pixels.
    ``o``: for each output pixel and channel fold one beat of [pixel, ky, kx, lane]; frames of
    OH * OW * kh * kw * C codes in the order (oy, ox, fold, [ky, kx, lane]). Codes in ``lo..hi``;
    positions outside the map read ``pad_code``, which may lie outside ``lo..hi``.

    Padding costs no cycles: a window over the map's end shares its cycles with the head of the
    next frame, or, when none is offered, the unit moves on by itself. So the initiation interval
    is the number of input beats. From the last beat an output pixel needs to its transfer are
    ``latency`` cycles.

    ``ValueError``: lanes that do not divide C; more padding than the kernel reaches over
    (top + bottom > (kh - 1) * dy, or sideways): pad the map first, or use ``TapWindow``;
    ``pixels`` with folded channels, a horizontal stride, or not dividing W and OW; a map so small
    that a frame's tail outlasts the next frame.
    """

    latency = 2

    def __init__(
        self,
        geometry: Geometry,
        *,
        lo: int,
        hi: int,
        channels: int,
        lanes: int,
        pixels: int = 1,
        pad_code: int = 0,
    ) -> None:
        self.schedule = PixelSchedule(geometry, channels, lanes, pixels)
        self._pad = int(pad_code)
        self._in_shape = range_shape(lo, hi)
        self.out_lo, self.out_hi = padded_range(geometry, lo, hi, self._pad)
        out_shape = range_shape(self.out_lo, self.out_hi)
        self.lanes_out = pixels * geometry.taps * lanes
        super().__init__(
            {
                "i": In(stream_signature(self._in_shape, pixels * lanes)),
                "o": Out(stream_signature(out_shape, self.lanes_out)),
            }
        )

    def timing(self) -> "PixelTiming":
        """The event model of this component."""
        return PixelTiming(self.schedule, self.latency)

    def memories(self) -> list[tuple[int, int]]:
        """(words, bits) of each line memory."""
        width = len(self.i.payload.data.as_value())
        return memories((delay for delay, _ in self.schedule.taps()), width)

    def fabric(self) -> tuple[float, float, int]:
        """(LUTs, registers, block memories) besides :meth:`memories`; LUTs fitted to synthesis."""
        width = len(self.i.payload.data.as_value())
        spans = stretches(delay for delay, _ in self.schedule.taps())
        held = width + width * sum(length for _, length in spans if length <= REGISTERS)
        out = len(self.o.payload.data.as_value())
        return 110 + (out if any(self.schedule.geometry.pads) else 0), 60 + held + out, 0

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, advance = Signal(), Signal()
        m.d.comb += [ce.eq(~self.o.valid | self.o.ready), self.i.ready.eq(ce)]
        walk = _Walk(m, self.schedule, advance, self.i.valid & ce)
        m.d.comb += advance.eq(ce & (self.i.valid | walk.flush))
        word = self.i.payload.data.as_value()
        delayed = tapped_delay(m, word, (d for d, _ in self.schedule.taps()), advance)
        flags = Cat(walk.fire, walk.last, *walk.inside)
        held = Signal(len(flags), name="flags")
        with m.If(ce):
            m.d.sync += [
                held.eq(flags),
                self.o.valid.eq(held[0]),
                self.o.payload.last.eq(held[1]),
            ]
        self._output(m, ce, delayed, held[2:])
        return m

    def _output(self, m: Module, ce: Value, delayed: dict[int, Value], inside: Value) -> None:
        """The taps in order, padding put in, into the output register."""
        width = self._in_shape.width
        lanes = self.lanes_out // len(self.schedule.taps())
        with m.If(ce):
            for t, (delay, slot) in enumerate(self.schedule.taps()):
                for lane in range(lanes):
                    code = delayed[delay][(slot * lanes + lane) * width :][:width]
                    code = code.as_signed() if self._in_shape.signed else code
                    if any(self.schedule.geometry.pads):
                        code = Mux(inside[t], code, self._pad)
                    m.d.sync += self.o.payload.data[t * lanes + lane].eq(code)


class PixelSchedule:
    """When a window is complete, counted in advances of the delay line, and where its taps are."""

    def __init__(self, geometry: Geometry, channels: int, lanes: int, pixels: int) -> None:
        _check(geometry, channels, lanes, pixels)
        self.geometry, self.pixels = geometry, pixels
        self.folds = channels // lanes
        (h, w), (oh, ow) = geometry.size, geometry.out_size
        self.beats_in = h * w * self.folds // pixels
        self.groups = ow // pixels  # of output pixels in a row
        self.rows = oh
        self.beats_out = oh * self.groups * self.folds
        first = self._beat(0, 0)
        final = self._beat(oh - 1, self.groups - 1) + self.folds - 1
        self.first = first
        self.tail = final + 1 - self.beats_in  # advances after the frame's last beat
        if self.tail > self.beats_in:
            raise ValueError(f"a map of {h} x {w} is too small for a window of {geometry.kernel}")
        stride = geometry.strides[1] if pixels == 1 else 1
        self.gap_pixel = (stride - 1) * self.folds + 1
        rise = self._beat(1, 0) - self._beat(0, self.groups - 1) if oh > 1 else 1
        self.gap_row = rise - self.folds + 1 if oh > 1 else 1
        self.gap_frame = self.beats_in + first - final

    def _corner(self, oy: int, ox: int) -> int:
        """Flat position of a window's last tap; beyond a row's end it counts into the next."""
        g = self.geometry
        y = oy * g.strides[0] - g.pads[0] + g.reach[0]
        return y * g.size[1] + ox * g.strides[1] - g.pads[1] + g.reach[1]

    def _beat(self, oy: int, group: int) -> int:
        """The input beat that completes the first fold of output pixels ``group``."""
        if self.pixels == 1:
            return self._corner(oy, group) * self.folds
        return (self._corner(oy, group * self.pixels) + self.pixels - 1) // self.pixels

    def taps(self) -> list[tuple[int, int]]:
        """(delay in beats, pixel within the beat) of each tap [pixel, ky, kx]."""
        return self._taps

    @cached_property
    def _taps(self) -> list[tuple[int, int]]:
        g, count = self.geometry, self.pixels
        newest = self._beat(0, 0) * count + count - 1 if count > 1 else self._corner(0, 0)
        found = []
        for m in range(count):
            for ky in range(g.kernel[0]):
                for kx in range(g.kernel[1]):
                    back = (g.kernel[0] - 1 - ky) * g.dilations[0] * g.size[1]
                    back += (g.kernel[1] - 1 - kx) * g.dilations[1]
                    late = newest - self._corner(0, m) + back
                    found.append((late // count * self.folds, count - 1 - late % count))
        return found

    def gaps(self) -> list[int]:
        """Advances from each output beat of a frame to the next; the last one to the next frame."""
        row = ([1] * (self.folds - 1) + [self.gap_pixel]) * self.groups
        row[-1] = self.gap_row
        gaps = row * self.rows
        gaps[-1] = self.gap_frame
        return gaps

    def queue(self, step: int) -> int:
        """Places of a FIFO behind the window that make the interval of the two the larger of input
        beats and ``step`` cycles for each output beat; 0 where none is needed.

        Windows come in bursts: none at rows that a stride leaves out or that lack padding. What
        takes them would idle then, or hold up the input in between. With window ``j`` complete
        after ``a[j]`` advances, either side is behind by at most what ``a[j] - j * step`` rises
        (or falls, if the input is slower) between any two of them, over two frames.
        """
        gaps = np.array(self.gaps())
        ahead = np.cumsum(np.concatenate([gaps, gaps]) - step)
        if len(gaps) * step < self.beats_in:
            ahead = -ahead
        behind = int((ahead - np.minimum.accumulate(np.append(0, ahead[:-1]))).max())
        return -(-behind // step) + QUEUE_SLACK if behind > 0 else 0

    def inside_rows(self, ky: int) -> tuple[int, int]:
        """First and last output row whose tap row ``ky`` lies in the map."""
        g = self.geometry
        return _inside(ky * g.dilations[0] - g.pads[0], g.strides[0], g.size[0], self.rows)

    def inside_groups(self, pixel: int, kx: int) -> tuple[int, int]:
        """First and last output group whose tap column ``kx`` of ``pixel`` lies in the map."""
        g = self.geometry
        stride = g.strides[1] * self.pixels
        start = pixel + kx * g.dilations[1] - g.pads[1]
        return _inside(start, stride, g.size[1], self.groups)


class _Walk:
    """Counters: which window comes next, when, and which of its taps lie in the map."""

    def __init__(self, m: Module, s: PixelSchedule, advance: Value, take: Value) -> None:
        self.fire, self.last = Signal(name="fire"), Signal(name="last")
        due = Signal(name="due")
        m.d.comb += self.fire.eq(advance & due)
        fold = Counter(m, "fold", s.folds, self.fire)
        group = Counter(m, "group", s.groups, self.fire & fold.last)
        row = Counter(m, "row", s.rows, self.fire & fold.last & group.last)
        m.d.comb += self.last.eq(fold.last & group.last & row.last)
        owed: Value = Const(0, 1)
        self.flush: Value = Const(0, 1)
        if s.tail > 0:
            owed = self._tail(m, s, advance, take)
        most = max(s.first, s.gap_pixel, s.gap_row, s.gap_frame + max(s.tail, 0))
        wait = Signal(range(most + 1), name="wait", init=s.first)
        m.d.comb += due.eq(wait == 0)
        with m.If(advance):
            m.d.sync += wait.eq(wait - 1)
            with m.If(due):
                with m.If(~fold.last):
                    m.d.sync += wait.eq(0)
                with m.Elif(~group.last):
                    m.d.sync += wait.eq(s.gap_pixel - 1)
                with m.Elif(~row.last):
                    m.d.sync += wait.eq(s.gap_row - 1)
                with m.Else():
                    m.d.sync += wait.eq(s.gap_frame - 1 + owed)
        self.inside = self._inside(m, s, row, group)

    def _tail(self, m: Module, s: PixelSchedule, advance: Value, take: Value) -> Value:
        """Past the frame's last beat the unit moves by itself until the next frame begins."""
        beat = Counter(m, "beat", s.beats_in, take)
        tail = Signal(name="tail")
        # Advances without a beat push the next frame back by as much.
        lost = Signal(range(s.tail + 1), name="lost")
        owed = Signal(range(s.tail + 2), name="owed")
        self.flush = Signal(name="flush")
        m.d.comb += [
            self.flush.eq(tail & (beat.value == 0)),
            owed.eq(lost + (advance & ~take)),
        ]
        m.d.sync += lost.eq(owed)
        with m.If(self.fire & self.last):
            m.d.sync += [tail.eq(0), lost.eq(0)]
        with m.If(take & beat.last):
            m.d.sync += tail.eq(1)
        return owed

    def _inside(self, m: Module, s: PixelSchedule, row: Counter, group: Counter) -> list[Value]:
        g = s.geometry
        if not any(g.pads):
            return []
        kh, kw = g.kernel
        rows = [_within(row.value, *s.inside_rows(ky), s.rows) for ky in range(kh)]
        columns = [
            [_within(group.value, *s.inside_groups(p, kx), s.groups) for kx in range(kw)]
            for p in range(s.pixels)
        ]
        return [rows[ky] & columns[p][kx]
                for p in range(s.pixels) for ky in range(kh) for kx in range(kw)]  # fmt: skip


class PixelTiming(Stage):
    """Event model of :class:`PixelWindow`."""

    def __init__(self, schedule: PixelSchedule, latency: int) -> None:
        self._schedule, self._latency = schedule, latency

    def processes(self) -> Iterable[Process]:
        clock = Clock(self._latency, self.o)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock: Clock) -> Process:
        s, gaps = self._schedule, self._schedule.gaps()
        places = list(accumulate(gaps, initial=0))
        valid, taken = self.i.valid, self.i.taken
        n = beat = out = owed = 0
        wait, tail = s.first, False  # advances to the next window; whether a frame's end is due
        while True:
            flush = tail and beat == 0
            if not flush and len(valid.at) <= n:
                many = min(clock.sure(wait + 1), len(gaps) - out)
                inputs = wait + places[out + many - 1] - places[out] + 1 if many else 0
                self.i.promise(n + min(inputs, s.beats_in - beat), clock.soonest - n)
                yield valid, n
            many = 0 if flush else clock.sure(wait + 1, valid.at[n])
            if many:  # up to the frame's last beat
                count = min(len(valid.at) - n, s.beats_in - beat)
                ends: list[int] = []
                while wait < count and len(ends) < many:
                    ends.append(wait)
                    wait, out = wait + gaps[out], out + 1
                    if out == len(gaps):
                        wait, out, owed, tail = wait + owed, 0, 0, False
                count = ends[-1] + 1 if len(ends) == many else count
                taken.extend(clock.follow(valid.at[n : n + count], ends))
                wait, n, beat = wait - count, n + count, beat + count
            else:
                t = yield from clock.issue(0 if flush else valid.at[n])
                fire = wait == 0
                if fire:
                    clock.emit()
                if flush and len(valid.at) <= n:
                    yield valid, n, t
                real = len(valid.at) > n and valid.at[n] <= t
                owed += not real
                wait -= 1
                if fire:
                    wait, out = gaps[out] - 1, out + 1
                    if out == len(gaps):
                        wait, out, owed, tail = wait + owed, 0, 0, False
                if real:
                    taken.put(t)
                    n, beat = n + 1, beat + 1
            if beat == s.beats_in:
                beat, tail = 0, s.tail > 0


def outlasts(g: Geometry) -> bool:
    """Whether a frame's windows end more than a frame after it: the map is too small."""
    try:
        PixelSchedule(g, 1, 1, 1)
    except ValueError as error:
        if "too small" in str(error):
            return True
        raise
    return False


def _inside(start: int, stride: int, size: int, count: int) -> tuple[int, int]:
    """First and last n in 0..count-1 with 0 <= start + n * stride < size."""
    first = max(0, -(start // stride))
    last = min(count - 1, (size - 1 - start) // stride)
    return first, last


def _within(value: Value, first: int, last: int, count: int) -> Value:
    """Whether a counter of ``count`` values lies in ``first..last``."""
    if first > last:
        return Const(0, 1)
    low = value >= first if first > 0 else Const(1, 1)
    high = value <= last if last < count - 1 else Const(1, 1)
    return low & high


def _check(g: Geometry, channels: int, lanes: int, pixels: int) -> None:
    check_lanes(channels, lanes)
    check_padding(g)
    if pixels == 1:
        return
    if lanes != channels or g.strides[1] != 1:
        raise ValueError(f"{pixels} pixels a beat need all {channels} lanes and stride 1")
    if pixels < 1 or g.size[1] % pixels or g.out_size[1] % pixels:
        raise ValueError(
            f"pixels must divide the rows of {g.size[1]} and {g.out_size[1]}, got {pixels}"
        )
