"""Pooling of events into events: addresses of pixels become those of the windows around them."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Process, Stage
from codesign.hdl.memories import Counter
from codesign.hdl.spikes.aer import event_signature
from codesign.hdl.spikes.conv import axes_of
from codesign.hdl.spikes.walk import FrontRegisters, Slot, Walk
from codesign.hdl.stream import Component
from codesign.hdl.timing import Clock
from codesign.spikes.arrivals import Arrivals


class AddressPool(Component):
    """Windows of ``window`` pixels over maps ``size`` (H, W) of ``channels``, padded by nothing.

    ``sum``: each event goes on once for every window that sees it, with its count; whoever adds
    the events of a step up has the sums, ``0..pixels * levels``. ``or``: only the first event of
    a step that a window sees goes on (spikes of one level). ``i``: events of ``steps`` steps over
    H * W * channels; ``o``: events over H' * W' * channels, *in the order in which they arise*, and
    for ``sum`` an address more than once: what adds them, as synapses do, needs no other order.

    A cycle for each window that sees an event, at least one. ``or`` marks the windows of a step in
    a memory, which is cleared after reset: as many cycles as there are windows.
    """

    def __init__(
        self,
        function: Literal["sum", "or"],
        *,
        channels: int,
        size: tuple[int, int],
        window: tuple[int, int],
        stride: tuple[int, int],
        steps: int,
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: tuple[int, int] = (1, 1),
        levels: int = 1,
    ) -> None:
        if function not in ("sum", "or"):
            raise ValueError(f"events are pooled by 'sum' or by 'or', got '{function}'")
        if function == "or" and levels > 1:
            raise ValueError("'or' pools spikes of one level; use 'sum' for several")
        if steps < 1:
            raise ValueError(f"a frame has at least one step, got {steps}")
        self.function, self._steps = function, steps
        axes = axes_of(size, window, stride, dilation, padding)
        self._walk = Walk(axes, channels, channels, depthwise=True)
        self.outputs = self._walk.words
        self._counted = levels > 1
        super().__init__(
            {
                "i": In(event_signature(self._walk.inputs, levels)),
                "o": Out(event_signature(self.outputs, levels)),
            }
        )

    @property
    def latency(self) -> int:
        """Registers from a slot to the output."""
        return 2 if self.function == "or" else 1

    def passes(self, came: Arrivals) -> Arrivals:
        """The events that go on, in their order."""
        reached = self._reached(came)
        kept = self._kept(reached, came)
        address = np.concatenate([np.zeros(0, np.int64), *reached])[np.concatenate(kept)]
        step = np.repeat(np.arange(len(came.per_step)), came.per_step)
        counts = np.array([int(k.sum()) for k in kept], np.int64)
        per_step = np.bincount(step, weights=counts, minlength=len(came.per_step))
        return Arrivals(address, per_step.astype(np.int64))

    def timing(self, came: Arrivals) -> "PoolTiming":
        """The event model for these events."""
        kept, slots, at = self._kept(self._reached(came), came), [], 0
        for count in came.per_step.tolist():
            slots += [(k.tolist() or [False], False) for k in kept[at : at + count]]
            slots.append(([True], True))
            at += count
        start = self.outputs if self.function == "or" else 0
        return PoolTiming(slots, self._walk.front, self.latency, start)

    def _reached(self, came: Arrivals) -> list[np.ndarray]:
        """The windows of each event."""
        known = {int(a): self._walk.words_of(int(a)) for a in np.unique(came.address)}
        return [known[int(a)] for a in came.address]

    def _kept(self, reached: list[np.ndarray], came: Arrivals) -> list[np.ndarray]:
        """Which windows of each event go on, bool."""
        if self.function == "sum" or not reached:
            return [np.ones(len(w), bool) for w in reached] or [np.zeros(0, bool)]
        flat = np.concatenate(reached)
        step = np.repeat(np.arange(len(came.per_step)), came.per_step)
        lengths = [len(w) for w in reached]
        place = np.repeat(step, lengths) * self.outputs + flat
        first = np.zeros(len(flat), bool)
        first[np.unique(place, return_index=True)[1]] = True
        return np.split(first, np.cumsum(lengths)[:-1])

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, free, starting = Signal(name="ce"), Signal(name="free"), Signal(name="starting")
        m.d.comb += [ce.eq(~self.o.valid | self.o.ready), free.eq(ce & ~starting)]
        count = self.i.payload.data.count if self._counted else Const(1, 1)
        slot = self._walk.slot(m, self.i, count, free)
        if self.function == "or":
            slot = self._first_of(m, slot, ce, starting)
        else:
            m.d.comb += starting.eq(0)
        step = Counter(m, "step", self._steps, ce & slot.valid & slot.end)
        data = self.o.payload.data
        with m.If(ce):
            m.d.sync += [
                self.o.valid.eq(slot.valid),
                data.address.eq(slot.word),
                data.step_end.eq(slot.end),
                self.o.payload.last.eq(slot.end & step.last),
            ]
            if self._counted:
                m.d.sync += data.count.eq(slot.count)
        return m

    def _first_of(self, m: Module, slot: Slot, ce: Value, starting: Signal) -> Slot:
        """``slot`` an enabled cycle later, valid only where its window is new in this step.

        A window is marked with the number of the step that saw it; numbers go from 1 to the
        number of windows and around. So that an old mark never looks new, each step that marked
        any clears one window in turn: all of them before a number comes again.
        """
        windows = self.outputs
        marks = Memory(shape=range(windows + 1), depth=windows, init=[])
        m.submodules.marks = marks
        write = marks.write_port()
        read = marks.read_port(transparent_for=(write,))
        valid, end = Signal(name="valid1"), Signal(name="end1")
        word = Signal(range(max(2, windows)), name="word1")
        used, turn, fresh = Signal(name="used"), Signal(name="turn"), Signal(name="fresh")
        number = Signal(range(windows + 1), init=1, name="number")
        busy = Signal(init=1, name="clearing")
        clear = Counter(m, "cleared", windows, busy | turn)
        with m.If(busy & clear.last):
            m.d.sync += busy.eq(0)
        m.d.comb += [
            starting.eq(busy),
            read.addr.eq(slot.word),
            read.en.eq(ce),
            fresh.eq(valid & ~end & (read.data != number)),
            turn.eq(ce & valid & end & used),
            write.en.eq(busy | turn | (ce & fresh)),
            write.addr.eq(word),
            write.data.eq(number),
        ]
        with m.If(busy | turn):
            m.d.comb += [write.addr.eq(clear.value), write.data.eq(0)]
        with m.If(ce):
            m.d.sync += [valid.eq(slot.valid & ~busy), end.eq(slot.end), word.eq(slot.word)]
            with m.If(turn):
                m.d.sync += [used.eq(0), number.eq(number + 1)]
                with m.If(number == windows):
                    m.d.sync += number.eq(1)
            with m.Elif(fresh):
                m.d.sync += used.eq(1)
        return Slot(fresh | (valid & end), end, Const(0, 1), word, Const(1, 1))


class PoolTiming(Stage):
    """Event model of an :class:`AddressPool`; ``beats``: (which slots give an event, ends a step)
    of every beat."""

    def __init__(
        self, beats: list[tuple[list[bool], bool]], front: int, latency: int, start: int
    ) -> None:
        self._beats, self._front, self._latency, self._start = beats, front, latency, start

    def processes(self) -> Iterable[Process]:
        clock = Clock(self._latency, self.o)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock: Clock) -> Process:
        registers = FrontRegisters(self._front)
        for n, (slots, _) in enumerate(self._beats):
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            taken, t = registers.enter(self.i.valid.at[n])
            self.i.taken.put(taken)
            for given in slots:
                registers.finished = yield from clock.issue(max(t, self._start))
                if given:
                    clock.emit()
