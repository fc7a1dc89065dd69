"""Short-term plasticity in hardware: every spike, membrane and synapse of every step."""

import random
from itertools import product

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.learning import ShortTermDense
from codesign.hdl.learning.short_term import lifetime
from codesign.learning import ShortTerm
from codesign.neurons import LEAKS, Leak, Word
from tests.hdl import spike_harness as bench
from tests.hdl.test_learning import codes
from tests.learning.examples import CLAMP, lif
from tests.learning.spec import amounts, plastic

FEW = settings(derandomize=True, deadline=None, database=None, max_examples=8)


def run(part, events, outs, stalls, seed):
    """(spike payloads, membranes, rows of F) of a run."""
    rng, m = random.Random(seed), Module()
    m.submodules.dut = part
    words, v, rows = [], [], []

    async def drive(ctx):
        at, offered, cycle, quiet = 0, False, 0, 0
        while quiet < 60 or at < len(events) or len(words) < outs:
            assert cycle < 50_000, f"{at} events, {len(words)} outputs"
            cycle, quiet = cycle + 1, quiet + 1
            offered = offered or (at < len(events) and rng.random() >= stalls[0])
            ctx.set(part.i.valid, offered)
            ctx.set(part.i.payload.as_value(), events[at] if offered else 0)
            ctx.set(part.o.ready, rng.random() >= stalls[1])
            if offered and ctx.get(part.i.ready):
                at, offered, quiet = at + 1, False, 0
            if ctx.get(part.o.valid) and ctx.get(part.o.ready):
                words.append(ctx.get(part.o.payload.as_value()))
                quiet = 0
            if ctx.get(part.state_v.valid):
                v.append((len(rows), ctx.get(part.state_v.payload.data.as_value())))
            if ctx.get(part.probe_weights.valid):
                p = part.probe_weights
                rows.append((ctx.get(p.row), ctx.get(p.data)))
                quiet = 0
            await ctx.tick()

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.run()
    return words, v, rows


@FEW
@given(
    seed=st.integers(0, 100),
    inputs=st.integers(1, 7),
    shape=st.sampled_from([(1, 1), (4, 4), (4, 2), (3, 1)]),
    steps=st.integers(1, 7),
    leak=st.sampled_from(
        [Leak("mul_trunc0", np.array([5]), 3), Leak("linear", np.array([2])),
         Leak("mul_floor", np.array([3]), 2), Leak("none", np.array([0]))]
    ),
    each=st.booleans(),
    stalls=st.sampled_from([(0.0, 0.0), (0.4, 0.4)]),
)  # fmt: skip
def test_every_word_of_every_step(seed, inputs, shape, steps, leak, each, stalls):
    outputs, lanes = shape
    rng = np.random.default_rng(seed)
    layer = ShortTerm(
        lif(4), rng.integers(-8, 24, (inputs, outputs)), Word(6, 4, True, CLAMP), leak,
        rng.integers(-9, 14, outputs if each else 1),
    )  # fmt: skip
    x = (rng.random((3, steps, inputs)) < 0.4).astype(np.int64)
    record = layer.run(x)
    part = ShortTermDense(layer, steps=steps, lanes=lanes)
    events = bench.event_words(x, part.i.payload.shape())
    groups, total = outputs // lanes, 3 * steps
    words, v, rows = run(part, events, total * groups, stalls, seed)
    spikes = bench.dense_of(words, part.o, 3).reshape(total, -1)
    assert (spikes == np.array(record.spikes)).all()
    seen = [codes(word, layer.neuron.word.bits, lanes, True) for _, word in v]
    assert np.array(seen).reshape(total, -1).tolist() == [s["v"].tolist() for s in record.states]
    # F as the memory holds it at the end of each step; a frame's last step clears it.
    f, starts = np.zeros((inputs, outputs), np.int64), [n for n, _ in v][groups::groups]
    for t, (begin, end) in enumerate(zip([0, *starts], [*starts, len(rows)], strict=True)):
        for index, data in rows[begin:end]:
            group, j = divmod(index, inputs)
            f[j, group * lanes : (group + 1) * lanes] = codes(data, 6, lanes, True)
        expected = record.weights[t] if t % steps < steps - 1 else np.zeros_like(f)
        assert (f == expected).all(), t


