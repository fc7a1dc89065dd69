"""A sliding window that reads one tap a cycle out of a cyclic buffer of a few lines."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import repeat

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from codesign.hdl.clock import Clock
from codesign.hdl.events import FOREVER, Process, Stage, Times, in_turn
from codesign.hdl.memories import Counter, style_for
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.windows.delay import NO_COLLISION
from codesign.hdl.windows.geometry import Geometry
from codesign.hdl.windows.window import check_lanes, check_padding, padded_range


class TapWindow(Component):
    """Each output pixel's taps one after the other, a beat of ``lanes`` channels a cycle.

    ``i``: the map (H, W, C) in beats of ``lanes`` codes in ``lo..hi``. ``o``: beats of ``lanes``
    in the order (oy, ox, group, ky, kx, fold): each of ``groups`` equal groups of channels walks
    the whole window before the next one. Dense convolutions have one group; depthwise ones and
    pools one per beat of a pixel. Positions outside the map read ``pad_code``.

    The buffer holds the lines a window spans and what keeps both sides busy: the initiation
    interval is the larger of input and output beats. Writing goes on while reading, across
    frames. A beat can be read in the cycle after its transfer; ``latency`` cycles later it leaves.
    Not even padding is sent before a frame's first beat has come.

    ``ValueError``: lanes that do not divide C / groups; more padding than the kernel reaches over
    (top + bottom > (kh - 1) * dy, or sideways): pad the map first.
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
        groups: int = 1,
        pad_code: int = 0,
    ) -> None:
        self.schedule = TapSchedule(geometry, channels, lanes, groups)
        self._pad, self._lanes = int(pad_code), lanes
        self._in_shape = range_shape(lo, hi)
        self.out_lo, self.out_hi = padded_range(geometry, lo, hi, self._pad)
        self.depth = max(2, self.schedule.depth)
        if style_for(self.depth, self._in_shape.width * lanes) == "block":
            # Address wrapping is free at a power of two, and a block memory has 512 words.
            self.depth = max(self.depth, min(512, 1 << (self.depth - 1).bit_length()))
        super().__init__(
            {
                "i": In(stream_signature(self._in_shape, lanes)),
                "o": Out(stream_signature(range_shape(self.out_lo, self.out_hi), lanes)),
            }
        )

    def timing(self) -> "TapTiming":
        """The event model of this component."""
        return TapTiming(self.schedule, self.depth, self.latency)

    def memories(self) -> list[tuple[int, int]]:
        """(words, bits) of the line buffer."""
        return [(self.depth, len(self.i.payload.data.as_value()))]

    def fabric(self) -> tuple[float, float, int]:
        """(LUTs, registers, block memories) besides :meth:`memories`; LUTs fitted to synthesis."""
        width, padded = len(self.o.payload.data.as_value()), any(self.schedule.geometry.pads)
        pointer = self.depth.bit_length()
        wraps = 8 * pointer if self.depth & (self.depth - 1) else 0
        return (
            110 + 2 * pointer + padded * (60 + 0.73 * width) + wraps,
            30 + 4 * pointer + width,
            0,
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, take = Signal(), Signal()
        m.d.comb += [
            ce.eq(~self.o.valid | self.o.ready),
            take.eq(self.i.valid & self.i.ready),
        ]
        walk = _Walk(m, self.schedule, self.depth, ce, take)
        m.d.comb += self.i.ready.eq(walk.ready)
        data = self._buffer(m, ce, take, walk.address)
        flags = Cat(walk.issue, walk.last, walk.inside)
        held = Signal(3, name="flags")
        with m.If(ce):
            m.d.sync += [
                held.eq(flags),
                self.o.valid.eq(held[0]),
                self.o.payload.last.eq(held[1]),
            ]
        width = self._in_shape.width
        for lane in range(self._lanes):
            code = data[lane * width :][:width]
            code = code.as_signed() if self._in_shape.signed else code
            if any(self.schedule.geometry.pads):
                code = Mux(held[2], code, self._pad)
            with m.If(ce):
                m.d.sync += self.o.payload.data[lane].eq(code)
        return m

    def _buffer(self, m: Module, ce: Value, take: Value, address: Value) -> Value:
        payload = self.i.payload.data.as_value()
        place = Counter(m, "write_place", self.depth, take)
        style = "block" if style_for(self.depth, len(payload)) == "block" else "distributed"
        memory = Memory(
            shape=Shape(len(payload)),
            depth=self.depth,
            init=[],
            attrs={"ram_style": style, **NO_COLLISION},
        )
        m.submodules.lines = memory
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.addr.eq(place.value),
            write.data.eq(payload),
            write.en.eq(take),
            read.addr.eq(address),
            read.en.eq(ce),
        ]
        return read.data


