"""Integer layer normalisation: exact under stalls, cycles as modelled."""

from math import isqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.normalize import Normalize
from tests.hdl.harness import run
from tests.hdl.test_softmax import modelled

CASES = settings(max_examples=25, derandomize=True, deadline=None, database=None)
STALLS = st.sampled_from([(0.0, 0.0), (0.0, 0.0), (0.4, 0.0), (0.2, 0.5), (0.0, 0.6)])


def reference(x, shift, offset, bits):
    """Python integers of any size."""
    found = []
    for vector in x.reshape(-1, x.shape[-1]).tolist():
        d = [len(vector) * c - sum(vector) for c in vector]
        t = isqrt((sum(e * e for e in d) << 2 * shift) + offset)
        found += [(((e << shift) + t) << bits) // (2 * t) for e in d]
    return np.array(found).reshape(x.shape)


@CASES
@given(st.data())
def test_normalize(data):
    lanes, beats = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    elements, vectors = lanes * beats, data.draw(st.integers(1, 3))
    lo = data.draw(st.integers(-20, 5))
    hi, bits = lo + data.draw(st.integers(1, 30)), data.draw(st.integers(1, 16))
    shift, offset = data.draw(st.integers(0, 6)), data.draw(st.integers(1, 5000))
    component = Normalize(lo, hi, elements=elements, vectors=vectors, lanes=lanes, shift=shift,
                          offset=offset, bits=bits)  # fmt: skip
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rng.integers(lo, hi + 1, (4, vectors, elements))
    x[0] = x[0, 0, 0]
    stalls = data.draw(STALLS)
    trace = run(component, x.reshape(4, -1), vectors * elements, stall_in=stalls[0],
                stall_out=stalls[1], seed=1)  # fmt: skip
    assert np.array_equal(trace.frames, reference(x, shift, offset, bits).reshape(4, -1))
    if stalls == (0.0, 0.0):
        assert modelled(component.timing(), 4 * vectors * beats) == (trace.taken, trace.given)


def test_a_root_of_nothing():
    with pytest.raises(ValueError, match="offset above zero"):
        Normalize(0, 7, elements=4, vectors=1, lanes=1, shift=0, offset=0, bits=8)