def test_a_synapse_is_visited_only_while_it_remembers():
    layer = ShortTerm(
        lif(4), np.full((5, 2), 20), Word(6, 4, True, CLAMP),
        Leak("linear", np.array([8])), np.array([8]),
    )  # fmt: skip
    assert lifetime(layer) == 4
    x = np.zeros((1, 12, 5), int)
    x[0, 1, 3] = 1
    part = ShortTermDense(layer, steps=12, lanes=1)
    _, _, rows = run(part, bench.event_words(x, part.i.payload.shape()), 24, (0.0, 0.0), 0)
    assert [row for row, _ in rows] == [3, 8] * 5  # its step, and four until all is gone


@pytest.mark.parametrize("kind", LEAKS)
def test_nothing_is_left_of_any_f_after_its_lifetime(kind):
    """And something is left of one a step before; of a leak that never ends, for ever."""
    for word, leak in product((Word(5, 4, True, CLAMP), Word(4, 4, True, "sat_narrow")),
                              amounts(kind)):  # fmt: skip
        layer = ShortTerm(lif(4), np.ones((1, 1), int), word, leak, np.array([1]))
        left = [np.arange(word.lo, word.hi + 1)]
        while (now := plastic(word, leak, left[-1], 0, 0, 0)).tolist() != left[-1].tolist():
            left.append(now)
        ends = lifetime(layer)
        assert (ends is None) == left[-1].any()
        if ends is not None:
            assert ends == len(left) - 1 and not left[ends].any() and left[ends - 1].any()


def test_weights_are_written_and_read_over_the_load_port():
    """Other weights of the same range, in the order of the rows; then the circuit computes with
    them, and they are read back."""
    rng = np.random.default_rng(2)
    inputs, outputs, lanes, steps = 5, 4, 2, 4
    first, other = (rng.integers(-8, 8, (inputs, outputs)) for _ in range(2))
    first[0, 0], first[0, 1] = -8, 7  # the range is that of the first weights
    layer = ShortTerm(
        lif(2), first, Word(5, 2, True, CLAMP), Leak("linear", np.array([1])), np.array([3])
    )
    part = ShortTermDense(layer, steps=steps, lanes=lanes)
    written = ShortTerm(lif(2), other, layer.word, layer.leak, layer.gain)
    x = (rng.random((3, steps, inputs)) < 0.5).astype(np.int64)
    record = written.run(x)
    rows = other.reshape(inputs, -1, lanes).transpose(1, 0, 2).reshape(-1, lanes)
    words = [sum((int(c) & 15) << 4 * n for n, c in enumerate(row)) for row in rows]
    events, got, read = bench.event_words(x, part.i.payload.shape()), [], []

    async def access(ctx, address, data=None):
        for _ in range(inputs * outputs + 8):  # until the memories are cleared after reset
            if not ctx.get(part.busy):
                break
            await ctx.tick()
        ctx.set(part.load.address, address)
        ctx.set(part.load.write, data is not None)
        ctx.set(part.load.data, data or 0)
        ctx.set(part.load.request, 1)
        while not ctx.get(part.load.ack):
            await ctx.tick()
        assert not ctx.get(part.load.error)
        found = ctx.get(part.load.read)
        ctx.set(part.load.request, 0)
        await ctx.tick()
        return found

    async def drive(ctx):
        for n, word in enumerate(words):
            await access(ctx, n, word)
        at, quiet = 0, 0
        ctx.set(part.o.ready, 1)
        while at < len(events) or quiet < 80:
            ctx.set(part.i.valid, at < len(events))
            ctx.set(part.i.payload.as_value(), events[min(at, len(events) - 1)])
            quiet += 1
            if at < len(events) and ctx.get(part.i.ready):
                at, quiet = at + 1, 0
            if ctx.get(part.o.valid):
                got.append(ctx.get(part.o.payload.as_value()))
            await ctx.tick()
        for n in range(len(words)):
            read.append(await access(ctx, n))

    m = Module()
    m.submodules.dut = part
    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.run()
    assert [w & 255 for w in read] == words
    spikes = bench.dense_of(got, part.o, 3).reshape(3 * steps, -1)
    assert (spikes == np.array(record.spikes)).all()
    assert (spikes != np.array(layer.run(x).spikes)).any()


def test_sizes_are_checked():
    layer = ShortTerm(
        lif(4), np.ones((2, 3), int), Word(6, 4, True, CLAMP), Leak("none", np.array([0])),
        np.array([1]),
    )  # fmt: skip
    assert lifetime(layer) is None
    with pytest.raises(ValueError, match="2 lanes do not divide 3 outputs"):
        ShortTermDense(layer, steps=2, lanes=2)
