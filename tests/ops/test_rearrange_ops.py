"""Rearrange, Concat, Combine, Join and TableJoin in numpy: shapes, formats, codes, errors."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.errors import UnsupportedModel
from codesign.formats import Real, ScaledInt
from codesign.ir import Value
from codesign.ops.combine import Combine, exact_join
from codesign.ops.concat import Concat
from codesign.ops.join import Join
from codesign.ops.rearrange import Rearrange
from codesign.ops.reshape import Reshape
from codesign.ops.table_join import TableJoin


def value(shape, lo=-8, hi=7, scale=(0.25,), zero=0, name="v"):
    return Value(name, shape, ScaledInt(lo, hi, scale, zero))


def test_rearrange_transposes_codes():
    index = np.arange(6).reshape(2, 3).T
    x = value((2, 3))
    op = Rearrange(index)
    assert op.infer(x) == ((3, 2), x.format)
    codes = np.arange(12).reshape(2, 2, 3)
    assert np.array_equal(op.execute([x], codes), codes.transpose(0, 2, 1))
    assert not op.is_identity(6)
    assert Rearrange(np.arange(6)).is_identity(6)


def test_fill_becomes_its_code_and_widens_the_range():
    x = value((2,), 0, 3, zero=-2)
    op = Rearrange(np.array([-1, 0, 1]), 0.0)
    assert op.infer(x)[1] == ScaledInt(-2, 3, (0.25,), -2)
    assert op.execute([x], np.array([[1, 3]])).tolist() == [[-2, 1, 3]]
    with pytest.raises(UnsupportedModel, match="has no code"):
        Rearrange(np.array([-1]), 0.1).infer(x)
    with pytest.raises(UnsupportedModel, match="has no code"):
        Rearrange(np.array([-1]), float("-inf")).infer(x)
    real = Value("r", (2,), Real())
    assert Rearrange(np.array([-1, 1]), 0.1).execute([real], np.float32([[5, 6]])).tolist() == [
        [np.float32(0.1), 6]
    ]


def test_scales_follow_their_channels():
    x = value((2, 2), scale=(0.5, 0.25))
    swapped = Rearrange(np.array([[1, 0], [3, 2]])).infer(x)[1]
    assert swapped.scale == (0.25, 0.5)
    assert Rearrange(np.array([[0], [2]])).infer(x)[1].scale == (0.5,)
    with pytest.raises(UnsupportedModel, match="different scale"):
        Rearrange(np.arange(4).reshape(2, 2).T).infer(x)


def test_concat_formats():
    a, b = value((2, 3)), value((2, 1), 0, 15)
    assert Concat(1).infer(a, b) == ((2, 4), ScaledInt(-8, 15, (0.25,)))
    assert Concat(1).infer(a, value((2, 1), scale=(0.5,)))[1].scale == (0.25,) * 3 + (0.5,)
    assert Concat(0).infer(a, value((4, 3), scale=(0.5,))) == ((6, 3), Real())
    mixed = [a, value((2, 3), scale=(0.5,), zero=1)]
    codes = np.arange(6).reshape(1, 2, 3)
    got = Concat(0).execute(mixed, codes, codes)
    assert got.dtype == np.float32 and got[0, 2:].tolist() == ((codes[0] - 1) * 0.5).tolist()
    with pytest.raises(UnsupportedModel, match="cannot concatenate"):
        Concat(0).infer(a, b)
    with pytest.raises(UnsupportedModel, match="axis"):
        Concat(2).infer(a, b)


def test_combine_is_float32():
    a, b = value((2,)), value((2,), scale=(0.3,), zero=1)
    x, y = np.array([[3, -8]]), np.array([[5, 7]])
    want = np.float32(x * 0.25) + b.format.decode(y)
    assert np.array_equal(Combine("add").execute([a, b], x, y), want)
    assert Combine("div").infer(a, b) == ((2,), Real())
    assert Combine("add").infer(a, b) == ((2,), Real())
    with pytest.raises(UnsupportedModel, match="shapes"):
        Combine("add").infer(a, value((3,)))
    with pytest.raises(ValueError, match="unknown function"):
        Combine("pow")


@pytest.mark.parametrize("function", ["sum", "product", "min", "max"])
def test_join_range_is_reached(function):
    a, b = value((1,), -3, 5), value((1,), 2, 9)
    op = Join(function, 3, -2)
    x, y = (g.reshape(-1, 1) for g in np.meshgrid(np.arange(-3, 6), np.arange(2, 10)))
    got = op.execute([a, b], x, y)
    format = op.infer(a, b)[1]
    assert (got.min(), got.max()) == (format.lo, format.hi)


def test_table_join():
    a, b = value((2,), -1, 1), value((2,), 0, 3)
    table = np.random.default_rng(0).integers(0, 5, (2, 3, 4))
    op = TableJoin(table, ScaledInt(0, 4))
    assert op.infer(a, b) == ((2,), ScaledInt(0, 4))
    x, y = np.array([[-1, 1]]), np.array([[3, 0]])
    assert op.execute([a, b], x, y).tolist() == [[table[0, 0, 3], table[1, 2, 0]]]


SCALES = [0.25, 0.0625, 0.375, 3.0, 0.3, 2.0**-140]


@pytest.mark.parametrize("function", ["add", "sub", "mul", "min", "max", "div"])
@pytest.mark.parametrize("left", SCALES)
@pytest.mark.parametrize("right", SCALES)
def test_exact_join_is_float32(function, left, right):
    """Codes come out only where float32 does the very same on all pairs."""
    zero = 1 if function in ("min", "max") and left == right else -2
    a, b = value((1,), -8, 7, (left,), 1), value((1,), 0, 15, (right,), zero, "w")
    assert isinstance(Combine(function).infer(a, a)[1], Real)  # one integer: tabulated
    join = exact_join(function, a.format, b.format)
    x, y = (g.reshape(-1, 1) for g in np.meshgrid(np.arange(-8, 8), np.arange(16)))
    want = Combine(function).evaluate(a.format.decode(x), b.format.decode(y))
    if join is None:
        dyadic = left in SCALES[:4] and right in SCALES[:4]
        assert not dyadic or function in ("div", "min", "max")
        return
    out = Value("o", *join.infer(a, b))
    got = Combine(function).execute([a, b], x, y)
    assert got.dtype == np.int64
    assert np.array_equal(out.format.decode(got), want)


def test_sums_beyond_float32_stay_float():
    wide = ScaledInt(0, (1 << 23) + 5, (0.25,))
    assert exact_join("add", wide, ScaledInt(0, 3, (0.25,))) is not None
    assert exact_join("add", wide, wide) is None


def test_reshape_repeats_scales():
    x = value((3, 2), scale=(0.5, 0.25))
    assert Reshape((6,)).infer(x)[1].scale == (0.5, 0.25) * 3
    with pytest.raises(UnsupportedModel, match="different scale"):
        Reshape((2, 3)).infer(x)
