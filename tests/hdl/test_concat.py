"""Concat: runs in turn, exact under stalls, every transfer in the cycle the model says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.concat import Concat
from tests.hdl.two_inputs import modelled, run_inputs

CASES = settings(max_examples=30, derandomize=True, deadline=None, database=None)
RANGES = [(-3, 4), (0, 15), (-8, 7)]


def check(runs, repeats, lanes, stalls=(0.0, 0.0), seed=0, frames=3):
    ranges = RANGES[: len(runs)]
    component = Concat(runs, repeats=repeats, ranges=ranges, lanes=lanes)
    rng = np.random.default_rng(seed)
    x = [rng.integers(lo, hi + 1, (frames, repeats, run))
         for run, (lo, hi) in zip(runs, ranges, strict=True)]  # fmt: skip
    flat = [a.reshape(frames, -1) for a in x]
    want = np.concatenate(x, axis=2).reshape(frames, -1)
    got, taken, given_at = run_inputs(component, flat, want.shape[1], stall_in=stalls[0],
                                      stall_out=stalls[1], seed=seed)  # fmt: skip
    assert np.array_equal(got, want)
    if stalls == (0.0, 0.0):
        beats = [frames * -(-a.shape[1] // lanes) for a in flat]
        assert modelled(component.timing(), beats) == (taken, given_at)
    return component, given_at


@CASES
@given(st.data())
def test_random(data):
    runs = data.draw(st.lists(st.integers(1, 8), min_size=1, max_size=3))
    stalls = data.draw(st.sampled_from([(0.0, 0.0), (0.4, 0.0), (0.2, 0.5)]))
    check(runs, data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6)), stalls,
          data.draw(st.integers(0, 99)))  # fmt: skip


def test_no_cycle_is_lost():
    component, given_at = check([4, 8], 5, 4, frames=6)
    assert component.group == 4
    assert given_at == list(range(1, 1 + 6 * 15))


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="one range for each run"):
        Concat([1, 2], repeats=1, ranges=[(0, 1)], lanes=1)
