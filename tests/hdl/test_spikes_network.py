"""Event networks: every spike and every state word of every step, cycles as predicted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.argmax import ArgMax
from codesign.hdl.delay import Delay
from codesign.hdl.fifo import Fifo
from codesign.hdl.neurons import NeuronArray
from codesign.hdl.spikes.aer import event_layout
from codesign.hdl.spikes.conv import EventConv
from codesign.hdl.spikes.decode_bits import BitwiseDecoder
from codesign.hdl.spikes.decode_count import CountDecoder
from codesign.hdl.spikes.dense import EventDense
from codesign.hdl.spikes.encode_counts import CountEncoder
from codesign.hdl.spikes.encode_latency import LatencyEncoder
from codesign.hdl.spikes.network import EventNetwork
from codesign.hdl.spikes.pool import EventPool
from codesign.hdl.spikes.scan import SpikeScan
from codesign.neurons import Leak, Lif, Word
from tests.hdl import spike_harness as bench
from tests.hdl.test_spikes_streams import spikes

FEW = settings(derandomize=True, deadline=None, database=None, max_examples=5)
STALLS = st.sampled_from([(0.0, 0.0), (0.0, 0.0), (0.4, 0.0), (0.0, 0.6), (0.3, 0.3)])


def lif(theta, **choices):
    """A leaky neuron of 10 bits."""
    known = {
        "word": Word(10, 0, True, "sat_step"),
        "leak": Leak("shift_floor", [2]),
        "theta": [theta],
        "compare": "ge",
        "reset": "subtract",
        "reset_timing": "same",
        "reset_vs_leak": "after",
        "reset_vs_input": "before",
        "input_frac": 0,
        "rounding": "exact",
        "spike_levels": 1,
        "refractory": 0,
        "refractory_mode": "silent",
        "output": "spikes",
    }
    return Lif(**(known | choices))


def neurons(model, synapses, elements, steps):
    """The neurons behind a layer of synapses."""
    return NeuronArray(
        model,
        elements=elements,
        steps=steps,
        lanes=synapses.store.slice,
        persistent=False,
        ranges=[(synapses.lo, synapses.hi)],
    )


def dense_network(rng, inputs, steps, levels=1):
    w1, w2 = rng.integers(-4, 8, (inputs, 8)), rng.integers(-4, 8, (8, 6))
    fc1 = EventDense(w1, steps=steps, lanes=4, slice=2, levels=levels)
    fc2 = EventDense(w2, steps=steps, lanes=6, slice=3)
    return {
        "fc1": fc1,
        "lif1": neurons(lif(12), fc1, 8, steps),
        "scan1": SpikeScan(8, steps, 2),
        "queue": Fifo(event_layout(8), 4),
        "fc2": fc2,
        "lif2": neurons(lif(9, reset="zero", reset_timing="next", refractory=1), fc2, 6, steps),
        "count": CountDecoder(lo=0, hi=1, elements=6, steps=steps, lanes=3),
    }


def conv_network(rng, steps):
    w1, w2 = rng.integers(-3, 6, (3, 3, 1, 4)), rng.integers(-4, 6, (16, 3))
    conv = EventConv(w1, size=(4, 4), steps=steps, lanes=4, slice=4, padding=(1, 1, 1, 1))
    pool = EventPool(
        "or", channels=4, size=(4, 4), window=(2, 2), stride=(2, 2), steps=steps, lanes=4, slice=4
    )
    fc = EventDense(w2, steps=steps, lanes=3, slice=3)
    return {
        "encode": LatencyEncoder(bits=4, low=1, elements=16, steps=steps, lanes=4),
        "scan0": SpikeScan(16, steps, 4),
        "conv": conv,
        "lif1": neurons(lif(4), conv, 64, steps),
        "scan1": SpikeScan(64, steps, 4),
        "pool": pool,
        "scan2": SpikeScan(16, steps, 4),
        "fc": fc,
        "lif2": neurons(lif(6, output="membrane", reset="none"), fc, 3, steps),
    }


def check(parts, x, words, stalls):
    """Values of all parts, states of all neurons and, without stalls, cycles."""
    network = EventNetwork(parts)
    told = network.predict(x)
    frames, last = len(x), told.values[list(parts)[-1]].reshape(len(x), -1)
    layers = [(name, part) for name, part in parts.items() if isinstance(part, NeuronArray)]
    taps = [getattr(part, f"state_{s.name}") for _, part in layers for s in part.model.states]
    taps += [part.o for _, part in layers]
    trace = bench.run(network, words, len(told.given), stalls=stalls, taps=taps)
    assert (bench.dense_of(trace.words, network.o, frames) == last).all()
    seen = iter(zip(taps, trace.taps, strict=True))
    for name, part in layers:
        currents = told.values[list(parts)[list(parts).index(name) - 1]]
        _, states = part.model.run(currents)
        for state in part.model.states:
            tap, found = next(seen)
            found = bench.dense_of(found, tap, frames)
            assert (found == states[state.name].reshape(frames, -1)).all(), (name, state.name)
    for name, _ in layers:
        tap, found = next(seen)
        assert (bench.dense_of(found, tap, frames) == told.values[name].reshape(frames, -1)).all()
    if stalls == (0.0, 0.0):
        assert (trace.taken, trace.given) == (told.taken, told.given)
        assert told.cycles.sum() == trace.given[-1] - trace.taken[0]


@FEW
@given(
    inputs=st.integers(1, 12),
    steps=st.integers(2, 5),
    levels=st.sampled_from([1, 2]),
    rate=st.sampled_from([0.0, 0.2, 0.6, 1.0]),
    stalls=STALLS,
)
def test_dense(inputs, steps, levels, rate, stalls):
    parts = dense_network(np.random.default_rng(inputs), inputs, steps, levels)
    x = spikes(inputs, 3, steps, inputs, levels, rate)
    check(parts, x, bench.event_words(x, parts["fc1"].i.payload.shape(), levels), stalls)


@FEW
@given(steps=st.integers(1, 4), dark=st.booleans(), stalls=STALLS)
def test_convolutional(steps, dark, stalls):
    rng = np.random.default_rng(steps)
    parts, x = conv_network(rng, steps), rng.integers(0, 1 if dark else 16, (2, 16))
    check(parts, x, bench.dense_words(x, parts["encode"].i), stalls)


def test_bitwise_spikes_multiply():
    """Numbers as bits, each step's sums, doubled and added: a product of integers, and ArgMax."""
    rng = np.random.default_rng(6)
    x, w = rng.integers(0, 16, (4, 9)), rng.integers(-5, 6, (9, 6))
    fc = EventDense(w, steps=4, lanes=6, slice=3)
    bits = BitwiseDecoder(lo=fc.lo, hi=fc.hi, elements=6, steps=4, lanes=3)
    span = (fc.lo * 15, fc.hi * 15)
    parts = {
        "bits": CountEncoder("bitwise", lo=0, hi=15, elements=9, steps=4, lanes=3),
        "scan": SpikeScan(9, 4, 3),
        "fc": fc,
        "number": bits,
        "argmax": ArgMax(*span, 6, 3),
    }
    told = EventNetwork(parts).predict(x)
    assert (told.values["number"] == x @ w).all()
    check(parts, x, bench.dense_words(x, parts["bits"].i), (0.0, 0.0))
    with pytest.raises(TypeError, match="'loop' is a Delay"):
        EventNetwork({"loop": Delay([0], steps=2, lo=0, hi=1, lanes=1)}).predict(x)


