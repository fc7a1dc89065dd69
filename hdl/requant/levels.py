"""Number a step first, then look the code of that step up."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Value

from codesign.hdl.memories import LUT_DEPTH
from codesign.hdl.requant.base import Lane, Ranges, Realisation, same_channels
from codesign.hdl.requant.lookup import Rom


@dataclass(frozen=True, eq=False)
class Levels(Realisation):
    """``code = levels[c, index(x)]`` for functions of few steps that are not equally high.

    ``index``: a realisation whose codes number the steps, ``0..n - 1``. levels: int64 [C, n] or
    [1, n]. Minifloats, and functions that rise and fall, are this.
    """

    index: Realisation
    levels: np.ndarray

    def __post_init__(self) -> None:
        levels = np.asarray(self.levels)
        if levels.ndim != 2 or levels.size == 0 or not np.issubdtype(levels.dtype, np.integer):
            raise ValueError(f"levels hold integers [C, n], got {levels.dtype} {levels.shape}")
        if isinstance(self.index, Levels | Rom):
            raise ValueError("a table needs no levels: put the codes into the table")
        object.__setattr__(self, "levels", levels.astype(np.int64))

    @property
    def channels(self) -> int:
        return same_channels(levels=self.levels, index=np.zeros(self.index.channels))

    def inner(self, ranges: Ranges) -> Ranges:
        """Ranges of ``index`` inside this."""
        return Ranges(ranges.in_lo, ranges.in_hi, 0, self.levels.shape[1] - 1)

    def evaluate(self, x: np.ndarray, ranges: Ranges | None = None) -> np.ndarray:
        x = np.asarray(x)
        place = self.index.evaluate(x, None if ranges is None else self.inner(ranges))
        place = np.broadcast_to(place, x.shape)
        channel = np.arange(len(self.levels)) if len(self.levels) > 1 else np.zeros(1, np.int64)
        return np.asarray(self.levels[np.broadcast_to(channel, x.shape), place])

    def fields(self, ranges: Ranges) -> Mapping[str, np.ndarray]:
        return self.index.fields(self.inner(ranges))

    def stages(self, ranges: Ranges) -> int:
        return 1 + self.index.stages(self.inner(ranges))

    def lane(self, at: Lane, x: Value, parameters: Mapping[str, Value]) -> Value:
        """The step's number; :class:`Requant` adds the memory behind it."""
        return self.index.lane(at, x, parameters)

    def words(self, ranges: Ranges, channel: int) -> list[int]:
        """The memory's words for one channel, one per step, a power of two of them."""
        row = self.levels[channel if len(self.levels) > 1 else 0]
        mask = (1 << ranges.out_bits) - 1
        depth = 1 << self.inner(ranges).out_bits
        return [int(row[min(i, len(row) - 1)]) & mask for i in range(depth)]

    def lut_estimate(self, ranges: Ranges, folds: int = 1) -> int:
        inner = self.inner(ranges)
        depth = (1 << inner.out_bits) * (folds if len(self.levels) > 1 else 1)
        table = ranges.out_bits * -(-depth // 16) if depth <= LUT_DEPTH else 2
        return self.index.lut_estimate(inner, folds) + table
