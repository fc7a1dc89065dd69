"""Each realisation against its numpy reference, over the whole input range."""

import numpy as np
import pytest
from amaranth.back import rtlil

from codesign.hdl.requant import (
    Dyadic,
    Levels,
    Ranges,
    Requant,
    Rom,
    Search,
    ShiftRound,
    Thresholds,
)
from codesign.hdl.requant.shift_round import ROUNDINGS
from codesign.hdl.timing import drive
from tests.hdl import harness

LO, HI, C = -21, 30, 5
RNG = np.random.default_rng(1)


def rows():
    """Every input in every channel, [.., C]."""
    x = np.arange(LO, HI + 1)
    return np.stack([np.roll(x, c) for c in range(C)], axis=1)


def integers(lo, hi, *shape):
    return RNG.integers(lo, hi + 1, shape)


FORMS = {
    **{
        f"{r}_{s}": (ShiftRound(integers(-9, 9, C), s, r), (-3, 4))
        for r in ROUNDINGS
        for s in (0, 1, 3)
    },
    "left": (ShiftRound(np.array([1]), -2, "floor"), (-50, 40)),
    "steps": (Thresholds(integers(-3, 3, C), RNG.choice([-1, 1], C), integers(LO, HI + 1, C, 7)),
              (-10, 10)),
    "one_step": (Thresholds(np.array([0]), np.array([1]), integers(LO, HI, 1, 1)), (0, 1)),
    "many_steps": (Thresholds(np.array([-20]), np.array([1]), integers(LO, HI, 1, 40)), (-20, 20)),
    "no_step": (Thresholds(np.array([3]), np.array([1]), np.zeros((1, 0), np.int64)), (0, 7)),
    "dyadic": (Dyadic(integers(-90, 90, C), integers(-500, 900, C), 4), (-7, 20)),
    "dyadic_wide": (Dyadic(integers(-9000, 9000, C), integers(-9, 9, C), 9), (-127, 128)),
    "dyadic_common": (Dyadic(np.array([37]), integers(-500, 900, C), 0), (-500, 700)),
    "table": (Rom(integers(-8, 7, C, HI - LO + 1), LO), (-8, 7)),
    "one_table": (Rom(integers(0, 7, 1, HI - LO + 1), LO), (0, 7)),
}  # fmt: skip


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("name", FORMS)
def test_equals_reference(name, lanes):
    real, (out_lo, out_hi) = FORMS[name]
    want = real.evaluate(rows(), Ranges(LO, HI, out_lo, out_hi))
    dut = Requant(real, in_lo=LO, in_hi=HI, out_lo=out_lo, out_hi=out_hi, channels=C, lanes=lanes)
    stall = 0.0 if lanes == 5 else 0.3
    trace = harness.run(dut, rows(), C, stall_in=stall, stall_out=stall, reset_at=9)
    assert (trace.frames == want).all()
    assert real.lut_estimate(Ranges(LO, HI, out_lo, out_hi), -(-C // lanes)) >= 0


@pytest.mark.parametrize("name", ["steps", "many_steps", "dyadic_wide"])
def test_latency(name):
    real, (out_lo, out_hi) = FORMS[name]
    dut = Requant(real, in_lo=LO, in_hi=HI, out_lo=out_lo, out_hi=out_hi, channels=C, lanes=2)
    trace = harness.run(dut, rows()[:5], C)
    taken, given = drive(lambda: [dut.timing()], 3, 5)
    # The table's first word may need a cycle after reset: times count from the first transfer.
    shift = trace.taken[0]
    assert [t - shift for t in trace.taken] == taken
    assert [t - shift for t in trace.given] == given


@pytest.mark.parametrize("rounding", ["half_even", "half_up", "half_down"])
def test_rounding_means_what_it_says(rounding):
    x = np.arange(-40, 41)[:, None]
    exact = {"half_even": np.round(x / 4), "half_up": np.floor(x / 4 + 0.5),
             "half_down": np.ceil(x / 4 - 0.5)}[rounding]  # fmt: skip
    assert (ShiftRound(np.array([0]), 2, rounding).evaluate(x) == exact).all()


def test_deep_parameters_come_from_block_memory():
    channels = 200
    bias = integers(-99, 99, channels)
    real = ShiftRound(bias, 2, "half_even")
    dut = Requant(real, in_lo=LO, in_hi=HI, out_lo=-20, out_hi=20, channels=channels, lanes=2)
    x = integers(LO, HI, 3, channels)
    trace = harness.run(dut, x, channels, reset_at=50, stall_out=0.2)
    assert (trace.frames == real.evaluate(x, Ranges(LO, HI, -20, 20))).all()


def test_says_what_is_wrong():
    with pytest.raises(ValueError, match="got 'up'"):
        ShiftRound(np.array([0]), 2, "up")
    with pytest.raises(ValueError, match="step is"):
        Thresholds(np.array([0]), np.array([2]), np.zeros((1, 3), np.int64))
    with pytest.raises(ValueError, match="channel counts differ"):
        Dyadic(np.array([1, 2]), np.array([1, 2, 3]), 2)
    with pytest.raises(ValueError, match="parameters for 2 channels, not 3"):
        Requant(ShiftRound(np.array([1, 2]), 1, "floor"), in_lo=0, in_hi=3, out_lo=0, out_hi=3,
                channels=3, lanes=1)  # fmt: skip


LEVELS = {
    "minifloat": (Levels(Thresholds(np.array([0]), np.array([1]), np.arange(-14, 1)[None]),
                         np.array([[-48, -32, -24, -16, -12, -8, -4, -3, -2, -1, 0, 1, 2, 9, 30,
                                    47]])),
                  (-48, 47)),
    "bumps": (Levels(Thresholds(np.zeros(C, np.int64), np.ones(C, np.int64),
                                np.sort(integers(LO, HI + 1, C, 5), axis=1)),
                     integers(-9, 9, C, 6)), (-9, 9)),
    "many": (Levels(ShiftRound(np.array([21]), 0, "floor"), integers(-99, 99, 1, 52)), (-99, 99)),
}  # fmt: skip


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("name", LEVELS)
def test_levels(name, lanes):
    real, (out_lo, out_hi) = LEVELS[name]
    want = real.evaluate(rows(), Ranges(LO, HI, out_lo, out_hi))
    dut = Requant(real, in_lo=LO, in_hi=HI, out_lo=out_lo, out_hi=out_hi, channels=C, lanes=lanes)
    trace = harness.run(dut, rows(), C, stall_in=0.3, stall_out=0.3, reset_at=9)
    assert (trace.frames == want).all()
    assert real.lut_estimate(Ranges(LO, HI, out_lo, out_hi), -(-C // lanes)) > 0
    trace = harness.run(dut, rows()[:5], C)
    taken, given = drive(lambda: [dut.timing()], -(-C // lanes), 5)
    assert [t - trace.taken[0] for t in trace.taken] == taken
    assert [t - trace.taken[0] for t in trace.given] == given


@pytest.mark.parametrize("form", ["steps", "table", "bumps", "left"])
@pytest.mark.parametrize("lanes", [1, 2, 3, 5, 7, 10, 15])
def test_several_vectors_a_frame(form, lanes):
    """Parameters repeat every 5 elements of frames of 15, wherever the beats fall."""
    real, (out_lo, out_hi) = {**FORMS, **LEVELS}[form]
    x = rows()[:51].reshape(-1, 3 * C)
    want = real.evaluate(rows()[:51], Ranges(LO, HI, out_lo, out_hi)).reshape(-1, 3 * C)
    channels = real.channels
    dut = Requant(real, in_lo=LO, in_hi=HI, out_lo=out_lo, out_hi=out_hi, channels=channels,
                  groups=3 * C // channels, lanes=lanes)  # fmt: skip
    trace = harness.run(dut, x, 3 * C, stall_in=0.2, stall_out=0.2)
    assert (trace.frames == want).all()


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("name", ["steps", "one_step", "many_steps", "levels", "shared_levels"])
def test_binary_search(name, lanes):
    """The same codes as thresholds compared side by side, and the cycles of its model."""
    steps, (out_lo, out_hi) = FORMS["steps" if "levels" in name else name]
    if name == "levels":
        steps = Thresholds(0 * steps.base, np.ones(C, np.int64), steps.thresholds)
        out_lo, out_hi = -9, 9
    folds = -(-C // lanes) if steps.channels > 1 else 1
    real = Search(steps, folds)
    if name == "levels":
        real = Levels(real, integers(-9, 9, C, 8))
    if name == "shared_levels":
        steps = Thresholds(np.array([0]), np.array([1]), np.arange(-20, 20)[None])
        real, (out_lo, out_hi) = Levels(Search(steps), integers(-70, 90, 1, 41)), (-70, 90)
    want = real.evaluate(rows(), Ranges(LO, HI, out_lo, out_hi))
    dut = Requant(real, in_lo=LO, in_hi=HI, out_lo=out_lo, out_hi=out_hi, channels=C, lanes=lanes)
    trace = harness.run(dut, rows(), C, stall_in=0.3, stall_out=0.3, reset_at=9)
    assert (trace.frames == want).all()
    trace = harness.run(dut, rows()[:5], C)
    taken, given = drive(lambda: [dut.timing()], -(-C // lanes), 5)
    assert [t - trace.taken[0] for t in trace.taken] == taken
    assert [t - trace.taken[0] for t in trace.given] == given


def test_search_in_block_memory():
    channels = 96
    steps = Thresholds(integers(-3, 3, channels), RNG.choice([-1, 1], channels),
                       integers(LO, HI + 1, channels, 30))  # fmt: skip
    dut = Requant(Search(steps, channels), in_lo=LO, in_hi=HI, out_lo=-40, out_hi=40,
                  channels=channels, lanes=1)  # fmt: skip
    assert dut.latency > 6
    x = integers(LO, HI, 3, channels)
    trace = harness.run(dut, x, channels, reset_at=50, stall_out=0.2)
    assert (trace.frames == steps.evaluate(x)).all()


WIDE = 1 << 38
MARKS = np.sort(integers(-WIDE, WIDE - 1, 2, 60), axis=1)


def wide(count: int) -> Requant:
    real = Thresholds(np.array([0]), np.array([1]), MARKS[:, :count])
    return Requant(real, in_lo=-WIDE, in_hi=WIDE - 1, out_lo=0, out_hi=count, channels=2, lanes=2)


def test_wide_inputs_around_their_thresholds():
    real = Thresholds(np.array([0]), np.array([1]), MARKS)
    around = [MARKS.T + d for d in (-1, 0, 1)]
    x = np.concatenate([*around, np.full((1, 2), -WIDE), np.full((1, 2), WIDE - 1)])
    x = np.clip(x, -WIDE, WIDE - 1)
    trace = harness.run(wide(60), x, 2)
    assert (trace.frames == real.evaluate(x)).all()


def test_emission_grows_with_the_thresholds_only():
    """Comparisons of wide inputs were written out as nested expressions: minutes for 126 of 39
    bits in 8 lanes."""
    cells = [rtlil.convert(wide(count)).count("\n  cell $") for count in (15, 30, 60)]
    per_mark = [b / a for a, b in zip(cells, cells[1:], strict=False)]
    assert max(per_mark) < 2.2 and cells[-1] < 60 * 2 * 30, cells
