"""Convolutions and pools on codes against PyTorch-free, loop-by-loop definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import UnsupportedModel
from codesign.formats import Real, ScaledInt
from codesign.ir import Value
from codesign.ops import convolve as convolve_module
from codesign.ops.conv import Conv
from codesign.ops.convolve import Convolve
from codesign.ops.geometry import Geometry
from codesign.ops.max_pool import MaxPool
from codesign.ops.sum_pool import SumPool

CASES = settings(max_examples=40, derandomize=True, deadline=None, database=None)


@st.composite
def windows(draw):
    """A geometry that has output pixels."""
    pick = lambda lo, hi: draw(st.integers(lo, hi))  # noqa: E731
    kernel, dilations = (pick(1, 3), pick(1, 3)), (pick(1, 2), pick(1, 2))
    pads = tuple(pick(0, 2) for _ in range(4))
    size = tuple(
        max(pick(1, 6), (k - 1) * d + 1 - pads[a] - pads[a + 2], 1)
        for a, (k, d) in enumerate(zip(kernel, dilations, strict=True))
    )
    return Geometry(size, kernel, (pick(1, 3), pick(1, 3)), dilations, pads)


def padded(x, g, fill):
    top, left, bottom, right = g.pads
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)


def view(x, g, oy, ox):
    """[B, kh, kw, C]: the window at an output pixel of a padded map."""
    y, x0 = oy * g.strides[0], ox * g.strides[1]
    return x[:, y : y + g.reach[0] + 1 : g.dilations[0], x0 : x0 + g.reach[1] + 1 : g.dilations[1]]


def each(x, g, function):
    oh, ow = g.out_size
    rows = [np.stack([function(view(x, g, i, j)) for j in range(ow)], axis=1) for i in range(oh)]
    return np.stack(rows, axis=1)


def options(g):
    return {"strides": g.strides, "dilations": g.dilations, "pads": g.pads}


@CASES
@given(windows(), st.integers(1, 2), st.integers(1, 3), st.integers(1, 2), st.integers(0, 9999))
def test_conv_equals_loops(g, groups, inner, per_group, seed):
    rng = np.random.default_rng(seed)
    n, zero = groups * per_group, int(rng.integers(-3, 4))
    weights = rng.integers(-7, 8, (n, *g.kernel, inner))
    value = Value("x", (*g.size, inner * groups), ScaledInt(-8, 7, (0.5,), zero))
    x = rng.integers(-8, 8, (3, *value.shape))

    def dot(seen):
        parts = seen.reshape(*seen.shape[:3], groups, inner)
        kernels = weights.reshape(groups, per_group, *g.kernel, inner)
        return np.einsum("byxgc,gnyxc->bgn", parts, kernels).reshape(len(seen), n)

    want = each(padded(x - zero, g, 0), g, dot)
    conv = Conv(weights, np.ones(1), groups=groups, **options(g))
    assert np.array_equal(conv.execute([value], x), want)
    shape, format = conv.infer(value)
    assert shape == want.shape[1:] and format.lo <= want.min() and want.max() <= format.hi
    bias = -zero * weights.sum(axis=(1, 2, 3))
    circuit = Convolve(weights, bias, np.ones(1), groups=groups, pad_code=zero, **options(g))
    assert np.array_equal(circuit.execute([value], x), want)
    got = circuit.infer(value)
    assert (got[0], got[1].lo, got[1].hi) == (shape, format.lo, format.hi)


@CASES
@given(windows(), st.integers(1, 3), st.integers(0, 9999))
def test_pools_equal_loops(g, channels, seed):
    rng = np.random.default_rng(seed)
    value = Value("x", (*g.size, channels), ScaledInt(-8, 7, (0.5,), 2))
    x = rng.integers(-8, 8, (3, *value.shape))
    total = SumPool(g.kernel, **options(g))
    want = each(padded(x - 2, g, 0), g, lambda seen: seen.sum(axis=(1, 2)))
    assert np.array_equal(total.execute([value], x), want)
    format = total.infer(value)[1]
    assert format.lo <= want.min() and want.max() <= format.hi
    best = MaxPool(g.kernel, **options(g))
    if (g.indices() < 0).all(axis=(2, 3)).any():
        with pytest.raises(UnsupportedModel, match="padding alone"):
            best.infer(value)
        return
    want = each(padded(x, g, -99), g, lambda seen: seen.max(axis=(1, 2)))
    assert np.array_equal(best.execute([value], x), want)
    real = Value("x", value.shape, Real())
    got = best.execute([real], x.astype(np.float32))
    assert got.dtype == np.float32 and np.array_equal(got, want)


def test_one_dimension_is_one_row():
    weights = np.arange(6).reshape(2, 1, 3, 1)
    conv = Conv(weights, np.ones(1), pads=(0, 1, 0, 1))
    value = Value("x", (4, 1), ScaledInt(0, 3))
    x = np.array([[1, 2, 3, 0]])[..., None]
    assert conv.infer(value)[0] == (4, 2)
    assert conv.execute([value], x)[0, :, 0].tolist() == [5, 8, 3, 0]


def test_chunks_do_not_show(monkeypatch):
    rng = np.random.default_rng(0)
    weights = rng.integers(-3, 4, (4, 3, 3, 2))
    value = Value("x", (7, 5, 2), ScaledInt(0, 7))
    conv, x = Conv(weights, np.ones(1), pads=(1, 1, 1, 1)), rng.integers(0, 8, (9, 7, 5, 2))
    whole = conv.execute([value], x)
    for limit in (1, 40, 18 * 35 * 2):
        monkeypatch.setattr(convolve_module, "GATHER", limit)
        assert np.array_equal(conv.execute([value], x), whole)


@pytest.mark.parametrize(
    ("shape", "format", "message"),
    [
        ((4,), ScaledInt(0, 3), r"a value of shape \(4,\)"),
        ((2, 2, 1), ScaledInt(0, 3), "3 x 3 does not fit into 2 x 2"),
        ((4, 4, 2), ScaledInt(0, 3), "reads 2 channels"),
        ((4, 4, 1), Real(), "not quantized"),
        ((4, 4, 1), ScaledInt(0, 3, (1.0, 2.0)), "one scale per channel"),
    ],
)
def test_says_what_is_wrong(shape, format, message):
    with pytest.raises(UnsupportedModel, match=message):
        Conv(np.ones((1, 3, 3, 1), int), np.ones(1)).infer(Value("x", shape, format))
