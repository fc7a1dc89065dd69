"""Sliding windows: every tap of every output pixel, under stalls, in the model's cycles."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codesign.hdl.timing import DownsizerTiming, Fifo, MatVecTiming, drive, run_chain
from codesign.hdl.windows.geometry import Geometry
from codesign.hdl.windows.pixel import PixelSchedule, PixelTiming, PixelWindow
from codesign.hdl.windows.tap import TapWindow
from tests.hdl import harness

CASES = settings(max_examples=25, derandomize=True, deadline=None, database=None)


def expected(x, g, pad, lanes, pixels=1):
    """int64 [B, elements] in the order (oy, ox, fold, [pixel, ky, kx, lane])."""
    flat = x.reshape(len(x), -1, x.shape[-1])
    flat = np.pad(flat, ((0, 0), (0, 1), (0, 0)), constant_values=pad)
    seen = flat[:, g.indices().reshape(g.pixels, g.taps)]  # [B, p, tap, C]
    seen = seen.reshape(*seen.shape[:3], -1, lanes)
    return np.moveaxis(seen, 3, 2).reshape(len(x), -1)


@st.composite
def maps(draw, most=6, pads_within_reach=True):
    pick = lambda lo, hi: draw(st.integers(lo, hi))  # noqa: E731
    kernel, dilations = (pick(1, 3), pick(1, 3)), (pick(1, 2), pick(1, 2))
    reach = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
    before = [pick(0, r) for r in reach]
    after = [pick(0, r - b) for r, b in zip(reach, before, strict=True)]
    size = tuple(
        max(1, pick(1, most), r + 1 - b - a) for r, b, a in zip(reach, before, after, strict=True)
    )
    pads = (before[0], before[1], after[0], after[1])
    return Geometry(size, kernel, (pick(1, 3), pick(1, 3)), dilations, pads)


def check(dut, x, want, stalls, beats_in):
    frames = x.reshape(len(x), -1)
    trace = harness.run(dut, frames, want.shape[1], stall_in=stalls[0], stall_out=stalls[1])
    assert np.array_equal(trace.frames, want)
    if stalls == (0.0, 0.0):
        taken, given = drive(lambda: [dut.timing()], beats_in, len(x))
        assert given == trace.given
        assert taken[: len(trace.taken)] == trace.taken  # rows left out may come after the end


STALLS = st.sampled_from([(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.3, 0.3), (0.9, 0.0)])


@CASES
@given(maps(), st.integers(1, 3), st.integers(1, 2), STALLS, st.integers(-3, 4))
def test_pixel_window(g, folds, lanes, stalls, pad):
    channels = folds * lanes
    try:
        dut = PixelWindow(g, lo=-2, hi=3, channels=channels, lanes=lanes, pad_code=pad)
    except ValueError as error:
        assert "too small" in str(error)
        assume(False)
    x = np.random.default_rng(1).integers(-2, 4, (4, *g.size, channels))
    check(dut, x, expected(x, g, pad, lanes), stalls, dut.schedule.beats_in)
    s = dut.schedule
    assert run_chain(lambda: [dut.timing()], s.beats_in)[1] == s.beats_in >= s.beats_out


@CASES
@given(st.data(), STALLS)
def test_several_pixels_a_beat(data, stalls):
    pick = lambda lo, hi: data.draw(st.integers(lo, hi))  # noqa: E731
    pixels, kernel, dilation = pick(2, 4), pick(1, 5), pick(1, 2)
    reach = (kernel - 1) * dilation
    left = pick(0, reach)
    w = pixels * pick(1, 3)
    fits = [r for r in range(reach - left + 1) if (w + left + r - reach) % pixels == 0]
    assume(fits and w + left + fits[0] > reach)
    right = fits[0]
    g = Geometry((pick(3, 5), w), (3, kernel), (pick(1, 2), 1), (1, dilation), (1, left, 1, right))
    channels = pick(1, 3)
    try:
        dut = PixelWindow(g, lo=0, hi=5, channels=channels, lanes=channels, pixels=pixels)
    except ValueError as error:
        assert "too small" in str(error)
        assume(False)
    x = np.random.default_rng(1).integers(0, 6, (4, *g.size, channels))
    check(dut, x, expected(x, g, 0, channels), stalls, dut.schedule.beats_in)
    s = dut.schedule
    assert run_chain(lambda: [dut.timing()], s.beats_in)[1] == s.beats_in


@CASES
@given(maps(), st.sampled_from([(1, 1, 1), (1, 2, 2), (1, 3, 1), (3, 1, 1), (2, 2, 1)]), STALLS,
       st.integers(-3, 4))  # fmt: skip
def test_tap_window(g, channel_shape, stalls, pad):
    groups, folds, lanes = channel_shape
    channels = groups * folds * lanes
    assume((g.indices() >= 0).any())
    dut = TapWindow(g, lo=-2, hi=3, channels=channels, lanes=lanes, groups=groups, pad_code=pad)
    x = np.random.default_rng(1).integers(-2, 4, (4, *g.size, channels))
    want = expected(x, g, pad, channels // groups)
    s = dut.schedule
    check(dut, x, want, stalls, s.beats_in)
    ii = max(s.beats_in, s.beats_out)
    assert len(drive(lambda: [dut.timing()], s.beats_in, 2)[1]) == 2 * s.beats_out
    assert run_chain(lambda: [dut.timing()], s.beats_in)[1] == ii
    if s.depth > s.span:  # tight: one place less loses cycles
        from codesign.hdl.windows.tap import TapTiming

        less = run_chain(lambda: [TapTiming(s, s.depth - 1, 2)], s.beats_in)[1]
        assert less > ii


@settings(max_examples=80, derandomize=True, deadline=None, database=None)
@given(maps(most=7), st.integers(1, 2), st.tuples(st.integers(1, 5), st.integers(1, 4)))
def test_queue_behind_a_window(g, folds, passes):
    """Behind it, passes over each window take as long as they and the input need, not longer; at
    most three places more than needed, which are those of the unit that makes the passes."""
    try:
        s = PixelSchedule(g, folds, 1, 1)
    except ValueError:
        assume(False)
    nf, sf = passes

    def ii(places):
        def row():
            queue = [Fifo(places)] if places else []
            narrow = [DownsizerTiming(sf, sf * s.beats_out)] if sf > 1 else []
            return [PixelTiming(s, 2), *queue, *narrow, MatVecTiming(nf, sf, 4)]

        return run_chain(row, s.beats_in, 16)[1]

    places, best = s.queue(nf * sf), max(s.beats_in, s.beats_out * nf * sf)
    assert ii(places) == best
    held = 2 * (nf > 1) + (sf > 1)
    if places > held + 1:
        assert ii(places - held - 1) > best


@pytest.mark.parametrize("cycle", [3, 17, 40])
@pytest.mark.parametrize("kind", [PixelWindow, TapWindow])
def test_reset_in_a_frame(kind, cycle):
    g = Geometry((5, 4), (3, 3), (1, 2), (1, 1), (1, 1, 1, 0))
    dut = kind(g, lo=0, hi=7, channels=4, lanes=2, pad_code=5)
    x = np.random.default_rng(0).integers(0, 8, (3, 5, 4, 4))
    want = expected(x, g, 5, 2 if kind is PixelWindow else 4)
    frames = x.reshape(3, -1)
    trace = harness.run(dut, frames, want.shape[1], stall_in=0.2, stall_out=0.2, reset_at=cycle)
    assert np.array_equal(trace.frames, want)


def test_first_output_within_two_lines():
    g = Geometry((8, 8), (3, 3), pads=(1, 1, 1, 1))
    dut = PixelWindow(g, lo=0, hi=3, channels=4, lanes=4)
    taken, given = drive(lambda: [dut.timing()], 64, 1)
    assert given[0] - taken[0] == 8 + 1 + dut.latency
    assert given[-1] - taken[-1] == 8 + 1 + dut.latency  # flushed without a next frame


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lanes": 3}, "divide the 4 channels, got 3"),
        ({"geometry": Geometry((4, 4), (3, 3), pads=(2, 0, 1, 0))}, "exceeds the reach"),
        ({"pixels": 3, "lanes": 4}, "got 3"),
        ({"pixels": 2}, "need all 4 lanes"),
        ({"geometry": Geometry((1, 1), (3, 3), pads=(1, 1, 1, 1))}, "too small"),
    ],
)
def test_says_what_is_wrong(changes, message):
    options = {"geometry": Geometry((4, 4), (3, 3)), "lo": 0, "hi": 1, "channels": 4, "lanes": 2}
    with pytest.raises(ValueError, match=message):
        PixelWindow(**(options | changes))
