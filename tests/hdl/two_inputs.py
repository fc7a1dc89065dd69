"""Drives a component with several inputs through one stream that carries them side by side."""

import random

import numpy as np
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from codesign.hdl.events import Sink, Source, link, simulate
from tests.hdl.harness import from_beat, layout_of, to_beats


def run_inputs(component, frames, out_elements, *, stall_in=0.0, stall_out=0.0, seed=0):
    """Send ``frames`` (one [F, elements] array an input); (outputs [F, out], taken, given).

    ``taken``: a list of cycles for each input.
    """
    rng = random.Random(seed)
    ports = [getattr(component, f"i{n}") for n in range(len(frames))]
    words = []
    for port, array in zip(ports, frames, strict=True):
        lanes, shape = layout_of(port)
        words.append(to_beats(array, lanes, shape.width, rng))
    lanes, shape = layout_of(component.o)
    beats = -(-out_elements // lanes)
    expected = beats * len(frames[0])
    received, given, taken = [], [], [[] for _ in ports]
    m = Module()
    m.domains += ClockDomain("sync")
    m.submodules.dut = component

    async def bench(ctx):
        offering, cycle = [False] * len(ports), 0
        while len(received) < expected:
            assert cycle < 20_000, f"{len(received)} of {expected} beats"
            for n, port in enumerate(ports):
                if not offering[n] and len(taken[n]) < len(words[n]):
                    offering[n] = rng.random() >= stall_in
                ctx.set(port.valid, offering[n])
                word = words[n][len(taken[n])] if offering[n] else rng.randrange(2)
                ctx.set(port.payload.as_value(), word)
            ctx.set(component.o.ready, rng.random() >= stall_out)
            for n, port in enumerate(ports):
                if offering[n] and ctx.get(port.ready):
                    taken[n].append(cycle)
                    offering[n] = False
            if ctx.get(component.o.valid) and ctx.get(component.o.ready):
                received.append(ctx.get(component.o.payload.as_value()))
                given.append(cycle)
            await ctx.tick()
            cycle += 1

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    codes = []
    for position, word in enumerate(received):
        lane_codes, last = from_beat(word, lanes, shape)
        assert last == (position % beats == beats - 1), f"last wrong at beat {position}"
        codes.append(lane_codes)
    shaped = np.array(codes, dtype=np.int64).reshape(len(frames[0]), -1)
    return shaped[:, :out_elements], taken, given


def modelled(stage, beats):
    """(taken of each input, given) of ``stage`` fed ``beats[n]`` beats from the first cycle."""
    sources = [Source(count) for count in beats]
    sink = Sink()
    for n, source in enumerate(sources):
        link(source, stage, into=f"i{n}")
    link(stage, sink)
    simulate([*sources, stage, sink])
    return [s.o.taken.at for s in sources], sink.i.taken.at
