"""Streams of events and of spikes through the Amaranth simulator."""

import random
from dataclasses import dataclass, field

import numpy as np
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from codesign import spikes as aer
from codesign.hdl import timing
from tests.hdl import harness


@dataclass
class Trace:
    """Payloads that came out and the cycles of the transfers."""

    words: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    taps: list[list[int]] = field(default_factory=list)


def run(
    component,
    words,
    expected,
    *,
    stalls=(0.0, 0.0),
    seed=0,
    reset_at=None,
    timeout=100_000,
    taps=(),
    before=None,
):
    """Send payloads ``words``; collect ``expected`` of them. A reset sends them all again.

    ``taps``: streams inside, whose transfers are recorded as well, in ``Trace.taps``.
    ``before``: a testbench that runs first."""
    rng, trace, m = random.Random(seed), Trace(), Module()
    m.submodules.dut = component
    domain = ClockDomain("sync")
    m.domains += domain
    trace.taps = [[] for _ in taps]
    noise = 1 << len(component.i.payload.as_value())

    async def bench(ctx):
        if before is not None:
            await before(ctx)
        index, cycle, offering = 0, 0, False
        while len(trace.words) < expected or index < len(words):
            assert cycle <= timeout, f"{len(trace.words)} of {expected} beats in {cycle} cycles"
            resetting = cycle == reset_at
            ctx.set(domain.rst, resetting)
            if resetting:
                index, offering = 0, False
                trace.words.clear()
                for seen in trace.taps:
                    seen.clear()
            if not offering and index < len(words) and rng.random() >= stalls[0]:
                offering = True
            ctx.set(component.i.valid, offering and not resetting)
            word = words[index] if offering else rng.randrange(noise)
            ctx.set(component.i.payload.as_value(), word)
            ctx.set(component.o.ready, rng.random() >= stalls[1])
            if offering and not resetting and ctx.get(component.i.ready):
                trace.taken.append(cycle)
                index, offering = index + 1, False
            if not resetting and ctx.get(component.o.valid) and ctx.get(component.o.ready):
                trace.words.append(ctx.get(component.o.payload.as_value()))
                trace.given.append(cycle)
            for tap, seen in zip(taps, trace.taps, strict=True):
                if not resetting and ctx.get(tap.valid) and ctx.get(tap.ready):
                    seen.append(ctx.get(tap.payload.as_value()))
            await ctx.tick()
            cycle += 1

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return trace


def event_words(frames, layout, levels=1, signed=False) -> list[int]:
    """Payloads of the events of spikes [frames, steps, elements]; noise where nothing is meant."""
    rng = random.Random(7)
    fields = layout["data"].shape
    words = []
    for frame in frames:
        for address, count, end, last in aer.to_beats(aer.encode(frame, levels, signed)).tolist():
            data = {"address": address, "count": count, "step_end": end}
            if end:
                data["address"] = rng.randrange(1 << fields["address"].width)
            masks = {name: (1 << field.width) - 1 for name, field in fields}
            value = sum((data[name] & masks[name]) << field.offset for name, field in fields)
            words.append(value | last << layout["last"].offset)
    return words


def spikes_of(words, layout, frames, steps, elements, levels=1, signed=False) -> np.ndarray:
    """Spikes int64 [frames, steps, elements] of event payloads, checked by the reference."""
    fields, table = layout["data"].shape, []
    for word in words:
        row = {name: word >> field.offset & ((1 << field.width) - 1) for name, field in fields}
        row["last"] = word >> layout["last"].offset
        row.setdefault("count", 1)
        if signed and row["count"] >> fields["count"].width - 1:
            row["count"] -= 1 << fields["count"].width
        table.append([row["address"], row["count"], row["step_end"], row["last"]])
    table = np.array(table, np.int64).reshape(-1, 4)
    ends = np.flatnonzero(table[:, aer.aer.LAST]) + 1
    assert len(ends) == frames
    parts = np.split(table, ends)[:frames]
    return np.stack([aer.decode(aer.from_beats(p, steps, elements, levels, signed)) for p in parts])


def dense_words(frames, port) -> list[int]:
    """Payloads of codes [frames, elements] for a stream of lanes."""
    lanes, shape = harness.layout_of(port)
    return harness.to_beats(frames, lanes, shape.width, random.Random(3))


def dense_of(words, port, frames) -> np.ndarray:
    """Codes int64 [frames, elements] of payloads; ``last`` must stand where a frame ends."""
    lanes, shape = harness.layout_of(port)
    beats = len(words) // frames
    rows = [harness.from_beat(word, lanes, shape) for word in words]
    assert [last for _, last in rows] == [int(n % beats == beats - 1) for n in range(len(rows))]
    return np.array([codes for codes, _ in rows], np.int64).reshape(frames, -1)


def modelled(model, beats):
    """(taken, given) of an event model fed ``beats`` beats from the first cycle on."""
    return timing.drive(lambda: [model], beats, 1)
