"""Drives a component's ``i`` stream and reads its ``o`` stream in the Amaranth simulator."""

import random
from dataclasses import dataclass, field

import numpy as np
from amaranth.hdl import Module
from amaranth.sim import Simulator


@dataclass
class Trace:
    """Output frames (int64 [frames, elements]) and the cycles of the transfers."""

    frames: np.ndarray
    taken: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)


def to_beats(frames: np.ndarray, lanes: int, width: int, rng: random.Random) -> list[int]:
    """Payload integers, row-major, ``last`` on top; padding lanes carry noise."""
    mask = (1 << width) - 1
    words = []
    for frame in np.asarray(frames):
        codes = [int(c) & mask for c in frame]
        count = -(-len(codes) // lanes)
        codes += [rng.randrange(1 << width) for _ in range(count * lanes - len(codes))]
        for b in range(count):
            word = sum(c << (j * width) for j, c in enumerate(codes[b * lanes :][:lanes]))
            words.append(word | (int(b == count - 1) << (lanes * width)))
    return words


def from_beat(word: int, lanes: int, shape) -> tuple[list[int], int]:
    """(codes, last) of a payload integer."""
    codes = []
    for j in range(lanes):
        code = word >> (j * shape.width) & ((1 << shape.width) - 1)
        if shape.signed and code >> (shape.width - 1):
            code -= 1 << shape.width
        codes.append(code)
    return codes, word >> (lanes * shape.width)


def layout_of(port):
    """(lanes, element shape) of a stream's payload."""
    data = port.payload.shape()["data"].shape
    from amaranth.hdl import Shape

    return data.length, Shape.cast(data.elem_shape)


def run(
    component,
    frames: np.ndarray,
    out_elements: int,
    *,
    stall_in: float = 0.0,
    stall_out: float = 0.0,
    seed: int = 0,
    reset_at: int | None = None,
    timeout: int = 100_000,
    before=None,
) -> Trace:
    """Send ``frames`` [F, elements]; collect F frames of ``out_elements``.

    ``stall_*``: probability of an idle cycle at either side. ``reset_at``: a reset of one cycle
    in that cycle, after which every frame is sent again from the first one. ``before``: a
    testbench that runs first.
    """
    frames = np.asarray(frames)
    rng = random.Random(seed)
    in_lanes, in_shape = layout_of(component.i)
    out_lanes, out_shape = layout_of(component.o)
    words = to_beats(frames, in_lanes, in_shape.width, rng)
    out_beats = -(-out_elements // out_lanes)
    expected = out_beats * len(frames)
    received: list[int] = []
    trace = Trace(np.zeros(0))
    m = Module()
    m.submodules.dut = component
    from amaranth.hdl import ClockDomain

    domain = ClockDomain("sync")
    m.domains += domain

    async def source(ctx):
        if before is not None:
            await before(ctx)
        await bench(ctx)

    async def bench(ctx):
        index, cycle = 0, 0
        offering = False
        while len(received) < expected:
            if cycle > timeout:
                raise AssertionError(f"{len(received)} of {expected} beats in {cycle} cycles")
            resetting = cycle == reset_at
            ctx.set(domain.rst, resetting)
            if resetting:
                index, offering = 0, False
                received.clear()
            if not offering and index < len(words) and rng.random() >= stall_in:
                offering = True
            ctx.set(component.i.valid, offering and not resetting)
            word = words[index] if offering else rng.randrange(1 << (words[0].bit_length() or 1))
            ctx.set(component.i.payload.as_value(), word)
            ctx.set(component.o.ready, rng.random() >= stall_out)
            if offering and not resetting and ctx.get(component.i.ready):
                trace.taken.append(cycle)
                index, offering = index + 1, False
            if not resetting and ctx.get(component.o.valid) and ctx.get(component.o.ready):
                received.append(ctx.get(component.o.payload.as_value()))
                trace.given.append(cycle)
            await ctx.tick()
            cycle += 1

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(source)
    sim.run()
    codes = []
    for position, word in enumerate(received):
        lane_codes, last = from_beat(word, out_lanes, out_shape)
        assert last == (position % out_beats == out_beats - 1), f"last wrong at beat {position}"
        codes.append(lane_codes)
    shaped = np.array(codes, dtype=np.int64).reshape(len(frames), -1)
    trace.frames = shaped[:, :out_elements]
    return trace
