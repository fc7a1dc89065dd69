"""Learning in hardware: every spike, state, trace and weight of whole training runs."""

import random
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl import timing
from codesign.hdl.learning import LearningDense
from codesign.hdl.spikes.dense import EventDense
from codesign.learning import LearningLayer
from codesign.neurons import Leak
from tests.hdl import spike_harness as bench
from tests.learning.examples import digits, digits_net, lif, tess

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


def build(seed, inputs, outputs, lanes, steps, rule, theta=None, rate=0.4, frames=3, timing="next"):
    """(layer, part, frames, signals) of random numbers."""
    rng = np.random.default_rng(seed)
    frac = rule.weight.frac
    layer = LearningLayer(lif(frac, theta, reset_timing=timing), rule, inputs, outputs)
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
    timing=st.sampled_from(["next", "same"]),
)  # fmt: skip
def test_every_word_of_a_training_run(
    seed, inputs, shape, steps, rounding, post_shift, leak, stalls, each, timing
):
    outputs, lanes = shape
    rule = tess(4, 1, rounding=rounding, post_shift=post_shift, pre_leak=leak, post_leak=leak)
    theta = np.random.default_rng(seed).integers(8, 24, outputs) if each else None
    layer, part, x, m = build(seed, inputs, outputs, lanes, steps, rule, theta, timing=timing)
    end, record = layer.run(part.initial, x, m)
    seen = run(part, *payloads(part, x, m), stalls=stalls, seed=seed)
    compare(layer, part, seen, record, x)


@pytest.mark.parametrize(("outputs", "lanes"), [(4, 4), (4, 1), (6, 2)])
def test_cycles_of_a_step_are_as_modelled(outputs, lanes):
    """Work is for events, and for inputs with a trace; nothing else grows with the layer."""
    layer, part, x, m = build(3, 7, outputs, lanes, 6, tess(4, 1), frames=2)
    _, record = layer.run(part.initial, x, m)
    seen = run(part, *payloads(part, x, m))
    spikes, steps = x.reshape(12, 7), []
    before = np.zeros(7, bool)
    for t in range(12):
        active = int((before | (spikes[t] > 0)).sum())
        g, h = layer.rule.factors(record.signal[t], record.psi[t], record.post[t])
        steps.append(part.step_cycles(int(spikes[t].sum()), active, bool(g.any() or h.any())))
        before = (record.pre[t] > 0) & (t % 6 != 5)
    ends = [seen.taken[n] for n in np.cumsum(spikes.sum(axis=1) + 1) - 1]
    # From one end of a step to the next: this step's learning, then the next one's events.
    events = spikes.sum(axis=1) * part.groups
    expected = [steps[t] - events[t] + events[t + 1] for t in range(11)]
    assert np.diff(ends).tolist() == expected


def test_frames_that_do_not_learn_cost_nothing_more():
    """With learning off events and outputs pass as through the layer that cannot learn."""
    layer, part, x, m = build(5, 8, 6, 3, 5, tess(4, 1))
    plain = EventDense(part.initial, steps=5, lanes=3, slice=3, loadable=(-128, 127))
    events, _, outs = payloads(part, x, m)
    seen = run(part, events, [], outs, learn=False)
    model = [plain.timing(x), part.neurons.timing()]
    taken, given = timing.drive(lambda: model, len(events), 1)
    start = seen.taken[0] - taken[0]  # the traces are cleared after reset
    assert [t - start for t in seen.taken] == taken and [t - start for t in seen.given] == given
    assert not seen.rows and not seen.pre
    current = np.array(x) @ part.initial
    spikes, _ = layer.neuron.run(current)
    assert (bench.dense_of(seen.words, part.o, 3) == spikes.reshape(3, -1)).all()


def test_frames_learn_or_not_as_they_are_told():
    """Every second frame learns; those between see the weights it left."""
    layer, part, x, m = build(6, 8, 4, 2, 3, tess(4, 1), frames=6)
    events, _, outs = payloads(part, x, m)
    signals = bench.dense_words(m[::2].reshape(3, -1), part.signal)
    first = np.cumsum([0, *(x.sum(axis=(1, 2)) + 3)])  # beats before each frame
    seen = run(
        part, events, signals, outs, stalls=(0.2, 0.2, 0.2),
        learn=lambda taken: int(np.searchsorted(first, taken, side="right") - 1) % 2 == 0,
    )  # fmt: skip
    weights, expected = part.initial, []
    for n in range(6):
        spikes, _ = layer.neuron.run((x[n] @ weights)[None])
        if n % 2 == 0:
            weights, record = layer.run(weights, x[n : n + 1], m[n : n + 1])
            spikes = np.array(record.spikes)
        expected.append(spikes.reshape(-1))
    assert (bench.dense_of(seen.words, part.o, 6) == np.array(expected)).all()


@pytest.mark.parametrize(
    "fault",
    [
        {"pre_leak": Leak("mul_floor", np.array([5]), 3)},
        {"post_leak": Leak("mul_floor", np.array([3]), 3)},
        {"rounding": "floor"},
        {"rate_shift": 2},
        {"post_shift": 1},
    ],
)
def test_the_comparison_sees_another_rule(fault):
    """A bench that cannot fail is a defect."""
    layer, part, x, m = build(7, 6, 4, 2, 5, tess(4, 1), frames=2)
    seen = run(part, *payloads(part, x, m))
    compare(layer, part, seen, layer.run(part.initial, x, m)[1], x)
    other = LearningLayer(layer.neuron, replace(layer.rule, **fault), 6, 4)
    with pytest.raises(AssertionError):
        compare(other, part, seen, other.run(part.initial, x, m)[1], x)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [10, 2])
def test_every_word_of_a_training_run_on_digits(lanes):
    """16 frames of 8 steps: each spike, membrane, trace, factor and weight of each step."""
    net, (weights,) = digits_net()
    x, y = digits()
    x, y = x[:16], y[:16]
    _, (record,), _ = net.train([weights], x, y)
    part = LearningDense(net.layers[0], weights, steps=8, lanes=lanes)
    part.initial = weights
    m = np.array(record.signal).reshape(16, 8, 10)
    seen = run(part, *payloads(part, x, m), stalls=(0.1, 0.1, 0.1), timeout=1_000_000)
    compare(net.layers[0], part, seen, record, x)


def test_sizes_are_checked():
    layer = LearningLayer(lif(4), tess(4), 3, 4)
    with pytest.raises(ValueError, match="3 lanes do not divide 4 outputs"):
        LearningDense(layer, np.zeros((3, 4), int), steps=2, lanes=3)
    with pytest.raises(ValueError, match=r"weights are \[3, 4\]"):
        LearningDense(layer, np.zeros((4, 3), int), steps=2, lanes=2)
