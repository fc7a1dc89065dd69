"""How far float32 may lead from the exact product of two computed values, and from a softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from codesign.formats import ScaledInt
from codesign.ops.dynamic_matmul import DynamicMatMul

if TYPE_CHECKING:
    from codesign.ir import Value

UNIT = 2.0**-24  # unit roundoff of float32


def product_interval(
    op: DynamicMatMul, ins: list[Value], out: Value, a: np.ndarray, b: np.ndarray
) -> list[np.ndarray]:
    """Low, exact and high float32 of the product of codes ``a`` and ``b`` (Higham, section 3.5:
    the terms' magnitudes times their number and the unit roundoff)."""
    assert isinstance(out.format, ScaledInt)
    scale = np.asarray(out.format.scale)
    exact = op.execute(ins, a, b) * scale
    plain = [_plain(v) for v in ins]
    sizes = [np.abs(x - v.format.zero_point) for v, x in zip(ins, (a, b), strict=True)]  # type: ignore[attr-defined]
    most = op.execute(plain, *sizes) * scale
    error = (op.sizes.k + 8) * UNIT * (most + np.abs(exact))
    return [(exact + d).astype(np.float32) for d in (-error, 0.0, error)]


def _plain(value: Value) -> Value:
    """The same value without a zero point."""
    from codesign.ir import Value as Made

    format = value.format
    assert isinstance(format, ScaledInt)
    return Made(value.name, value.shape, ScaledInt(format.lo, format.hi, format.scale))
