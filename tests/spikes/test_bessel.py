"""The integer filter: near the real one, exactly 1 at rest, never out of its proven ranges."""

import numpy as np
import pytest
from scipy import signal

from codesign.spikes.bessel import Sections, design, ranges


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("cutoff", [0.1, 0.4])
def test_it_is_the_filter(order, cutoff):
    sections = design(order, cutoff, 16, 12)
    x = np.random.default_rng(0).integers(0, 2, (60, 3))
    found = sections.apply(x) / 2**12
    real = signal.sosfilt(signal.bessel(order, cutoff, output="sos", norm="mag"), x, axis=0)
    assert np.abs(found - real).max() < 0.01


def test_a_constant_comes_out_as_it_is():
    out = design(4, 0.2, 14, 10).apply(np.full((200, 1), 3))
    assert abs(int(out[-1, 0]) - (3 << 10)) <= 8  # rounding down in two sections, fed back


def test_ranges_hold_and_are_near():
    sections, rng = design(4, 0.15, 12, 6), np.random.default_rng(1)
    spans = ranges(sections, -2, 3, 40)
    low, high = spans[-1].y
    trains = rng.integers(0, 2, (40, 4000)) * 5 - 2
    step = np.concatenate([np.full((40, 1), 3), np.full((40, 1), -2)], axis=1)
    out = sections.apply(np.concatenate([trains, step], axis=1))
    assert low <= out.min() and out.max() <= high
    assert high <= 1.2 * (3 << 6) + 10


def test_small_signals_reach_their_bound():
    """A first-order average, worst case by trying every input."""
    sections = Sections(np.array([[4, 0, 0, -4, 0]]), 3, 2)
    every = np.array(np.meshgrid(*[[0, 1]] * 8)).reshape(8, -1)
    (span,) = ranges(sections, 0, 1, 8)
    out = sections.apply(every)
    assert span.y[0] <= out.min() and out.max() <= span.y[1] <= out.max() + 1


def test_what_cannot_be():
    with pytest.raises(ValueError, match="even order"):
        design(3, 0.1, 12, 4)
    with pytest.raises(ValueError, match="needs more than 4 fraction bits"):
        design(2, 0.01, 4, 4)
    with pytest.raises(ValueError, match=r"integers \[sections, 5\]"):
        Sections(np.zeros((1, 6), int), 8, 4)
