"""Learning in hardware: every spike, state, trace and weight of whole training runs."""

import random
from dataclasses import dataclass, field

import numpy as np
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.learning import LearningDense
from codesign.learning import LearningLayer
from codesign.neurons import Leak
from tests.hdl import spike_harness as bench
from tests.learning.examples import lif, tess

FEW = settings(derandomize=True, deadline=None, database=None, max_examples=6)


@dataclass
class Seen:
    """What a run showed: lists in the order of time."""

    taken: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    pre: list[tuple[int, int]] = field(default_factory=list)
    post: list[tuple[int, int, int]] = field(default_factory=list)
    rows: list[tuple[int, int]] = field(default_factory=list)
    v: list[int] = field(default_factory=list)
    marks: list[tuple[int, int]] = field(default_factory=list)


def run(part, events, signals, outs, *, stalls=(0.0, 0.0, 0.0), seed=0, learn=True, timeout=50_000):
    """Sends events and signal payloads; ``outs`` beats of spikes are awaited."""
    rng, seen, m = random.Random(seed), Seen(), Module()
    m.submodules.dut = part
    m.domains += ClockDomain("sync")

    async def drive(ctx):
        at, sent, cycle = 0, 0, 0
        offered = [False, False]
        quiet = 0
        while quiet < 60 or len(seen.words) < outs or at < len(events):
            assert cycle < timeout, f"{at} events, {sent} signals, {len(seen.words)} outputs"
            offered[0] = offered[0] or (at < len(events) and rng.random() >= stalls[0])
            offered[1] = offered[1] or (sent < len(signals) and rng.random() >= stalls[1])
            ctx.set(part.learn, int(learn(len(seen.taken)) if callable(learn) else learn))
            ctx.set(part.i.valid, offered[0])
            ctx.set(part.i.payload.as_value(), events[at] if offered[0] else rng.getrandbits(4))
            ctx.set(part.signal.valid, offered[1])
            ctx.set(part.signal.payload.as_value(), signals[sent] if offered[1] else 0)
            ctx.set(part.o.ready, rng.random() >= stalls[2])
            quiet += 1
            if offered[0] and ctx.get(part.i.ready):
                seen.taken.append(cycle)
                at, offered[0], quiet = at + 1, False, 0
            if offered[1] and ctx.get(part.signal.ready):
                sent, offered[1], quiet = sent + 1, False, 0
            if ctx.get(part.o.valid) and ctx.get(part.o.ready):
                seen.words.append(ctx.get(part.o.payload.as_value()))
                seen.given.append(cycle)
                quiet = 0
            if ctx.get(part.state_v.valid):
                seen.v.append(ctx.get(part.state_v.payload.data.as_value()))
            if ctx.get(part.probe_pre.valid):
                seen.pre.append((ctx.get(part.probe_pre.input), ctx.get(part.probe_pre.trace)))
                quiet = 0
            if ctx.get(part.probe_post.valid):
                p = part.probe_post
                seen.post.append((ctx.get(p.group), ctx.get(p.psi), ctx.get(p.post)))
            if ctx.get(part.probe_weights.valid):
                p = part.probe_weights
                seen.rows.append((ctx.get(p.row), ctx.get(p.data)))
                quiet = 0
            await ctx.tick()
            cycle += 1

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.run()
    return seen


def codes(word, bits, lanes, signed):
    """Lanes of a packed word."""
    found = [word >> (n * bits) & ((1 << bits) - 1) for n in range(lanes)]
    return [c - (1 << bits) if signed and c >> (bits - 1) else c for c in found]


