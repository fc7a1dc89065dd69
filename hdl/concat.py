"""Several streams in turn, as a concatenation along an axis demands."""

from collections.abc import Iterable, Sequence
from functools import reduce
from math import gcd
from typing import Any

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Process, Stage, Wire, link
from codesign.hdl.rearrange.sequencer import Sequencer
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.timing import Clock
from codesign.hdl.width_adapter import adapter_timing, width_adapter


class Concat(Component):
    """``repeats`` times in each frame: ``runs[0]`` elements of ``i0``, ``runs[1]`` of ``i1``, ...

    ``ranges``: (lo, hi) of each input's codes; ``o`` holds them all. Beats of ``lanes`` codes on
    every port. Where ``lanes`` divides every run a beat leaves each cycle, latency 1; otherwise
    the greatest common divisor of all of them, between width adapters.
    """

    def __init__(
        self,
        runs: Sequence[int],
        *,
        repeats: int,
        ranges: Sequence[tuple[int, int]],
        lanes: int,
    ) -> None:
        if len(runs) != len(ranges) or not runs or min(*runs, repeats, lanes) < 1:
            raise ValueError(
                f"one range for each run, runs and repeats from 1 on: got {len(runs)} runs "
                f"{tuple(runs)}, {len(ranges)} ranges, {repeats} repeats, {lanes} lanes"
            )
        self._runs, self._repeats = tuple(runs), repeats
        self._ranges, self._lanes = [tuple(r) for r in ranges], lanes
        self.group = reduce(gcd, runs, lanes)
        self.names = [f"i{n}" for n in range(len(runs))]
        self._out_range = min(r[0] for r in ranges), max(r[1] for r in ranges)
        turns = np.repeat(np.arange(len(runs)), np.array(runs) // self.group)
        self._turns = np.tile(turns, repeats)
        last = np.zeros(len(self._turns), dtype=np.int64)
        last[-1] = 1
        self._choice = Sequencer({"turn": self._turns, "last": last})
        self._shape = range_shape(*self._out_range)
        super().__init__(
            {
                **{
                    name: In(stream_signature(range_shape(*r), lanes))
                    for name, r in zip(self.names, self._ranges, strict=True)
                },
                "o": Out(stream_signature(self._shape, lanes)),
            }
        )

    def timing(self) -> "ConcatTiming":
        """The event model of this component."""
        sizes = [run * self._repeats for run in self._runs]
        return ConcatTiming(self._turns, sizes, self._lanes, self.group)

    @property
    def luts(self) -> int:
        """LUT4s (rough), adapters included."""
        width = self._lanes * self._shape.width
        adapters = 0 if self.group == self._lanes else (1 + len(self._runs)) * width
        return self._choice.luts + width * (len(self._runs) - 1) + adapters + 8

    @property
    def ffs(self) -> int:
        """Flip-flops (rough), adapters included."""
        width = self._lanes * self._shape.width
        adapters = 0 if self.group == self._lanes else (1 + len(self._runs)) * width
        return self._choice.ffs + width + adapters + 2

    def elaborate(self, platform: object) -> Module:
        m = Module()
        given, ce = Signal(name="o_transfer"), Signal()
        m.d.comb += given.eq(self.o.valid & self.o.ready)
        for port in (getattr(self, name) for name in self.names):
            # Mentioned first: the adapters' ports of the same names are numbered instead.
            m.d.comb += Signal(name="i_transfer").eq(port.valid & port.ready)
        sources = [self._narrow(m, n) for n in range(len(self.names))]
        inner = stream_signature(self._shape, self.group).create(path=("joined",))
        m.d.comb += ce.eq(~inner.valid | inner.ready)
        ready, take = Signal(), Signal()
        word = self._choice.build(m, "choice", take)
        chosen = Signal(self.group * self._shape.width)
        with m.Switch(word["turn"]):
            for n, source in enumerate(sources):
                with m.Case(n):
                    m.d.comb += [ready.eq(source.valid), source.ready.eq(ce)]
                    for lane in range(self.group):
                        at = lane * self._shape.width
                        wide = Signal(self._shape, name=f"code{n}_{lane}")
                        m.d.comb += wide.eq(source.payload.data[lane])
                        m.d.comb += chosen[at : at + self._shape.width].eq(wide)
        m.d.comb += take.eq(ce & ready)
        with m.If(ce):
            m.d.sync += inner.valid.eq(take)
        with m.If(take):
            m.d.sync += inner.payload.last.eq(word["last"])
            m.d.sync += inner.payload.data.as_value().eq(chosen)
        self._widen(m, inner)
        return m

    def _narrow(self, m: Module, n: int) -> Any:
        """Input ``n`` as beats of ``group`` codes."""
        port = getattr(self, self.names[n])
        if self.group == self._lanes:
            return port
        elements = self._runs[n] * self._repeats
        lo, hi = self._ranges[n]
        adapter = width_adapter(lo, hi, elements, self._lanes, self.group)
        m.submodules[f"narrow{n}"] = adapter
        wiring.connect(m, wiring.flipped(port), adapter.i)
        return adapter.o

    def _widen(self, m: Module, inner: Any) -> None:
        """``o`` from beats of ``group`` codes."""
        source = inner
        if self.group != self._lanes:
            elements = sum(self._runs) * self._repeats
            adapter = width_adapter(*self._out_range, elements, self.group, self._lanes)
            m.submodules.widen = adapter
            m.d.comb += [
                adapter.i.valid.eq(inner.valid),
                adapter.i.payload.eq(inner.payload),
                inner.ready.eq(adapter.i.ready),
            ]
            source = adapter.o
        m.d.comb += [
            self.o.valid.eq(source.valid),
            self.o.payload.eq(source.payload),
            source.ready.eq(self.o.ready),
        ]


class ConcatTiming(Stage):
    """Event model of :class:`Concat`: ``turns`` of a frame, ``sizes`` the inputs' elements."""

    def __init__(self, turns: np.ndarray, sizes: Sequence[int], lanes: int, group: int) -> None:
        self._turns = [int(t) for t in turns]
        self._sizes, self._lanes, self._group = sizes, lanes, group

    def processes(self) -> Iterable[Process]:
        core = _Core(self._turns, len(self._sizes))
        stages: list[Stage] = [core]
        for n, size in enumerate(self._sizes):
            before = adapter_timing(size, self._lanes, self._group)
            _chain_in(before, core, f"i{n}", getattr(self, f"i{n}"))
            stages += before
        after = adapter_timing(sum(self._sizes), self._group, self._lanes)
        for first, second in zip([core, *after], after, strict=False):
            link(first, second)
        (after[-1] if after else core).o = self.o
        return [p for stage in [*stages, *after] for p in stage.processes()]


def _chain_in(before: list[Stage], core: Stage, port: str, wire: Wire) -> None:
    """``wire`` through the stages ``before`` into ``port`` of ``core``."""
    for first, second in zip(before, before[1:], strict=False):
        link(first, second)
    if before:
        before[0].i = wire
        link(before[-1], core, into=port)
    else:
        setattr(core, port, wire)


class _Core(Stage):
    """A stalling pipeline of one register that reads the streams in turn."""

    def __init__(self, turns: list[int], inputs: int) -> None:
        self._turns, self._inputs = turns, inputs

    def processes(self) -> Iterable[Process]:
        clock = Clock(1, self.o)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock: Clock) -> Process:
        wires = [getattr(self, f"i{n}") for n in range(self._inputs)]
        while True:
            for turn in self._turns:
                wire = wires[turn]
                n = len(wire.taken.at)
                if len(wire.valid.at) <= n:
                    yield wire.valid, n
                issued = yield from clock.issue(wire.valid.at[n])
                wire.taken.put(issued)
                clock.emit()
