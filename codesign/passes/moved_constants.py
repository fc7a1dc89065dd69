"""Constants of element-wise operations that follow the elements they belong to."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from codesign.ir import Op
from codesign.ops.chain import constants_of, over, pick


def per_channel(op: Op, shape: tuple[int, ...]) -> bool:
    """Whether the constants of ``op`` on a value of ``shape`` vary over the last axis only."""
    return all(c.size == 1 or c.size == c.shape[-1] == shape[-1] for c in constants_of(op))


def moved(
    op: Any,
    shape: tuple[int, ...],
    source: np.ndarray,
    same: tuple[np.ndarray, np.ndarray] | None = None,
) -> Any | None:
    """``op`` for a value whose element ``p`` is element ``source.flat[p]`` of one of ``shape``.

    ``source``: int64 of the new shape, -1 where the element is never used. ``same``: two lists of
    old elements that must have equal constants in pairs. None where no constants fit.
    """
    columns = np.stack([over(c.astype(np.float64), shape) for c in constants_of(op)])
    if same is not None and not np.array_equal(columns[:, same[0]], columns[:, same[1]]):
        return None
    channels = source.shape[-1] if source.ndim else 1
    rows = source.reshape(-1, channels)
    used = rows >= 0
    if not used.any():
        return None
    first = rows[used.argmax(axis=0), np.arange(channels)]
    first = np.where(first >= 0, first, rows[used][0])
    rows = np.where(used, rows, first)
    if np.array_equal(columns[:, rows], columns[:, np.broadcast_to(first, rows.shape)]):
        return pick(op, shape, first)
    if hasattr(op, "pick"):
        return None
    arrays = {f.name: getattr(op, f.name) for f in fields(op)}
    wide = {
        name: _narrow(over(array, shape)[rows].reshape(source.shape))
        for name, array in arrays.items()
        if isinstance(array, np.ndarray) and array.size > 1
    }
    return replace(op, **wide)


def _narrow(array: np.ndarray) -> np.ndarray:
    """Without leading axes along which it does not vary: steps of a loop must be alike."""
    while array.ndim > 1 and (array == array[:1]).all():
        array = array[0]
    return array
