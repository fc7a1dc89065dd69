"""``product_to_float32`` against exact rational arithmetic; rounding modes against qonnx."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.formats.rounding import ROUNDING, product_to_float32

floats32 = st.floats(2.0**-20, 2.0**10, width=32)


def nearest_float32(exact: Fraction) -> np.float32:
    """Round to nearest even by comparing with both neighbours."""
    guess = np.float32(float(exact))
    around = [
        guess,
        np.nextafter(guess, np.float32(np.inf)),
        np.nextafter(guess, -np.float32(np.inf)),
    ]
    best = min(abs(Fraction(float(f)) - exact) for f in around)
    ties = [f for f in around if abs(Fraction(float(f)) - exact) == best]
    return min(ties, key=lambda f: int(f.view(np.int32)) & 1)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(-(1 << 40), 1 << 40), floats32, floats32)
def test_product_is_rounded_once(code: int, a: float, b: float) -> None:
    scale = np.float64(a) * np.float64(b)
    got = product_to_float32(np.array([code]), scale)[0]
    assert got == nearest_float32(Fraction(code) * Fraction(float(scale)))


def test_product_where_two_roundings_differ() -> None:
    """A product just above a float32 tie that float64 rounds onto the tie."""
    scale = np.float64(np.float32(1 + 2**-23)) * np.float64(np.float32(1 + 2**-22))
    rng = np.random.default_rng(0)
    codes = rng.integers(1 << 24, 1 << 34, 200_000)
    got = product_to_float32(codes, scale)
    naive = (codes.astype(np.float64) * scale).astype(np.float32)
    different = np.flatnonzero(got != naive)
    for i in different[:20]:
        assert got[i] == nearest_float32(Fraction(int(codes[i])) * Fraction(float(scale)))


def test_codes_too_large_are_refused() -> None:
    with pytest.raises(OverflowError):
        product_to_float32(np.array([1 << 53]), np.float64(1))


@pytest.mark.parametrize("mode", ["ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"])
def test_modes_equal_qonnx(mode: str) -> None:
    quant = pytest.importorskip("qonnx.custom_op.general.intquant")
    ties = np.arange(-20, 21, dtype=np.float32) / 2
    inf = np.float32(np.inf)
    x = np.concatenate([ties, np.nextafter(ties, inf), np.nextafter(ties, -inf), [-0.0]])
    x = x.astype(np.float32)
    assert np.array_equal(ROUNDING[mode](x), quant.resolve_rounding_mode(mode)(x))