def compare(layer, part, seen, record, frames):
    """Every word of ``record`` in the order of the hardware."""
    lanes, groups = part.lanes, part.groups
    total, steps = frames.shape[0] * frames.shape[1], frames.shape[1]
    spikes = bench.dense_of(seen.words, part.o, len(frames)).reshape(total, -1)
    assert (spikes == np.array(record.spikes)).all()
    bits = layer.neuron.word.bits
    v = [codes(word, bits, lanes, True) for word in seen.v]
    assert np.array(v).reshape(total, -1).tolist() == [s["v"].tolist() for s in record.states]
    psi_bits, post_bits = layer.rule.psi.word.bits, layer.rule.post.bits
    kept, at, row = {}, 0, 0
    weights = None
    for t in range(total):
        for g in range(groups):
            group, psi, post = seen.post[t * groups + g]
            own = slice(g * lanes, (g + 1) * lanes)
            assert group == g
            assert codes(psi, psi_bits, lanes, False) == record.psi[t][own].tolist()
            assert codes(post, post_bits, lanes, False) == record.post[t][own].tolist()
        final = t % steps == steps - 1
        active = {int(j) for j in np.flatnonzero(frames.reshape(total, -1)[t])} | set(kept)
        listed = seen.pre[at : at + len(active)]
        assert {j for j, _ in listed} == active
        at += len(active)
        expected = record.pre[t]
        assert all(c == (0 if final else expected[j]) for j, c in listed)
        assert all(expected[j] == 0 for j in range(layer.inputs) if j not in active)
        kept = {} if final else {j: c for j, c in listed if c}
        g, h = layer.rule.factors(record.signal[t], record.psi[t], record.post[t])
        before = weights if weights is not None else part.initial
        weights = before.copy()
        if g.any() or h.any():
            for index, data in seen.rows[row : row + len(active) * groups]:
                group, j = divmod(index, layer.inputs)
                weights[j, group * lanes : (group + 1) * lanes] = codes(
                    data, layer.rule.weight.bits, lanes, True
                )
            row += len(active) * groups
        assert (weights == record.weights[t]).all(), t
    assert (at, row) == (len(seen.pre), len(seen.rows))


def build(seed, inputs, outputs, lanes, steps, rule, theta=None, rate=0.4, frames=3):
    """(layer, part, frames, signals) of random numbers."""
    rng = np.random.default_rng(seed)
    frac = rule.weight.frac
    layer = LearningLayer(lif(frac, theta), rule, inputs, outputs)
    weights = rng.integers(-(1 << frac) // 2, 1 << frac, (inputs, outputs))
    part = LearningDense(layer, weights, steps=steps, lanes=lanes)
    part.initial = weights
    x = (rng.random((frames, steps, inputs)) < rate).astype(np.int64)
    m = rng.integers(-2, 3, (frames, steps, outputs)) * (rng.random((frames, steps, 1)) < 0.7)
    return layer, part, x, m


def payloads(part, x, m):
    """Events, signals and the number of output beats."""
    events = bench.event_words(x, part.i.payload.shape())
    signals = bench.dense_words(m.reshape(len(m), -1), part.signal)
    return events, signals, m.size // part.lanes


@FEW
@given(
    seed=st.integers(0, 100),
    inputs=st.integers(1, 9),
    shape=st.sampled_from([(1, 1), (4, 4), (4, 2), (6, 2), (3, 1)]),
    steps=st.integers(1, 4),
    rounding=st.sampled_from(["floor", "trunc0", "half_even"]),
    post_shift=st.sampled_from([None, 0, 2]),
    leak=st.sampled_from(
        [Leak("shift_floor", np.array([2])), Leak("mul_floor", np.array([5]), 3),
         Leak("linear", np.array([3])), Leak("shift_min1", np.array([1]))]
    ),
    stalls=st.sampled_from([(0.0, 0.0, 0.0), (0.4, 0.4, 0.0), (0.0, 0.0, 0.6), (0.3, 0.3, 0.3)]),
    each=st.booleans(),
)  # fmt: skip
def test_every_word_of_a_training_run(
    seed, inputs, shape, steps, rounding, post_shift, leak, stalls, each
):
    outputs, lanes = shape
    rule = tess(4, 1, rounding=rounding, post_shift=post_shift, pre_leak=leak, post_leak=leak)
    theta = np.random.default_rng(seed).integers(8, 24, outputs) if each else None
    layer, part, x, m = build(seed, inputs, outputs, lanes, steps, rule, theta)
    end, record = layer.run(part.initial, x, m)
    seen = run(part, *payloads(part, x, m), stalls=stalls, seed=seed)
    compare(layer, part, seen, record, x)
