"""The free-running pipeline: exact under stalls, never loses a beat, timed as its model says."""

import numpy as np
import pytest

from codesign.hdl.credit import CreditPipeline, CreditTiming
from codesign.hdl.timing import drive
from codesign.hdl.unrolled import UnrolledMatVec

from .harness import run

WEIGHTS = (
    np.random.default_rng(3).integers(-3, 4, (5, 4)),
    np.random.default_rng(4).integers(-3, 4, (3, 5)),
)


def make(depths):
    first = UnrolledMatVec(WEIGHTS[0], in_lo=0, in_hi=3, depth=depths[0])
    second = UnrolledMatVec(WEIGHTS[1], in_lo=first.acc_lo, in_hi=first.acc_hi, depth=depths[1])
    return CreditPipeline({"a": first, "b": second}, sum(depths)), (first, second)


def frames(count):
    x = np.random.default_rng(0).integers(0, 4, (count, 4))
    return x, x @ WEIGHTS[0].T @ WEIGHTS[1].T


@pytest.mark.parametrize("depths", [(1, 1), (2, 3)])
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.7), (0.3, 0.4)])
def test_exact_under_stalls(depths, stalls):
    x, expected = frames(80)
    trace = run(make(depths)[0], x, 3, stall_in=stalls[0], stall_out=stalls[1], seed=5)
    assert np.array_equal(trace.frames, expected)


@pytest.mark.parametrize("depths", [(1, 1), (1, 4), (3, 2)])
def test_cycles_equal_the_model(depths):
    x, _ = frames(40)
    pipeline, parts = make(depths)
    trace = run(pipeline, x, 3)
    taken, given = drive(
        lambda: [CreditTiming([p.timing() for p in parts], sum(depths))], 1, len(x)
    )
    assert [t - trace.taken[0] for t in trace.taken] == taken
    assert [t - trace.taken[0] for t in trace.given] == given
    assert given[-1] - given[0] == len(x) - 1  # a beat a cycle, no bubble


def test_no_registers_no_pipeline():
    with pytest.raises(ValueError, match="latency 0"):
        CreditPipeline({"a": make((1, 1))[1][0]}, 0)
