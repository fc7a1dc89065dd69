"""Drives a neuron array with random idle cycles, sees every state word, and predicts each cycle."""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from codesign.hdl.events import Process, Stage, link, simulate
from tests.hdl.harness import from_beat, layout_of


@dataclass
class Seen:
    """Outputs and states int64 [frames, steps, elements], and the cycles of the transfers."""

    out: np.ndarray
    states: dict[str, np.ndarray]
    taken: list[list[int]]
    given: list[int]


class Beats:
    """A stream's beats as they are collected."""

    def __init__(self, port, array):
        self.lanes, self.shape = layout_of(port)
        self.beats = array.beats * array.steps
        self.codes: list[list[int]] = []

    def add(self, word: int) -> None:
        codes, last = from_beat(word, self.lanes, self.shape)
        assert last == (len(self.codes) % self.beats == self.beats - 1), "last in the wrong beat"
        self.codes.append(codes)

    def frames(self, array) -> np.ndarray:
        return np.array(self.codes, dtype=np.int64).reshape(-1, array.steps, array.elements)


def words_of(port, frames: np.ndarray, lanes: int) -> list[int]:
    """Payloads of [F, ...] codes; ``last`` is noise: components do not trust it."""
    width = layout_of(port)[1].width
    rows = frames.reshape(-1, lanes) & ((1 << width) - 1)
    return [sum(int(c) << (j * width) for j, c in enumerate(row)) for row in rows]


def run(array, inputs, *, gaps=None, ready=None, reset_at=None) -> Seen:
    """``inputs``: an int64 [frames, steps, elements] array for each port. ``gaps``: idle cycles
    before each beat; ``ready``: whether the sink is ready in each cycle, then always.
    ``reset_at``: a cycle of reset, after which everything is sent and collected again."""
    ports = [getattr(array, p) for p in array.inputs.values()]
    words = [words_of(p, x, array.lanes) for p, x in zip(ports, inputs, strict=True)]
    gaps = gaps or [[0] * len(words[0])] * len(words)
    probes = {s.name: getattr(array, f"state_{s.name}") for s in array.model.states}
    domain = ClockDomain("sync")
    seen = Seen(np.zeros(0), {}, [], [])
    collected: dict[str, Beats] = {}

    async def bench(ctx):
        place, wait = [0] * len(ports), [g[0] for g in gaps]

        def restart():
            place[:], wait[:] = [0] * len(ports), [g[0] for g in gaps]
            seen.taken[:], seen.given[:] = [[] for _ in ports], []
            collected.clear()
            collected.update({n: Beats(p, array) for n, p in {**probes, "": array.o}.items()})

        restart()
        cycle = 0
        while len(seen.given) < len(words[0]):
            assert cycle < 50_000
            resetting = cycle == reset_at
            ctx.set(domain.rst, resetting)
            if resetting:
                restart()
            for n, port in enumerate(ports):
                offers = wait[n] == 0 and place[n] < len(words[n]) and not resetting
                ctx.set(port.valid, offers)
                ctx.set(port.payload.as_value(), words[n][place[n]] if offers else cycle * 7919)
            ctx.set(array.o.ready, ready is None or cycle >= len(ready) or ready[cycle])
            for n, port in enumerate(ports):
                if ctx.get(port.valid) and ctx.get(port.ready):
                    seen.taken[n].append(cycle)
                    place[n] += 1
                    wait[n] = gaps[n][place[n]] if place[n] < len(words[n]) else 0
                elif wait[n]:
                    wait[n] -= 1
            for name, probe in probes.items():
                if ctx.get(probe.valid) and not resetting:
                    collected[name].add(ctx.get(probe.payload.as_value()))
            if ctx.get(array.o.valid) and ctx.get(array.o.ready) and not resetting:
                collected[""].add(ctx.get(array.o.payload.as_value()))
                seen.given.append(cycle)
            await ctx.tick()
            cycle += 1

    m = Module()
    m.domains += domain
    m.submodules.dut = array
    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    frames = {name: beats.frames(array) for name, beats in collected.items()}
    seen.out = frames.pop("")
    seen.states = frames
    return seen


class GapSource(Stage):
    """Each beat a number of idle cycles after the one before was taken."""

    def __init__(self, gaps: list[int]) -> None:
        self._gaps = gaps

    def processes(self):
        yield self._run()

    def _run(self) -> Process:
        free = 0
        for n, gap in enumerate(self._gaps):
            self.o.valid.put(free + gap)
            if len(self.o.taken.at) <= n:
                yield self.o.taken, n
            free = self.o.taken.at[n] + 1


class PatternSink(Stage):
    """Ready in the cycles of a pattern, then always."""

    def __init__(self, ready: list[bool]) -> None:
        self._ready = ready

    def processes(self):
        yield self._run()

    def _run(self) -> Process:
        n, t = 0, -1
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            t = max(self.i.valid.at[n], t + 1)
            while t < len(self._ready) and not self._ready[t]:
                t += 1
            self.i.taken.put(t)
            n += 1


def predicted(array, gaps, ready) -> tuple[list[list[int]], list[int]]:
    """(taken of each input, given) by the event model."""
    stage, sink = array.timing(), PatternSink(ready)
    sources = [GapSource(g) for g in gaps]
    for source, port in zip(sources, array.inputs.values(), strict=True):
        link(source, stage, into=port)
    link(stage, sink)
    simulate([*sources, stage, sink])
    return [s.o.taken.at for s in sources], sink.i.taken.at


def expected(array, inputs) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What the model says: states begin anew in each frame unless they persist."""
    if not array.persistent:
        return array.model.run(*inputs)
    shape = inputs[0].shape
    joined = [x.reshape(1, -1, array.elements) for x in inputs]
    out, states = array.model.run(*joined)
    return out.reshape(shape), {n: s.reshape(shape) for n, s in states.items()}


def check(array, rng, frames=3, stalls=True):
    """The array under random idle cycles: every output, every state word, every cycle."""
    shape = (frames, array.steps, array.elements)
    inputs = [rng.integers(lo, hi + 1, shape) for lo, hi in array.ranges.values()]
    beats = frames * array.steps * array.beats
    gaps = [rng.choice([0, 0, 1, 3], beats).tolist() if stalls else [0] * beats for _ in inputs]
    ready = (rng.random(3 * beats) < 0.6).tolist() if stalls else []
    seen = run(array, inputs, gaps=gaps, ready=ready)
    out, states = expected(array, inputs)
    for name, trace in states.items():
        assert np.array_equal(seen.states[name], trace), f"state {name}"
    assert np.array_equal(seen.out, out)
    taken, given = predicted(array, gaps, ready)
    assert (taken, given) == (seen.taken, seen.given), "cycles"
