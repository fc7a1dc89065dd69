"""Beats of a frame in another order: a cyclic memory just as deep as the order demands."""

from collections.abc import Iterable

import numpy as np
from amaranth.hdl import Module, Mux, Shape, Signal, Value
from amaranth.lib.memory import Memory

from codesign.hdl.events import Process, Stage, Times
from codesign.hdl.memories import LUT_DEPTH
from codesign.hdl.rearrange.lanes import Lanes
from codesign.hdl.rearrange.schedule import Schedule
from codesign.hdl.rearrange.sequencer import Sequencer
from codesign.hdl.stream import Component
from codesign.hdl.timing import Clock


class ReorderBuffer(Component):
    """Output beat ``p`` of each frame is input beat ``plan.source[p]`` with its lanes wired in
    pattern ``choice[p]``, or padding in every lane where the source is -1.

    ``i``: ``plan.inputs`` beats a frame; ``o``: ``len(plan.source)`` beats. A beat a cycle on
    either side, frames without a gap; two cycles from a beat's transfer to its output's if
    nothing waits.
    """

    def __init__(self, plan: Schedule, lanes: Lanes, choice: np.ndarray) -> None:
        self._plan, self._wiring, self._choice = plan, lanes, choice
        self._lanes, self._in_shape = lanes.count, lanes.in_shape
        self.places = _rounded(plan.depth)
        self._reader = Sequencer(self._fields())
        super().__init__(lanes.ports())

    def _fields(self) -> dict[str, np.ndarray]:
        """What the reading side must know for each output beat."""
        plan = self._plan
        slots = np.where(plan.source < 0, 0, plan.source)
        # Padding reads nothing: its address is that of the next real beat.
        real = np.flatnonzero(plan.source >= 0)
        if len(real):
            ahead = np.searchsorted(real, np.arange(len(slots)))
            slots = plan.source[real[np.minimum(ahead, len(real) - 1)]]
        following = np.concatenate([slots[1:], [slots[0] + plan.inputs]])
        last = np.zeros(len(slots), dtype=np.int64)
        last[-1] = 1
        return {
            "step": (following - slots) % self.places,
            "need": plan.arrivals,
            "free": plan.frees,
            "fill": (plan.source < 0).astype(np.int64),
            "pattern": self._choice,
            "last": last,
        }

    def timing(self) -> "ReorderTiming":
        """The event model of this component."""
        return ReorderTiming(self._plan, self.places)

    @property
    def memory_bits(self) -> int:
        """Bits of the places."""
        return self.places * self._lanes * self._in_shape.width

    @property
    def in_block(self) -> bool:
        """Whether the places are deep enough for block memory."""
        return self.places > LUT_DEPTH and self.memory_bits >= 1024

    @property
    def luts(self) -> int:
        """LUT4s (rough; within 20 % of yosys on padding, upsampling and transposes)."""
        width = self._lanes * self._in_shape.width
        memory = 0 if self.in_block else 2 * width * -(-self.places // 16)
        padding = width if self._fills else 0
        return (
            self._reader.luts
            + self._wiring.luts
            + memory
            + padding
            + 12 * self.places.bit_length()
            + 50
        )

    @property
    def ffs(self) -> int:
        """Flip-flops (rough)."""
        width = 0 if self.in_block else self._lanes * self._in_shape.width
        return self._reader.ffs + width + 5 * self.places.bit_length() + 4

    @property
    def brams(self) -> int:
        """Block RAMs of 16 kbit, at most 36 bits wide."""
        width = self._lanes * self._in_shape.width
        data = max(-(-width // 36), -(-self.memory_bits // (1 << 14))) if self.in_block else 0
        wide = max(-(-self._reader.width // 36), -(-self._reader.bits // (1 << 14)))
        return data + (wide if self._reader.in_block else 0)

    @property
    def _fills(self) -> bool:
        return bool((self._plan.source < 0).any())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        take, issue, ce = Signal(), Signal(), Signal()
        m.d.comb += [ce.eq(~self.o.valid | self.o.ready), take.eq(self.i.valid & self.i.ready)]
        payload = Signal.like(self.i.payload.data.as_value(), name="taken")
        m.d.comb += payload.eq(self.i.payload.data.as_value())
        word = self._reader.build(m, "order", issue)
        arrived = self._arrived(m, take, issue, word["need"])
        m.d.comb += [issue.eq(ce & arrived), self.i.ready.eq(self._room(m, take, issue, word))]
        with m.If(ce):
            m.d.sync += [self.o.valid.eq(issue), self.o.payload.last.eq(word["last"])]
        data = self._storage(m, take, payload, issue, word["step"])
        self._output(m, issue, data, word)
        return m

    def _arrived(self, m: Module, take: Value, issue: Value, need: Value) -> Value:
        """Whether the beats the next output waits for are there.

        ``have``: arrivals that no earlier output has asked for. It starts as if a frame had
        gone before, whose unread tail lies there.
        """
        plan = self._plan
        tail = plan.inputs - 1 - int(plan.need[-1])
        have = Signal(range(self.places + plan.inputs + tail + 2), init=tail)
        m.d.sync += have.eq(have + take - Mux(issue, need, 0))
        return have >= need

    def _room(self, m: Module, take: Value, issue: Value, word: dict[str, Value]) -> Value:
        """Whether a place is free."""
        most = self.places + self._plan.inputs + self._plan.before + 1
        room = Signal(range(most + 1), init=self.places + self._plan.before)
        free = Signal(init=1, name="has_room")
        left = Signal(range(most + 1), name="room_next")
        m.d.comb += left.eq(room - take + Mux(issue, word["free"], 0))
        m.d.sync += [room.eq(left), free.eq(left != 0)]
        return free

    def _storage(self, m: Module, take: Value, payload: Value, issue: Value, step: Value) -> Value:
        """The places; returns the word that was read."""
        attributes = {} if self.in_block else {"ram_style": "distributed"}
        memory = Memory(shape=Shape(len(payload)), depth=self.places, init=[], attrs=attributes)
        m.submodules.places = memory
        port = memory.write_port()
        # Never the same place in one cycle; saying so this way spares a bypass of old data.
        read = memory.read_port(transparent_for=(port,))
        start = next((int(s) for s in self._plan.source if s >= 0), 0) % self.places
        address = Signal(range(max(self.places, 2)), init=start, name="read_place")
        with m.If(issue):
            m.d.sync += address.eq(self._advanced(m, address, step))
        with m.If(take):
            end = self.places - 1
            m.d.sync += port.addr.eq(Mux(port.addr == end, 0, port.addr + 1))
        m.d.comb += [
            port.data.eq(payload),
            port.en.eq(take),
            read.addr.eq(address),
            read.en.eq(issue),
        ]
        return read.data

    def _advanced(self, m: Module, address: Signal, step: Value) -> Value:
        """``address + step`` modulo the number of places."""
        total = Signal(range(2 * self.places), name="place_sum")
        m.d.comb += total.eq(address + step)
        if self.places & (self.places - 1) == 0:
            return total[: len(address)]
        return Mux(total >= self.places, total - self.places, total)

    def _output(self, m: Module, issue: Value, data: Value, word: dict[str, Value]) -> None:
        held = [Signal.like(word[name], name=f"shown_{name}") for name in ("pattern", "fill")]
        with m.If(issue):
            m.d.sync += [held[0].eq(word["pattern"]), held[1].eq(word["fill"])]
        padding = held[1] if self._fills else None
        for lane, code in enumerate(self._wiring.shown(m, data, held[0], padding)):
            m.d.comb += self.o.payload.data[lane].eq(code)


def _rounded(depth: int) -> int:
    """Places for a depth: a power of two where that costs no more memory."""
    power = 1 << (depth - 1).bit_length()
    return power if depth <= LUT_DEPTH or power <= 512 else depth


class ReorderTiming(Stage):
    """Event model of :class:`ReorderBuffer`."""

    def __init__(self, plan: Schedule, places: int) -> None:
        self._plan, self._places = plan, places

    def processes(self) -> Iterable[Process]:
        clock, freed = Clock(1, self.o), Times()
        return [self._load(freed), self._read(clock, freed), clock.emissions()]

    def _load(self, freed: Times) -> Process:
        """``freed.at[n]``: the cycle in which beat ``n`` leaves its place."""
        n, previous, places = 0, -1, self._places
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            taken = max(self.i.valid.at[n], previous + 1)
            before = n - places
            if before >= 0:
                if len(freed.at) <= before:
                    yield freed, before
                taken = max(taken, freed.at[before] + 1)
            self.i.taken.put(taken)
            n, previous = n + 1, taken

    def _read(self, clock: Clock, freed: Times) -> Process:
        need, keep = self._plan.need.tolist(), self._plan.keep.tolist()
        base, taken = 0, self.i.taken
        for _ in range(keep[0]):
            freed.put(-1)
        while True:
            for newest, kept in zip(need, keep[1:], strict=True):
                if len(taken.at) <= base + newest:
                    yield taken, base + newest
                issued = yield from clock.issue(taken.at[base + newest] + 1)
                for _ in range(base + kept - len(freed.at)):
                    freed.put(issued)
                clock.emit()
            base += self._plan.inputs
