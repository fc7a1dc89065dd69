"""ArgMax of several vectors and TopK: exact under stalls, cycles as modelled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.argmax import ArgMax
from codesign.hdl.argmax_topk import TopK
from codesign.hdl.timing import drive
from tests.hdl import harness

CASES = settings(max_examples=30, derandomize=True, deadline=None, database=None)
STALLS = st.sampled_from([(0.0, 0.0), (0.4, 0.0), (0.2, 0.5)])


def check(component, x, want, lanes, stalls):
    trace = harness.run(component, x, want.shape[1], stall_in=stalls[0], stall_out=stalls[1])
    assert np.array_equal(trace.frames, want)
    if stalls == (0.0, 0.0):
        beats = -(-x.shape[1] // lanes)
        assert drive(lambda: [component.timing()], beats, len(x)) == (trace.taken, trace.given)


@CASES
@given(st.data())
def test_argmax_of_vectors(data):
    lanes, folds = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    vectors, size = data.draw(st.integers(1, 4)), lanes * folds
    x = np.random.default_rng(data.draw(st.integers(0, 9))).integers(-2, 3, (4, vectors, size))
    component = ArgMax(-2, 2, size, lanes, vectors)
    check(component, x.reshape(4, -1), x.argmax(axis=2), lanes, data.draw(STALLS))


@CASES
@given(st.data())
def test_topk(data):
    lanes, folds = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    vectors, size = data.draw(st.integers(1, 3)), lanes * folds
    k, largest = data.draw(st.integers(1, size)), data.draw(st.booleans())
    x = np.random.default_rng(data.draw(st.integers(0, 9))).integers(-2, 3, (4, vectors, size))
    order = np.argsort(-x if largest else x, axis=2, kind="stable")[..., :k]
    component = TopK(-2, 2, size, k, lanes, vectors=vectors, largest=largest)
    check(component, x.reshape(4, -1), order.reshape(4, -1), lanes, data.draw(STALLS))


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="do not divide"):
        ArgMax(0, 1, 5, 2, vectors=2)
    with pytest.raises(ValueError, match="k lies in"):
        TopK(0, 1, 3, 4, 1)
