"""How far float32 may lead from the exact product of two computed values, and from a softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from codesign.formats import ScaledInt
from codesign.ops.dynamic_matmul import DynamicMatMul
from codesign.ops.normalize import Normalize
from codesign.ops.softmax import Softmax
from codesign.ops.unary import ULPS

if TYPE_CHECKING:
    from codesign.ir import Value

UNIT = 2.0**-24  # unit roundoff of float32


def product_interval(
    op: DynamicMatMul,
    ins: list[Value],
    out: Value,
    codes: list[np.ndarray],
    deviations: list[np.ndarray | float],
) -> list[np.ndarray]:
    """Low, exact and high float32 of the product of two values, of ``codes`` if they were exact,
    that lie up to ``deviations`` from them (Higham, section 3.5: the terms' magnitudes times their
    number and the unit roundoff)."""
    assert isinstance(out.format, ScaledInt)
    scale = np.asarray(out.format.scale)
    exact = op.execute(ins, *codes) * scale
    plain, sizes, far = [_plain(v) for v in ins], [], []
    for value, code, deviation in zip(ins, codes, deviations, strict=True):
        assert isinstance(value.format, ScaledInt)
        sizes.append(np.abs(code - value.format.zero_point))
        far.append(np.broadcast_to(deviation / np.asarray(value.format.scale), code.shape))

    def most(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return magnitude(lambda *wholes: op.execute(plain, *wholes), a, b) * scale

    moved = most(sizes[0], far[1]) + most(far[0], sizes[1] + far[1])
    error = (op.sizes.k + 8) * UNIT * (most(*sizes) + moved + np.abs(exact)) + moved
    return [(exact + d).astype(np.float32) for d in (-error, 0.0, error)]


def magnitude(product: Callable[..., np.ndarray], *sizes: np.ndarray) -> np.ndarray:
    """``product``, of integers and linear in each, of ``sizes`` >= 0 that need not be whole:
    float64, too large by 2^-20 of each factor's greatest element at most."""
    units, wholes = 1.0, []
    for size in sizes:
        whole = bool((size == np.rint(size)).all())
        unit = 1.0 if whole else float(size.max(initial=0)) * 2.0**-20
        units *= unit
        wholes.append(np.ceil(size / unit).astype(np.int64))
    return product(*wholes) * units


def softmax_interval(op: Softmax, given: list[np.ndarray]) -> list[np.ndarray]:
    """Low, exact and high float32 of a softmax whose scores lie in ``given``.

    Each score against the others' opposite ends; then the roundings of the difference from the
    maximum (which the exponential magnifies by its size), of the exponential (two units in the
    last place), the sum and the quotient, and as much again as one of them for the table.
    """
    if op.log:
        return [np.full_like(given[0], -np.inf), given[1], np.full_like(given[0], np.inf)]
    axis = op.axis + 1
    low, _, high = (g.astype(np.float64) for g in given)
    top = high.max(axis=axis, keepdims=True)
    least, most = np.exp(low - top), np.exp(high - top)
    under = least / (least + most.sum(axis=axis, keepdims=True) - most)
    over = most / (most + least.sum(axis=axis, keepdims=True) - least)
    size = np.abs(low - top)
    error = (low.shape[axis] + 2 * ULPS + 8 + size + size.max(axis=axis, keepdims=True)) * UNIT
    error = error + 2.0**-126 / np.maximum(under, 2.0**-126)
    exact = np.exp(given[1] - top) / np.exp(given[1] - top).sum(axis=axis, keepdims=True)
    ends = under * (1 - error), exact, over * (1 + error)
    return [np.asarray(e, dtype=np.float32) for e in ends]


def normalize_interval(op: Normalize, given: list[np.ndarray]) -> list[np.ndarray]:
    """Low, exact and high float32 of a normalisation whose input lies in ``given``.

    To first order, doubled: the errors of the mean and of the difference from it, divided by the
    deviation; and half the relative error of the variance, which another execution may compute
    as the mean of squares less the square of the mean.
    """
    low, x, high = (g.astype(np.float64) for g in given)
    n = x.shape[-1]
    wide = (high - low).max(axis=-1, keepdims=True)
    size = np.abs(x).mean(axis=-1, keepdims=True)
    squares = (x * x).mean(axis=-1, keepdims=True)
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True) + op.epsilon
    deviation = np.sqrt(variance)
    exact = centred / deviation
    apart = 2 * wide + (n + 2) * UNIT * size + 2 * UNIT * np.abs(centred)
    spread = 4 * wide * (deviation + size + wide) + 2 * (n + 4) * UNIT * (squares + op.epsilon)
    share = spread / variance
    error = 2 * (apart / deviation + np.abs(exact) * (share / 2 + 6 * UNIT))
    most = 1.01 * np.sqrt(n)  # whatever happens, no element is further from the mean
    ends = [np.where(share < 0.25, exact + d * error, d * most) for d in (-1.0, 1.0)]
    low, high = (np.clip(e, -most, most) for e in ends)
    return [np.asarray(e, dtype=np.float32) for e in (low, exact, high)]


def _plain(value: Value) -> Value:
    """The same value without a zero point."""
    from codesign.ir import Value as Made

    format = value.format
    assert isinstance(format, ScaledInt)
    return Made(value.name, value.shape, ScaledInt(format.lo, format.hi, format.scale))