def test_events_can_leave_a_network():
    parts = dense_network(np.random.default_rng(1), 5, 3)
    parts = {name: parts[name] for name in ("fc1", "lif1", "scan1")}
    x = spikes(2, 2, 3, 5, 1, 0.7)
    network = EventNetwork(parts)
    told = network.predict(x)
    layout = network.o.payload.shape()
    sent = bench.event_words(x, network.i.payload.shape())
    trace = bench.run(network, sent, len(told.given))
    assert (bench.spikes_of(trace.words, layout, 2, 3, 8) == told.values["scan1"]).all()
    assert (trace.taken, trace.given) == (told.taken, told.given)
    assert told.ends[-1] == told.given[-1]


def test_a_frame_forgets_the_one_before_and_reset_forgets_all():
    parts = dense_network(np.random.default_rng(3), 6, 4)
    x = np.repeat(spikes(3, 1, 4, 6, 1, 0.6), 3, axis=0)
    network = EventNetwork(parts)
    sent = bench.event_words(x, network.i.payload.shape())
    words = bench.run(network, sent, 6, reset_at=40).words
    counts = bench.dense_of(words, network.o, 3)
    assert (counts == network.predict(x).values["count"]).all() and (counts == counts[0]).all()


@pytest.mark.parametrize("rate", [0.05, 0.3, 1.0])
def test_cycles_are_linear_in_spikes(rate):
    """Once a step's events outweigh its sweep: a cycle each, and one to end the step."""
    rng = np.random.default_rng(4)
    w = rng.integers(-4, 5, (400, 16))
    fc = EventDense(w, steps=10, lanes=16, slice=8)
    network = EventNetwork({"fc": fc, "lif": neurons(lif(30), fc, 16, 10)})
    x = spikes(5, 4, 10, 400, 1, rate)
    work = np.count_nonzero(x.reshape(4, -1), axis=1) + 10
    assert (network.predict(x).cycles[1:] == work[1:]).all()
    silent = network.predict(np.zeros_like(x)).cycles[1:].max()
    assert silent < 0.05 * network.predict(np.ones_like(x)).cycles[1:].min()


@pytest.mark.slow
def test_784_128_10_takes_a_twentieth_of_the_published_cycles():
    """A rate-coded image through the whole network, simulated: cycles as predicted."""
    from benchmarks.event_network import STEPS, drawn_images, event_network
    from codesign.spikes import encoders

    x = encoders.rate(drawn_images(np.random.default_rng(0), 2), STEPS, 8, 1)
    network = event_network()
    told = network.predict(x)
    sent = bench.event_words(x, network.i.payload.shape())
    trace = bench.run(network, sent, 10)
    assert (trace.taken, trace.given) == (told.taken, told.given)
    assert (bench.dense_of(trace.words, network.o, 2) == told.values["count"]).all()
    assert told.cycles.max() <= 78_000 / 20
    assert np.count_nonzero(x[1]) / told.cycles[1] >= 0.95
