"""Rearrange: any index map, exact under stalls, every transfer in the cycle the model says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.rearrange.buffer import ReorderTiming
from codesign.hdl.rearrange.program import compress
from codesign.hdl.rearrange.rearrange import Rearrange, group_of
from codesign.hdl.rearrange.schedule import schedule
from codesign.hdl.timing import drive, run_chain
from tests.hdl import harness

CASES = settings(max_examples=40, derandomize=True, deadline=None, database=None)
FILL = -5


def make(index, elements, lanes):
    fills = (np.asarray(index) < 0).any()
    lo = min(FILL, -3) if fills else -3
    return Rearrange(index, in_lo=-3, in_hi=4, out_lo=lo, out_hi=4, elements=elements,
                     lanes=lanes, fill=FILL)  # fmt: skip


def check(index, elements, lanes, seed=0, stalls=(0.0, 0.0), frames=4):
    component = make(index, elements, lanes)
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 5, (frames, elements))
    trace = harness.run(component, x, len(index), stall_in=stalls[0], stall_out=stalls[1],
                        seed=seed)  # fmt: skip
    want = np.where(np.asarray(index) < 0, FILL, x[:, np.maximum(index, 0)])
    assert np.array_equal(trace.frames, want)
    if stalls == (0.0, 0.0):
        beats = -(-elements // lanes)
        taken, given = drive(lambda: [component.timing()], beats, frames)
        assert given == trace.given
        # The simulation ends with the last output; beats nobody reads may still be on their way.
        assert [t for t in taken if t <= given[-1]] == trace.taken
    return component


def named_maps():
    frame = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    yield "identity", frame
    yield "slice", frame[1:3, ::2]
    yield "channels", frame[..., 2:4]
    yield "transpose", frame.transpose(2, 0, 1)
    yield "swap", frame.transpose(1, 0, 2)
    yield "pad", np.pad(frame, ((1, 2), (0, 1), (0, 0)), constant_values=-1)
    yield "upsample", frame.repeat(2, 0).repeat(2, 1)
    yield "expand", np.broadcast_to(np.arange(6), (4, 5, 6))
    yield "reverse", frame[::-1, :, ::-1]
    yield "depth_to_space", frame.reshape(4, 5, 3, 2, 1).transpose(0, 2, 1, 3, 4)
    yield "shuffle", frame[..., [3, 0, 4, 1, 5, 2]]
    yield "swap_and_shuffle", frame.transpose(1, 0, 2)[..., ::-1]
    yield "pad_channels", np.pad(frame, ((0, 0), (0, 0), (1, 5)), constant_values=-1)
    yield "zeros", np.where(np.arange(120).reshape(4, 5, 6) % 3 == 0, -1, frame)


@pytest.mark.parametrize("lanes", [1, 2, 3, 6])
@pytest.mark.parametrize("name", [name for name, _ in named_maps()])
def test_named_maps(name, lanes):
    index = dict(named_maps())[name].reshape(-1)
    elements = 6 if name == "expand" else 120
    component = check(index, elements, lanes)
    if component.group == lanes and component.kind != "wire":
        beats = [-(-n // lanes) for n in (elements, len(index))]
        assert run_chain(lambda: [component.timing()], beats[0], 8)[1] == max(beats)


@CASES
@given(st.data())
def test_random_maps(data):
    elements = data.draw(st.integers(1, 24))
    group = data.draw(st.sampled_from([1, 2, 3]))
    lanes = data.draw(st.integers(1, 6))
    beats = -(-elements // group)
    kind = data.draw(st.sampled_from(["any", "sorted", "local", "fills"]))
    low = -1 if kind == "fills" else 0
    picks = data.draw(st.lists(st.integers(low, beats - 1), min_size=1, max_size=20))
    if kind == "sorted":
        picks = sorted(set(picks))
    if kind == "local":
        picks = sorted(picks)
    index = []
    for p in picks:
        for j in range(group):
            at = p * group + j
            index.append(-1 if p < 0 else min(at, elements - 1))
    stalls = data.draw(st.sampled_from([(0.0, 0.0), (0.0, 0.0), (0.4, 0.0), (0.3, 0.5)]))
    check(np.array(index), elements, lanes, data.draw(st.integers(0, 99)), stalls)


@pytest.mark.parametrize("name", [name for name, _ in named_maps()])
def test_depth_is_tight(name):
    """One place less costs throughput or deadlocks."""
    index = dict(named_maps())[name].reshape(-1)
    elements = 6 if name == "expand" else 120
    plan = schedule(index, elements)
    best = max(elements, len(index))
    assert ii(plan, plan.depth, elements) == best
    if plan.depth > 1 and name not in ("identity",):
        assert ii(plan, plan.depth - 1, elements) != best


def ii(plan, places, elements):
    """Cycles between frames; None for a deadlock."""
    frames = 12
    _, out = drive(lambda: [ReorderTiming(plan, places)], elements, frames)
    count = len(plan.source)
    if len(out) < frames * count:
        return None
    return -(-(out[-1] - out[6 * count - 1]) // 6)


@pytest.mark.parametrize("seed", range(3))
def test_reset_in_mid_frame(seed):
    index = dict(named_maps())["pad"].reshape(-1)
    component = make(index, 120, 2)
    x = np.random.default_rng(seed).integers(-3, 5, (3, 120))
    trace = harness.run(component, x, len(index), reset_at=37 + 50 * seed, stall_in=0.2)
    assert np.array_equal(trace.frames, np.where(index < 0, FILL, x[:, np.maximum(index, 0)]))


@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.3, 0.4)])
def test_irregular_order_in_block_memory(stalls):
    """No loop in the sequence: a table in block memory, which needs its first word after reset."""
    index = np.random.default_rng(8).permutation(200)
    component = check(index, 200, 1, stalls=stalls)
    assert component.core._reader.in_block and component.core.in_block
    x = np.random.default_rng(9).integers(-3, 5, (2, 200))
    trace = harness.run(make(index, 200, 1), x, 200, reset_at=333)
    assert np.array_equal(trace.frames, x[:, index])


def test_kinds():
    frame = np.arange(64).reshape(4, 4, 4)
    assert make(frame.reshape(-1), 64, 4).kind == "wire"
    assert make(frame[1:].reshape(-1), 64, 4).kind == "filter"
    # A row of four pixels, and not one place more.
    up = make(frame.repeat(2, 0).repeat(2, 1).reshape(-1), 64, 4)
    assert (up.kind, up.core.memory_bits // (4 * 4)) == ("buffer", 4)
    with pytest.raises(ValueError, match="index holds"):
        make(np.array([64]), 64, 4)


def test_groups():
    frame = np.arange(24).reshape(2, 3, 4)
    assert group_of(frame.transpose(1, 0, 2).reshape(-1), 24, 8) == 4
    assert group_of(frame.transpose(2, 0, 1).reshape(-1), 24, 4) == 1
    assert group_of(frame[..., [2, 0, 3, 1]].reshape(-1), 24, 4) == 4  # a shuffle is wiring
    assert group_of(np.arange(7), 9, 4) == 4  # the short last beat may hold anything


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 4))
def test_programs_repeat_their_sequence(body, inner, outer):
    sequence = [*(body * inner), 7, *body[:2]] * outer
    assert compress(sequence).run() == sequence


def test_programs_are_short():
    frame = np.arange(32 * 32 * 16)
    upsampled = frame.reshape(32, 32, 16).repeat(2, 0).repeat(2, 1).reshape(-1)
    program = compress((np.diff(upsampled) + 5000).tolist())
    assert len(program.symbols) < 24
    assert program.run() == (np.diff(upsampled) + 5000).tolist()
