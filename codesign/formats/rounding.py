"""Rounding: the modes of QONNX, and one correctly rounded product.

Everything here works on float arrays the way the model does; hardware realisations of the same
modes are proven equal to these by the passes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: QONNX rounding modes (``Quant`` attribute ``rounding_mode``), each float -> integral float.
ROUNDING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": lambda x: np.sign(x) * np.floor(np.abs(x)),
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + x.dtype.type(0.5)),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - x.dtype.type(0.5)),
}


def product_to_float32(integers: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """``integers * scale`` rounded to float32 exactly once.

    ``integers``: int64, magnitude below 2^53. ``scale``: float64, broadcastable. The float64
    product alone would be rounded twice. Dekker's product gives the error of the first rounding
    and rounding-to-odd makes the second one correct (Boldo and Melquiond, 2008).
    """
    integers = np.asarray(integers)
    if integers.size and max(abs(int(integers.min())), abs(int(integers.max()))) >= 1 << 53:
        raise OverflowError("integer codes of 2^53 and more have no exact float64 form")
    a, b = np.broadcast_arrays(integers.astype(np.float64), np.asarray(scale, dtype=np.float64))
    high = a * b
    low = _product_error(a, b, high)
    inexact = (low != 0) & ((high.view(np.int64) & 1) == 0)
    # Towards the true value, so that the last bit becomes one ("sticky").
    target = np.where(low > 0, np.inf, -np.inf)
    odd = np.where(inexact, np.nextafter(high, target), high)
    return np.asarray(odd.astype(np.float32))


def _product_error(a: np.ndarray, b: np.ndarray, product: np.ndarray) -> np.ndarray:
    """``a * b - product`` exactly (Veltkamp splitting, then Dekker)."""
    splitter = float((1 << 27) + 1)

    def split(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        c = splitter * x
        top = c - (c - x)
        return top, x - top

    a_hi, a_lo = split(a)
    b_hi, b_lo = split(b)
    return ((a_hi * b_hi - product) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo
