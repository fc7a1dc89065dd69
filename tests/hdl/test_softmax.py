"""Integer softmax: exact under stalls, cycles as modelled, a beat a cycle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.events import Sink, Source, link, simulate
from codesign.hdl.softmax import Softmax
from tests.hdl.harness import run

CASES = settings(max_examples=30, derandomize=True, deadline=None, database=None)
STALLS = st.sampled_from([(0.0, 0.0), (0.0, 0.0), (0.4, 0.0), (0.2, 0.5), (0.0, 0.6)])


def reference(x, table, bits, fine=(1,), shift=0):
    """Python integers of any size."""
    table = [int(word) * int(part) >> shift for word in table for part in fine]
    found = []
    for vector in x.reshape(-1, x.shape[-1]):
        words = [table[min(int(vector.max() - c), len(table) - 1)] for c in vector]
        found += [(word << bits) // sum(words) for word in words]
    return np.array(found).reshape(x.shape)


def modelled(stage, beats):
    source, sink = Source(beats), Sink()
    link(source, stage)
    link(stage, sink)
    simulate([source, stage, sink])
    return source.o.taken.at, sink.i.taken.at


@CASES
@given(st.data())
def test_softmax(data):
    lanes, beats = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    elements, vectors = lanes * beats, data.draw(st.integers(1, 4))
    lo = data.draw(st.integers(-20, 5))
    hi, bits = lo + data.draw(st.integers(1, 30)), data.draw(st.integers(1, 20))
    first = data.draw(st.integers(1, 300))
    table = [first >> n for n in range(data.draw(st.integers(1, hi - lo + 1)))]
    component = Softmax(lo, hi, table, elements=elements, vectors=vectors, lanes=lanes, bits=bits)
    x = np.random.default_rng(data.draw(st.integers(0, 99))).integers(
        lo, hi + 1, (5, vectors, elements)
    )
    stalls = data.draw(STALLS)
    trace = run(component, x.reshape(5, -1), vectors * elements, stall_in=stalls[0],
                stall_out=stalls[1], seed=1)  # fmt: skip
    assert np.array_equal(trace.frames, reference(x, table, bits).reshape(5, -1))
    if stalls == (0.0, 0.0):
        assert modelled(component.timing(), 5 * vectors * beats) == (trace.taken, trace.given)


@pytest.mark.parametrize("width", [6, 17, 18, 35, 45])
def test_two_tables_are_multiplied(width):
    """Words of one to three limbs; distances at both sides of each step of the coarse table."""
    rng, shift = np.random.default_rng(width), width + 1
    most = (1 << width) - 1
    table = [most, *sorted(rng.integers(0, most, 6).tolist(), reverse=True)]
    fine = [most, *rng.integers(0, most, 7).tolist()]
    component = Softmax(-20, 43, table, elements=4, vectors=2, lanes=2, bits=12, fine=fine,
                        shift=shift)  # fmt: skip
    x = rng.integers(-20, 44, (60, 2, 4))
    x[:20, :, 0] = 43  # so that the others are every distance, also beyond the table's
    x[:8, 0, 1:] = np.arange(43, 19, -1).reshape(8, 3)
    trace = run(component, x.reshape(60, -1), 8)
    wanted = reference(x, table, 12, fine, shift)
    assert np.array_equal(trace.frames, wanted.reshape(60, -1))
    assert modelled(component.timing(), 60 * 4) == (trace.taken, trace.given)


def test_fine_words_that_are_no_power_of_two():
    with pytest.raises(ValueError, match="power of two, got 3"):
        Softmax(0, 7, [4, 2], elements=8, vectors=1, lanes=2, bits=8, fine=[4, 3, 2], shift=2)


@pytest.mark.parametrize(("elements", "lanes"), [(8, 1), (8, 2), (8, 8), (1, 1)])
def test_a_beat_a_cycle(elements, lanes):
    component = Softmax(-8, 7, [64, 20, 7, 2, 0], elements=elements, vectors=1, lanes=lanes, bits=8)
    x = np.random.default_rng(0).integers(-8, 8, (20, elements))
    trace = run(component, x, elements)
    assert set(np.diff(trace.given)) == {1}


def test_lanes_that_do_not_divide():
    with pytest.raises(ValueError, match="3 lanes do not divide the 8 elements"):
        Softmax(0, 7, [4, 2], elements=8, vectors=1, lanes=3, bits=8)