class TapSchedule:
    """Where the reader goes, in beats counted from the frame's first one, and what it frees.

    Positions in the padding count as if the map went on, so that every step is a constant.
    """

    def __init__(self, geometry: Geometry, channels: int, lanes: int, groups: int) -> None:
        check_padding(geometry)
        if (geometry.indices() < 0).all():
            raise ValueError(f"a map of {geometry.size} pixels is too small: no tap lies in it")
        check_lanes(channels, groups)
        check_lanes(channels // groups, lanes)
        self.geometry, self.groups = geometry, groups
        self.inner = channels // groups // lanes  # beats of a group in one pixel
        self.folds = self.inner * groups  # beats of a pixel
        (h, w), (oh, ow) = geometry.size, geometry.out_size
        self.beats_in = h * w * self.folds
        self.beats_out = oh * ow * geometry.taps * self.folds
        sy, sx = geometry.strides
        self.span = (geometry.reach[0] * w + geometry.reach[1]) * self.folds + self.folds
        #: How far the oldest beat still needed moves after a pixel, a row, a frame.
        self.pixel = sx * self.folds
        self.row = (sy * w - (ow - 1) * sx) * self.folds
        self.frame = self.beats_in - ((oh - 1) * sy * w + (ow - 1) * sx) * self.folds
        self.start = -(geometry.pads[0] * w + geometry.pads[1]) * self.folds
        self.depth = self._depth()

    def oldest(self) -> np.ndarray:
        """int64 [output pixels]: first beat still needed while that pixel is read."""
        g = self.geometry
        y = np.arange(g.out_size[0])[:, None] * g.strides[0] * g.size[1]
        x = np.arange(g.out_size[1])[None, :] * g.strides[1]
        return ((y + x) * self.folds + self.start).reshape(-1)

    def _depth(self) -> int:
        """The fewest places at which neither side waits longer than for the other's rate.

        Two frames suffice: demands repeat with the frame. Within a pixel the first group's first
        beats are the most demanding ones.
        """
        g, pixels = self.geometry, self.geometry.pixels
        per_pixel = g.taps * self.folds
        taps = g.indices().reshape(pixels, g.taps)
        need = np.where(taps < 0, np.iinfo(np.int64).min // 4, taps * self.folds + 1)
        need[0, 0] = max(need[0, 0], 1)  # no frame starts before its first beat
        when = np.arange(pixels)[:, None] * per_pixel + np.arange(g.taps) * self.inner
        lead = (need - when).max(axis=1)  # beats written when reading starts at once
        late = np.arange(1, pixels + 1) * per_pixel - 1 - self.oldest()
        step = self.beats_in - self.beats_out
        lead, late = np.concatenate([lead, lead + step]), np.concatenate([late, late - step])
        if step <= 0:
            slack = lead[1:] + np.maximum.accumulate(late)[:-1] + 1 if len(lead) > 1 else lead
            return max(self.span, int(slack.max()))
        return max(self.span, int((late + np.maximum.accumulate(lead)).max()) + 1)

    def steps(self) -> list[tuple[str, int, int, int]]:
        """(counter that moves, beats, rows, columns) of each step, innermost first."""
        g, (ry, rx) = self.geometry, self.geometry.reach
        (sy, sx), (dy, dx), w = g.strides, g.dilations, g.size[1]
        oh, ow = g.out_size
        rest = self.inner - 1
        back = (ry * w + rx) * self.folds
        return [
            ("fold", 1, 0, 0),
            ("kx", dx * self.folds - rest, 0, dx),
            ("ky", (dy * w - rx) * self.folds - rest, dy, -rx),
            ("group", 1 - back, -ry, -rx),
            ("ox", self.pixel - self.folds + 1 - back, -ry, sx - rx),
            ("oy", self.row - self.folds + 1 - back, sy - ry, -(ow - 1) * sx - rx),
            ("frame", self.frame - self.folds + 1 - back,
             -(oh - 1) * sy - ry, -(ow - 1) * sx - rx),
        ]  # fmt: skip

    def limits(self) -> dict[str, int]:
        """How many values each counter of :meth:`steps` takes."""
        g = self.geometry
        names = ("fold", "kx", "ky", "group", "ox", "oy")
        sizes = (self.inner, g.kernel[1], g.kernel[0], self.groups, g.out_size[1], g.out_size[0])
        return dict(zip(names, sizes, strict=True))


class _Walk:
    """The reader's counters, its address, and how far it is behind the writer."""

    def __init__(self, m: Module, s: TapSchedule, depth: int, ce: Value, take: Value) -> None:
        self.issue, self.last = Signal(name="issue"), Signal(name="last")
        self._moves: list[Value] = []
        carry: Value = Const(1, 1)
        for name, limit in s.limits().items():
            counter = Counter(m, name, limit, self.issue & carry)
            self._moves.append(carry & ~counter.last)
            carry = carry & counter.last
        m.d.comb += self.last.eq(carry)
        self._moves.append(carry)
        self.inside = self._inside(m, s)
        self.address = self._address(m, s, depth)
        # Beats written minus the one wanted minus one; negative while it is not there yet.
        start = -s.start
        # Freed beats may not have come yet: rows that a stride leaves out at the end of a frame.
        most = depth + s.span + max(s.pixel, s.row, s.frame)
        ahead = Signal(signed(most.bit_length() + 1), name="ahead", init=start - 1)
        room = Signal(signed(most.bit_length() + 1), name="room", init=depth - start - 1)
        beats = self._pick(m, "beats", [b for _, b, _, _ in s.steps()])
        freed = self._pick(m, "freed", [0, 0, 0, 0, s.pixel, s.row, s.frame])
        m.d.sync += [ahead.eq(ahead + take), room.eq(room - take)]
        with m.If(self.issue):
            m.d.sync += [ahead.eq(ahead - beats + take), room.eq(room + freed - take)]
        ready = ~self.inside | (ahead >= 0)
        if start:  # a frame's first tap is padding: it waits for the frame all the same
            first = Signal(name="first", init=1)
            with m.If(self.issue):
                m.d.sync += first.eq(self.last)
            ready = Mux(first, ahead >= start, ready)
        m.d.comb += self.issue.eq(ce & ready)
        self.ready = room >= 0

    def _pick(self, m: Module, name: str, values: list[int]) -> Value:
        """The value of the next step. It comes from counters alone: whether the step is made in
        this cycle is known late (it hangs on ``o.ready``) and only enables registers."""
        lo, hi = min([0, *values]), max([0, *values])
        chosen = Signal(range_shape(lo, hi), name=name)
        for move, value in zip(self._moves, values, strict=True):
            if value:
                with m.If(move):
                    m.d.comb += chosen.eq(value)
        return chosen

    def _inside(self, m: Module, s: TapSchedule) -> Value:
        """Whether the present tap lies in the map."""
        g = s.geometry
        if not any(g.pads):
            return Const(1, 1)
        inside: Value = Const(1, 1)
        for axis, name in enumerate("yx"):
            before, after = g.pads[axis], g.pads[axis + 2]
            if not before + after:
                continue
            shape = range_shape(-before, g.size[axis] + after)
            place = Signal(shape, name=f"at_{name}", init=-before)
            moves = [int(entry[2 + axis]) for entry in s.steps()]
            onward = place + self._pick(m, f"move_{name}", moves)
            with m.If(self.issue):
                m.d.sync += place.eq(onward)
            inside = inside & (place >= 0) & (place < g.size[axis])
        held = Signal(name="inside")
        m.d.comb += held.eq(inside)
        return held

    def _address(self, m: Module, s: TapSchedule, depth: int) -> Value:
        address = Signal(range(max(depth, 2)), name="address", init=s.start % depth)
        deltas = [beats % depth for _, beats, _, _ in s.steps()]
        onward = address + self._pick(m, "address_step", deltas)
        if depth & (depth - 1) == 0:
            with m.If(self.issue):
                m.d.sync += address.eq(onward)
            return address
        turned = Signal(signed(len(address) + 2), name="address_turned")
        back = self._pick(m, "address_back", [d - depth for d in deltas])
        m.d.comb += turned.eq(address + back)
        with m.If(self.issue):
            m.d.sync += address.eq(Mux(turned < 0, onward, turned))
        return address


class TapTiming(Stage):
    """Event model of :class:`TapWindow`."""

    def __init__(self, schedule: TapSchedule, depth: int, latency: int) -> None:
        self._schedule, self._depth, self._latency = schedule, depth, latency

    def processes(self) -> Iterable[Process]:
        clock = Clock(self._latency, self.o)
        done = Times()  # cycles in which a pixel's last tap is read
        return [self._write(done), self._read(clock, done), clock.emissions()]

    def _write(self, done: Times) -> Process:
        n, previous, pixel, room, valid = 0, -1, 0, 0, self.i.valid
        ends, sights = self._ends(), self._ends()
        end = sight = next(ends)
        level, seen = -FOREVER, 0
        next(sights)
        while True:
            if n >= end:
                if len(done.at) <= pixel:
                    yield done, pixel
                room = done.at[pixel] + 1
                end, pixel = next(ends), pixel + 1
                continue
            if len(valid.at) <= n:
                for t in done.at[seen:]:
                    if t + 1 - sight > level:
                        self.i.promise(sight, level)
                        level = t + 1 - sight
                    sight = max(sight, next(sights))
                seen = len(done.at)
                self.i.promise(sight, level)
                yield valid, n
            times = in_turn(valid.at[n:end], max(previous, room - 1))
            self.i.taken.extend(times)
            n, previous = n + len(times), times[-1]

    def _ends(self) -> Iterator[int]:
        """For each pixel the first beat that has no place until it is done."""
        start, pixels = self._depth, self._schedule.oldest().tolist()
        while True:
            yield from (start + p for p in pixels)
            start += self._schedule.beats_in

    def _read(self, clock: Clock, done: Times) -> Process:
        s, taken = self._schedule, self.i.taken
        g, whole = s.geometry, s.geometry.taps * s.folds
        taps = g.indices().reshape(g.pixels, g.taps)
        needs = (np.maximum.accumulate(taps.max(axis=1)) * s.folds + s.folds).tolist()
        start = pixel = 0
        while True:
            come = bisect_left(taken.at, clock.soonest)  # beats that have come by the next issue
            end = bisect_right(needs, come - start, pixel) if come > start else pixel
            if end > pixel:
                yield from clock.run((end - pixel) * whole, 1, done, whole)
                pixel = end
            else:
                yield from self._starved(clock, taps[pixel].tolist(), start, pixel == 0)
                done.put(clock.soonest - 1)
                pixel += 1
            if pixel == g.pixels:
                start, pixel = start + s.beats_in, 0

    def _starved(self, clock: Clock, taps: list[int], start: int, first: bool) -> Process:
        """One pixel, some of whose beats may not have come; the frame's ``first`` waits for it."""
        s, taken = self._schedule, self.i.taken
        begun = 0
        if first:
            if len(taken.at) <= start:
                yield taken, start
            begun = taken.at[start] + 1
        come = bisect_left(taken.at, clock.soonest)
        here = 0  # beats in a row that need not be waited for
        for beat in _beats(taps, s.folds, s.inner, s.groups):
            if begun <= clock.soonest and (beat < 0 or start + beat < come):
                here += 1
                continue
            yield from clock.run(here, 1)
            here, t = 0, begun
            if beat >= 0:
                if len(taken.at) <= start + beat:
                    yield taken, start + beat
                t = max(t, taken.at[start + beat] + 1)
            yield from clock.issue(t)
            clock.emit()
            begun, come = 0, bisect_left(taken.at, clock.soonest)
        yield from clock.run(here, 1)


def _beats(taps: list[int], folds: int, inner: int, groups: int) -> Iterator[int]:
    """The input beats of one pixel in the order of reading, negative in the padding."""
    for group in range(groups):
        for tap in taps:
            if tap < 0:
                yield from repeat(-1, inner)
            else:
                first = tap * folds + group * inner
                yield from range(first, first + inner)
