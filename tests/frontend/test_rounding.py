"""Quant against qonnx's own ``int_quant``, code by code, where float32 is delicate."""

from __future__ import annotations

import numpy as np
import pytest
from qonnx.custom_op.general.intquant import int_quant

from codesign.formats.rounding import ROUNDING
from codesign.ops.quant import Quant

SCALES = [np.float32(2.0**-4), np.float32(0.1), np.float32(0.0613), np.float32(3.7)]


def delicate(scale: np.float32, zero_point: float) -> np.ndarray:
    """Ties, their neighbours one ulp away, saturation, signed zeros, huge and tiny values."""
    steps = np.arange(-24, 25, dtype=np.float32) * np.float32(0.5) - np.float32(zero_point)
    grid = (steps * scale).astype(np.float32)
    extremes = [-0.0, 0.0, 1e6, -1e6, 1e-30, -1e-30, 1e30, -1e30, np.inf, -np.inf, 1e-45]
    noise = np.random.default_rng(0).normal(scale=8, size=2000) * scale
    up, down = np.nextafter(grid, np.float32(np.inf)), np.nextafter(grid, np.float32(-np.inf))
    parts = [grid, up, down, np.array(extremes), noise]
    return np.concatenate([np.asarray(p, dtype=np.float32) for p in parts])


def qonnx_codes(x: np.ndarray, op: Quant) -> np.ndarray:
    """The integer qonnx rounds to, from the values it returns."""
    bits, zero = np.float32(op.bits), op.zero_point[0]
    y = int_quant(x, op.scale, zero, bits, op.signed, op.narrow, op.rounding)
    return np.rint(y.astype(np.float64) / op.scale.astype(np.float64)) + zero


@pytest.mark.parametrize("mode", sorted(ROUNDING))
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("zero_point", [0.0, 3.0, -2.0])
def test_codes_equal_qonnx(mode: str, scale: np.float32, zero_point: float) -> None:
    for signed, narrow, bits in [(1, 0, 4), (1, 1, 4), (0, 0, 4), (0, 1, 3), (0, 0, 1), (1, 0, 8)]:
        op = Quant(scale, np.float32(zero_point), bits, bool(signed), bool(narrow), mode)
        x = delicate(scale, zero_point)
        codes = op.evaluate(x)
        assert np.array_equal(codes, qonnx_codes(x, op))
        assert codes.min() >= op.out_format.lo
        assert codes.max() <= op.out_format.hi


@pytest.mark.parametrize("mode", sorted(ROUNDING))
def test_decoding_equals_qonnx_bit_for_bit(mode: str) -> None:
    for scale in SCALES:
        op = Quant(scale, np.float32(1), 6, True, False, mode)
        x = delicate(scale, 1.0)
        want = int_quant(x, op.scale, op.zero_point[0], np.float32(6), True, False, mode)
        assert np.array_equal(op.out_format.decode(op.evaluate(x)), want.astype(np.float32))


def test_per_channel_scales() -> None:
    scales = np.array([0.25, 0.1, 0.3], dtype=np.float32)
    op = Quant(scales, np.float32(0), 4, True)
    x = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    columns = [Quant(s, np.float32(0), 4, True).evaluate(x[:, i]) for i, s in enumerate(scales)]
    assert np.array_equal(op.evaluate(x), np.stack(columns, axis=1))


def test_round_is_half_to_even_and_never_decreasing() -> None:
    op = Quant(np.float32(1), np.float32(0), 4, True)
    assert op.evaluate(np.float32([0.5, 1.5, 2.5, -0.5, -1.5])).tolist() == [0, 2, 2, 0, -2]
    for mode in ROUNDING:
        codes = Quant(np.float32(0.3), np.float32(1), 4, True, False, mode).evaluate(
            np.sort(delicate(np.float32(0.3), 1.0))
        )
        assert (np.diff(codes) >= 0).all()


def test_unknown_mode() -> None:
    with pytest.raises(ValueError, match="unknown rounding mode 'NEAREST'"):
        Quant(np.float32(1), np.float32(0), 4, True, False, "NEAREST")
