"""Drives and monitors one circuit inside cocotb, fast: one coroutine, one await per cycle.

Signals are read and written through the raw simulator handles (``handle._handle``, cocotb 2.1):
the public ``.value`` builds a Logic object per read, several times the cost of the read itself.
Values read after a rising edge are those before it; writes take effect after it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from numpy.typing import NDArray

from codesign.manifest import Manifest
from codesign.sim import packing
from codesign.sim.axil import AxiLite
from codesign.sim.events import EventRecord, pack_events
from codesign.sim.record import Record, earliest

DEPOSIT = 0
Chance = Callable[[], bool]
Tapped = tuple[Callable[[], str], Callable[[], str], Callable[[], str], Callable[[str], None]]


def _read(handle: Any) -> Callable[[], str]:
    return handle._handle.get_signal_val_binstr


def _wire(dut: Any, path: list[str], name: str) -> Any:
    """The handle of a wire of an instance below the top."""
    for part in path:
        dut = dut[part]
    return dut[name]


def _write(handle: Any) -> Callable[[str], None]:
    put = handle._handle.set_signal_val_binstr
    return lambda digits: put(DEPOSIT, digits)


def always() -> bool:
    """A source that offers, or a sink that accepts, in every cycle."""
    return True


def bursts(rng: random.Random) -> Chance:
    """Segments of random length, each with its own probability of going on."""
    left, level = 0, 1.0

    def chance() -> bool:
        nonlocal left, level
        if left == 0:
            left, level = rng.randint(1, 64), rng.choice((1.0, 1.0, 0.75, 0.5, 0.5, 0.25, 0.1, 0))
        left -= 1
        return rng.random() < level

    return chance


def gaps(rng: random.Random, longest: int) -> Chance:
    """Mostly back to back, now and then a silence of up to ``longest`` cycles."""
    silent = 0

    def chance() -> bool:
        nonlocal silent
        if silent:
            silent -= 1
            return False
        if rng.random() < 0.2:
            silent = rng.randint(0, longest)
        return True

    return chance


@dataclass
class Run:
    """Cycles of one run: of each input beat taken and each output beat delivered."""

    taken: list[int] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)
    cycles: int = 0


def _always() -> str:
    """Ready of a stream that never waits."""
    return "1"


class Circuit:
    """The device under test with its streams."""

    def __init__(self, dut: Any, manifest: Manifest, arrays: dict[str, NDArray]) -> None:
        self.manifest = manifest
        self._inputs = arrays["input"]
        self._edge = RisingEdge(dut.aclk)
        self._clock = Clock(dut.aclk, 10, unit="ns")
        self._reset, self._tdata = _write(dut.aresetn), _write(dut.s_axis_tdata)
        self._tvalid, self._tlast = _write(dut.s_axis_tvalid), _write(dut.s_axis_tlast)
        self._taken, self._ready = _read(dut.s_axis_tready), _write(dut.m_axis_tready)
        self._valid = _read(dut.m_axis_tvalid)
        self._data, self._last = _read(dut.m_axis_tdata), _read(dut.m_axis_tlast)
        ports = [*((t.port, True, t.ahead) for t in manifest.taps), (manifest.output, False, 0)]
        alike = not manifest.frames_depend
        self.records = [
            (EventRecord if p.events else Record)(p, arrays["=" + p.tensor], top, ahead, alike)
            for p, top, ahead in ports
        ]
        self._taps: list[Tapped] = [
            (
                _read(_wire(dut, tap.path, tap.wire("valid"))),
                _read(_wire(dut, tap.path, tap.wire("ready"))) if tap.waits else _always,
                _read(_wire(dut, tap.path, tap.wire("payload"))),
                record.seen.append,
            )
            for tap, record in zip(manifest.taps, self.records, strict=False)
        ]
        self._checked = 0  # frames that were compared
        self._axil = AxiLite(dut, self._edge) if manifest.has_bus else None
        slowest = manifest.activity.dense_ii if manifest.activity else manifest.ii
        self.watchdog = 10_000 + 4 * (manifest.latency + slowest)

    async def start(self) -> None:
        """Start the clock and reset."""
        self._tdata("0" * self.manifest.input.data_bits)
        if self._axil is not None:
            self._axil.silent()
        self._clock.start()
        await self.reset(4)

    async def load(self, writes: Sequence[tuple[int, int]]) -> None:
        """Write (byte address, data) over AXI4-Lite and read everything back."""
        assert self._axil is not None, "this design has no registers"
        await self._axil.load(writes)

    async def reset(self, cycles: int) -> None:
        """Hold reset; source and sink silent. What was recorded is forgotten."""
        self._tvalid("0")
        self._tlast("0")
        self._ready("0")
        self._reset("0")
        for _ in range(cycles + 1):
            await self._edge
        self._reset("1")
        for record in self.records:
            record.seen.clear()
            record.lasts.clear()

    def forget(self) -> None:
        """Empty the records, but for beats of a frame that a loop has begun ahead of its input."""
        for record in self.records:
            done = self._checked * record.port.beats if record.ahead else len(record.seen)
            del record.seen[:done]
            record.lasts.clear()

    def check(self, frames: NDArray, against: str) -> None:
        """Compare every boundary of ``frames``; ``AssertionError`` with the first mismatch."""
        self._checked = len(frames)
        first = earliest(self.records, frames, against)
        assert first is None, str(first)

    async def run(
        self,
        frames: NDArray,
        offer: Chance = always,
        accept: Chance = always,
        *,
        stop_after: int | None = None,
    ) -> Run:
        """Send ``frames`` and receive as many, or stop after some cycles.

        Fails when nothing moves for long, or when the output breaks the stream protocol.
        """
        source, lasts = self._beats(frames)
        goal = len(frames) * self.manifest.output.beats
        return await self._loop(source, lasts, goal, offer, accept, stop_after)

    def _beats(self, frames: NDArray) -> tuple[list[str], list[str]]:
        """(tdata, tlast) of every input beat, as binary digits."""
        port = self.manifest.input
        if port.events is not None:
            packed, ends = pack_events(self._inputs[frames], port)
            lasts = np.full(len(packed), "0")
            lasts[ends - 1] = "1"
            return packing.as_bitstrings(packed, port.data_bits), lasts.tolist()
        unique, back = np.unique(frames, return_inverse=True)
        beats = packing.pack(self._inputs[unique], port)[back]
        source = packing.as_bitstrings(beats, port.data_bits)
        return source, (["0"] * (port.beats - 1) + ["1"]) * len(frames)

    async def _loop(
        self,
        source: list[str],
        ends: list[str],
        goal: int,
        offer: Chance,
        accept: Chance,
        stop_after: int | None,
    ) -> Run:
        """One iteration per clock cycle; everything looked up beforehand."""
        run, output, edge = Run(), self.records[-1], self._edge
        taken, valid, data, last = self._taken, self._valid, self._data, self._last
        taps, seen, lasts = self._taps, output.seen, output.lasts
        free = accept is always
        sent = cycle = quiet = 0
        offering = ready = False
        held: tuple[str, str] | None = None
        end = len(source)
        while len(seen) < goal and cycle != stop_after:
            if not offering:
                offering = sent < end and offer()
                self._tvalid("1" if offering else "0")
                if offering:
                    self._tdata(source[sent])
                    self._tlast(ends[sent])
            if not (free and ready):
                ready = accept()
                self._ready("1" if ready else "0")
            await edge
            quiet += 1
            if offering and taken() == "1":
                run.taken.append(cycle)
                sent, quiet, offering = sent + 1, 0, False
            for tap_valid, tap_ready, tap_payload, keep in taps:
                if tap_valid() == "1" and tap_ready() == "1":
                    keep(tap_payload())
            if valid() == "1":
                beat = (data(), last())
                assert held is None or held == beat, self._protocol("data changed", cycle)
                held = beat
                if ready:
                    held, quiet = None, 0
                    seen.append(beat[0])
                    lasts.append(beat[1])
                    run.delivered.append(cycle)
            else:
                assert held is None, self._protocol("tvalid dropped", cycle)
            cycle += 1
            assert quiet < self.watchdog, self._stuck(sent, goal)
        self._tvalid("0")
        run.cycles = cycle
        return run

    async def drain(self, cycles: int) -> None:
        """Stay ready for some cycles: a frame too many would show up in the records."""
        await self._loop([], [], 1 << 60, always, always, cycles)

    def _protocol(self, what: str, cycle: int) -> str:
        frame, beat = divmod(len(self.records[-1].seen), self.manifest.output.beats)
        return (
            f"m_axis: {what} while waiting for tready (frame {frame}, beat {beat}, cycle {cycle})"
        )

    def _stuck(self, sent: int, goal: int) -> str:
        names = [".".join(t.path) for t in self.manifest.taps]
        counts = [f"{n} {len(r.seen)}" for n, r in zip(names, self.records, strict=False)]
        return (
            f"the circuit hangs: nothing moved for {self.watchdog} cycles; beats taken {sent}, "
            f"{', '.join(counts)}, delivered {len(self.records[-1].seen)} of {goal}"
        )
