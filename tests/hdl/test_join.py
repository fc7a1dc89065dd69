"""Joins of two streams: exact under stalls, cycles as modelled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.join import Join, signed_digits
from codesign.hdl.table_join import TableJoin
from tests.hdl.two_inputs import modelled, run_inputs

CASES = settings(max_examples=40, derandomize=True, deadline=None, database=None)
STALLS = st.sampled_from([(0.0, 0.0), (0.4, 0.0), (0.2, 0.5)])


def spans(data):
    lows = [data.draw(st.integers(-20, 20)) for _ in range(2)]
    return [(lo, lo + data.draw(st.integers(0, 15))) for lo in lows]


def check(component, reference, ranges, elements, lanes, stalls, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(lo, hi + 1, (3, elements)) for lo, hi in ranges)
    got, taken, given_at = run_inputs(component, [a, b], elements, stall_in=stalls[0],
                                      stall_out=stalls[1], seed=seed)  # fmt: skip
    assert np.array_equal(got, reference(a, b))
    if stalls == (0.0, 0.0):
        beats = 3 * -(-elements // lanes)
        assert modelled(component.timing(), [beats, beats]) == (taken, given_at)


@CASES
@given(st.data())
def test_join(data):
    function = data.draw(st.sampled_from(["sum", "sum", "product", "min", "max"]))
    left, right = (data.draw(st.integers(-40, 40)) for _ in range(2))
    ranges, elements = spans(data), data.draw(st.integers(1, 9))
    lanes = data.draw(st.integers(1, 4))
    component = Join(function, left, right, ranges=ranges, elements=elements, lanes=lanes)

    def reference(a, b):
        return {
            "sum": left * a + right * b,
            "product": (a - left) * (b - right),
            "min": np.minimum(a, b),
            "max": np.maximum(a, b),
        }[function]

    check(component, reference, ranges, elements, lanes, data.draw(STALLS), 1)


@CASES
@given(st.data())
def test_table_join(data):
    lanes, channels = data.draw(st.sampled_from([(1, 1), (3, 1), (2, 6), (6, 6), (1, 3), (4, 2)]))
    ranges = spans(data)
    elements = channels * data.draw(st.integers(1, 3))
    sizes = [hi - lo + 1 for lo, hi in ranges]
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    table = rng.integers(-4, 4, (channels, *sizes))
    component = TableJoin(table, ranges=ranges, out_range=(-4, 3), elements=elements, lanes=lanes)

    def reference(a, b):
        channel = np.arange(elements) % channels
        return table[channel, a - ranges[0][0], b - ranges[1][0]]

    check(component, reference, ranges, elements, lanes, data.draw(STALLS), 2)


@given(st.integers(-5000, 5000))
@settings(max_examples=100, derandomize=True, deadline=None, database=None)
def test_signed_digits(value):
    digits = signed_digits(value)
    assert sum(sign << shift for shift, sign in digits) == value
    assert len(digits) <= abs(value).bit_length() // 2 + 1


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="function is"):
        Join("xor", 1, 1, ranges=[(0, 1), (0, 1)], elements=1, lanes=1)
    with pytest.raises(ValueError, match="table holds"):
        TableJoin(np.zeros((1, 2, 3)), ranges=[(0, 1), (0, 1)], out_range=(0, 1), elements=4,
                  lanes=1)  # fmt: skip
    with pytest.raises(ValueError, match="one must divide"):
        TableJoin(np.zeros((3, 2, 2)), ranges=[(0, 1), (0, 1)], out_range=(0, 1), elements=6,
                  lanes=2)  # fmt: skip
