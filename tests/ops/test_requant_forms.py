"""Every realisation a requantizer may get equals its thresholds on the whole range."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codesign.formats import ScaledInt
from codesign.hdl.requant import Dyadic, Ranges, Rom, ShiftRound, Thresholds
from codesign.ops.quant import Quant
from codesign.ops.requant import Requant
from codesign.ops.requant_forms import candidates
from codesign.passes.tabulate import from_table


def stepped(lo: int, hi: int, bits: int, signed: bool, slopes: list[float], offsets: list[float],
            floor: bool) -> Requant:  # fmt: skip
    """``clip(round(x * slope + offset))`` per channel, as a Requant."""
    quant = Quant(np.float32([1]), np.float32([0]), bits, signed)
    format = quant.out_format
    x = np.arange(lo, hi + 1)
    rows = [x * s + o for s, o in zip(slopes, offsets, strict=True)]
    table = np.stack([np.floor(r) if floor else np.rint(r) for r in rows]).astype(np.int64)
    return from_table(np.clip(table, format.lo, format.hi), lo, hi, quant)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.integers(-400, 0),
    st.integers(0, 400),
    st.integers(1, 6),
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from([0.25, 0.125, 0.3, 1.0, -0.5, 0.0625]), st.floats(-9, 9)),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
def test_candidates_are_equal(lo, hi, bits, signed, lines, floor) -> None:
    op = stepped(lo, hi, bits, signed, [a for a, _ in lines], [b for _, b in lines], floor)
    ranges = Ranges(op.lo, op.hi, op.out_format.lo, op.out_format.hi)
    channels = len(op.base)
    codes = np.arange(lo, hi + 1)[:, None].repeat(channels, axis=1)
    wanted = op.base + op.step * (codes[:, :, None] >= op.thresholds).sum(-1)
    for form in candidates(op):
        assert np.array_equal(np.broadcast_to(form.evaluate(codes, ranges), codes.shape), wanted)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 5), st.lists(st.integers(-60, 60), min_size=1, max_size=5))
def test_power_of_two_steps_become_shifts(shift: int, halves: list[int]) -> None:
    """Biases of whole and half accumulator steps, ties to even: always one shift form."""
    slopes = [2.0**-shift] * len(halves)
    offsets = [h / 2 ** (shift + 1) for h in halves]
    op = stepped(-200, 200, 4, True, slopes, offsets, False)
    assume(op.monotone)
    assert any(isinstance(form, ShiftRound) for form in candidates(op))


def test_each_realisation_occurs() -> None:
    kinds = set()
    for slopes, offsets in (([0.25], [0.5]), ([0.3, 0.21], [0.1, 0.7])):
        op = stepped(-100, 100, 4, True, slopes, offsets, False)
        kinds |= {type(form) for form in candidates(op)}
    assert kinds == {ShiftRound, Dyadic, Thresholds, Rom}


def test_non_monotone_is_a_table() -> None:
    quant = Quant(np.float32([1]), np.float32([0]), 3, False)
    table = np.array([[0, 3, 1, 2, 0]])
    op = from_table(table, -2, 2, quant)
    assert not op.monotone
    (form,) = candidates(op)
    assert isinstance(form, Rom)
    assert isinstance(op.out_format, ScaledInt)
