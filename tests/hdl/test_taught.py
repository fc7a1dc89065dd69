"""A learning layer as one component: header, events, signal, weights; its words and its cycles."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codesign.hdl import timing
from codesign.hdl.learning.header import EventStrip
from codesign.hdl.learning.rival import frame_layout
from codesign.hdl.learning.taught import TaughtDense
from codesign.hdl.learning.timing import FrameWork, StepWork
from codesign.learning import LearningLayer, Rival
from codesign.learning.header import header_rows, with_header
from codesign.learning.rival import random_signs
from codesign.learning.taught import Taught
from tests.hdl import harness
from tests.hdl import spike_harness as bench
from tests.learning.examples import lif, tess

FEW = settings(derandomize=True, deadline=None, database=None, max_examples=8)
STALLS = [(0.0, 0.0), (0.4, 0.0), (0.0, 0.6), (0.3, 0.3)]
#: (inputs, outputs, lanes, simd); simd 0: address events.
SHAPES = [(6, 4, 4, 6), (6, 4, 2, 3), (2, 3, 1, 1), (9, 6, 2, 3)]
EVENTS = [(6, 4, 4, 0), (2, 3, 1, 0), (1, 6, 3, 0), (9, 6, 2, 0)]


def build(seed, inputs, outputs, lanes, simd, steps, classes, passes, reset, frames, rate=0.4):
    """(component, specification, weights, spikes, learn, target) of random numbers."""
    rng = np.random.default_rng(seed)
    layer = LearningLayer(lif(4, reset_timing=reset), tess(4, 1), inputs, outputs)
    signs = random_signs(outputs, classes, seed) if passes else np.eye(outputs, dtype=np.int64)
    rival = Rival(signs, 2)
    weights = rng.integers(-8, 16, (inputs, outputs))
    part = TaughtDense(layer, rival, weights, steps=steps, lanes=lanes, simd=simd, passes=passes)
    x = (rng.random((frames, steps, inputs)) < rate).astype(np.int64)
    # The last frame only passes: it waits until the weights of those before are written.
    learn = np.append(rng.random(frames - 1) < 0.7, False)
    target = rng.integers(0, rival.classes, frames)
    return part, Taught(layer, rival, lanes), weights, x, learn, target


def work_of(x, learn, header, log, simd):
    """What the frames give to do; ``header``: its spikes in each."""
    frames, steps, inputs = x.shape
    scanned = np.count_nonzero(x.reshape(frames, steps, -1, simd or inputs), axis=3)
    active = np.array(log.active).reshape(frames, steps)
    changes = np.array(log.changes).reshape(frames, steps)
    return [
        FrameWork(
            bool(learn[n]),
            tuple(
                StepWork(tuple(scanned[n, t].tolist()), int(active[n, t]), bool(changes[n, t]))
                for t in range(steps)
            ),
            int(header[n]),
        )
        for n in range(frames)
    ]


def compare(part, run, seen, passes, learn, target, classes):
    """Outputs with their headers, states and logs."""
    frames = len(run.spikes)
    out = run.spikes
    if passes:
        out = with_header(out, learn.astype(int), target, classes)
    assert (bench.dense_of(seen.words, part.o, frames) == out.reshape(frames, -1)).all()
    ports = [part.core.neurons.state_v, part.log_pre, part.log_post, part.log_weights]
    lanes, log = part.core.lanes, run.log
    logs = [log.rows(name, lanes) for name in ("pre", "post", "weights")]
    wanted = [run.states["v"].reshape(-1, lanes), *logs]
    for port, words, expected in zip(ports, seen.taps, wanted, strict=True):
        lanes, shape = harness.layout_of(port)
        assert [harness.from_beat(w, lanes, shape)[0] for w in words] == expected.tolist()


@FEW
@given(
    seed=st.integers(0, 1000),
    shape=st.sampled_from(SHAPES),
    steps=st.integers(1, 4),
    passes=st.booleans(),
    reset=st.sampled_from(["next", "same"]),
    stalls=st.sampled_from(STALLS),
)
def test_every_word_and_every_cycle(seed, shape, steps, passes, reset, stalls):
    run_and_compare(seed, shape, steps, passes, reset, stalls)


@settings(FEW, max_examples=3)
@given(
    seed=st.integers(0, 1000),
    shape=st.sampled_from(EVENTS),
    steps=st.integers(1, 4),
    passes=st.booleans(),
    reset=st.sampled_from(["next", "same"]),
    stalls=st.sampled_from(STALLS),
)
@example(seed=1, shape=(1, 6, 3, 0), steps=2, passes=True, reset="next", stalls=STALLS[0])
@example(seed=2, shape=(6, 4, 2, 0), steps=3, passes=False, reset="same", stalls=STALLS[0])
def test_every_word_and_every_cycle_of_events(seed, shape, steps, passes, reset, stalls):
    """A header that is events too: one, two or four steps of it."""
    run_and_compare(seed, shape, steps, passes, reset, stalls)


def test_events_of_a_header_come_in_any_order():
    """And those beyond its four bits, or there twice, change nothing."""
    strip = EventStrip(9, 1, 5)
    layout = strip.i.payload.shape()
    places = {name: field.offset for name, field in layout["data"].shape}
    end = 1 << places["step_end"]
    heads = {(1, 4): [8, 3, 0, 3], (0, 3): [2, 5, 1], (0, 0): [7], (1, 2): [2, 0], (1, 1): [1, 0]}
    own = [6, end | 1 << layout["last"].offset]  # an event and the end of the only step
    words = [w for head in heads.values() for w in (*head, end | 3, *own)]

    async def takes(ctx):
        ctx.set(strip.frame.ready, 1)

    seen = bench.run(strip, words, 2 * len(heads), taps=[strip.frame], before=takes)
    fields = {name: field.offset for name, field in frame_layout(5)}
    told = [(w >> fields["learn"] & 1, w >> fields["target"] & 7) for w in seen.taps[0]]
    assert told == list(heads) and seen.words == own * len(heads)


def run_and_compare(seed, shape, steps, passes, reset, stalls):
    """Everything that five frames make, and, where nothing stalls, when."""
    inputs, outputs, lanes, simd = shape
    classes = 5 if passes else outputs
    part, taught, weights, x, learn, target = build(
        seed, inputs, outputs, lanes, simd, steps, classes, passes, reset, 5
    )
    run = taught.run(weights, x, learn, target)
    whole = with_header(x, learn.astype(int), target, classes)
    header = np.count_nonzero(whole[:, :-steps], axis=(1, 2))
    if simd:
        words = bench.dense_words(whole.reshape(len(x), -1), part.i)
    else:
        words = bench.event_words(whole, part.i.payload.shape())
    rows = header_rows(classes, outputs) if passes else 0
    beats = len(x) * (steps + rows) * outputs // lanes
    taps = (part.core.neurons.state_v, part.log_pre, part.log_post, part.log_weights)
    seen = bench.run(part, words, beats, stalls=stalls, seed=seed, taps=taps)
    if stalls == (0.0, 0.0):
        work = work_of(x, learn, header, run.log, simd)
        model = timing.drive(lambda: [part.timing(work)], len(words), 1)
        assert (seen.taken, seen.given) == model
    compare(part, run, seen, passes, learn, target, classes)
