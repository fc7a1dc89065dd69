"""Delay and DelayLine: a step late, cycles as modelled, also inside a loop."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from codesign.hdl.delay import Delay
from codesign.hdl.delay_line import DelayLine
from codesign.hdl.timing import drive
from tests.hdl import harness

INITIAL = [3, 1, 0, 7]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("steps", [2, 3, 5])
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.3, 0.3)])
def test_frames_come_a_step_late(lanes, steps, stalls, waits):
    x = np.random.default_rng(steps).integers(0, 8, (6, steps, 4))
    delay = Delay(INITIAL, steps=steps, lo=0, hi=7, lanes=lanes, waits=waits)
    trace = harness.run(delay, x.reshape(6, -1), steps * 4, stall_in=stalls[0], stall_out=stalls[1])
    expected = np.concatenate([np.broadcast_to(INITIAL, (6, 1, 4)), x[:, :-1]], axis=1)
    assert (trace.frames == expected.reshape(6, -1)).all()


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("steps", [2, 3, 5])
def test_cycles_equal_the_model(lanes, steps, waits):
    x = np.random.default_rng(steps).integers(0, 8, (5, steps * 4))
    delay = Delay(INITIAL, steps=steps, lo=0, hi=7, lanes=lanes, waits=waits)
    trace = harness.run(delay, x, steps * 4)
    taken, given = drive(lambda: [delay.timing()], steps * 4 // lanes, 5)
    seen = len(trace.taken)  # the harness stops at the last output
    assert (taken[:seen], given[: len(trace.given)]) == (trace.taken, trace.given)


def offered(delay, given, cycles):
    """Whether there is output in each of so many cycles, with input in the ``given`` ones."""
    seen = []

    async def bench(ctx):
        ctx.set(delay.o.ready, 1)
        for cycle in range(cycles):
            ctx.set(delay.i.valid, cycle in given)
            seen.append(ctx.get(delay.o.valid))
            await ctx.tick()

    simulator = Simulator(delay)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


@pytest.mark.parametrize("waits", [False, True])
def test_what_is_offered_before_a_frame_comes(waits):
    delay = Delay(INITIAL, steps=2, lo=0, hi=7, lanes=4, waits=waits)
    seen = offered(delay, {3, 4}, 8)
    # two beats of a frame, and, unless it waits, the first of this and of the next
    assert seen == ([0, 0, 0, 1, 1, 0, 0, 0] if waits else [1, 0, 0, 1, 1, 0, 0, 0])


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="do not divide"):
        Delay(INITIAL, steps=2, lo=0, hi=7, lanes=3)
    with pytest.raises(ValueError, match="two steps or more"):
        Delay(INITIAL, steps=1, lo=0, hi=7, lanes=1)
    with pytest.raises(ValueError, match="is a DelayLine"):
        Delay(INITIAL, steps=2, lo=0, hi=7, lanes=1, waits=True, persistent=True)
    with pytest.raises(ValueError, match="do not divide"):
        DelayLine(INITIAL, steps=2, lo=0, hi=7, lanes=3)
    with pytest.raises(ValueError, match="a step or more"):
        DelayLine(INITIAL, steps=0, lo=0, hi=7, lanes=1)


def going_on(kind, steps, lanes):
    """A delay that goes on from frame to frame, in a loop or outside of any."""
    if kind == "loop":
        return Delay(INITIAL, steps=steps, lo=0, hi=7, lanes=lanes, persistent=True)
    return DelayLine(INITIAL, steps=steps, lo=0, hi=7, lanes=lanes)


@pytest.mark.parametrize("reset_at", [None, 3, 29])
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.3, 0.3)])
@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("kind", ["loop", "line"])
def test_frames_go_on(kind, steps, lanes, stalls, reset_at):
    """The last step of a frame is the first of the next; the initial one comes after reset."""
    x = np.random.default_rng(steps).integers(0, 8, (6, steps, 4))
    trace = harness.run(
        going_on(kind, steps, lanes),
        x.reshape(6, -1),
        steps * 4,
        stall_in=stalls[0],
        stall_out=stalls[1],
        reset_at=reset_at,
    )
    expected = np.concatenate([[INITIAL], x.reshape(-1, 4)[:-1]])
    assert (trace.frames.reshape(-1, 4) == expected).all()


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("kind", ["loop", "line"])
def test_cycles_of_frames_that_go_on(kind, steps, lanes):
    x = np.random.default_rng(steps).integers(0, 8, (5, steps * 4))
    delay = going_on(kind, steps, lanes)
    trace = harness.run(delay, x, steps * 4)
    taken, given = drive(lambda: [delay.timing()], steps * 4 // lanes, 5)
    seen = len(trace.taken)  # the harness stops at the last output
    assert (taken[:seen], given[: len(trace.given)]) == (trace.taken, trace.given)


@pytest.mark.parametrize("kind", ["loop", "line"])
def test_what_is_offered_of_the_next_frame(kind):
    """In a loop its first step at once; outside of any only once it comes."""
    delay = going_on(kind, 2, 4)
    seen = offered(delay, {3, 4, 7}, 9)
    assert seen == [kind == "loop", 0, 0, 1, 1, 0, 0, 1, 0]
