"""Look the code up."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Value

from codesign.hdl.memories import LUT_DEPTH
from codesign.hdl.requant.base import Lane, Ranges, Realisation


@dataclass(frozen=True, eq=False)
class Rom(Realisation):
    """``code = table[c, x - lo]``; table: int64 [C, in_hi - in_lo + 1] or [1, ...].

    ``lo``: the least integer that enters. The memory's read register is the pipeline stage, one
    memory per lane, addressed by the fold and the bits of ``x``.
    """

    table: np.ndarray
    lo: int

    def __post_init__(self) -> None:
        table = np.asarray(self.table)
        if table.ndim != 2 or table.size == 0 or not np.issubdtype(table.dtype, np.integer):
            raise ValueError(f"table holds integers [C, n], got {table.dtype} {table.shape}")
        object.__setattr__(self, "table", table.astype(np.int64))

    @property
    def channels(self) -> int:
        return len(self.table)

    def evaluate(self, x: np.ndarray, ranges: Ranges | None = None) -> np.ndarray:
        x = np.asarray(x)
        channel = np.arange(self.channels) if self.channels > 1 else np.zeros(1, np.int64)
        return np.asarray(self.table[np.broadcast_to(channel, x.shape), x - self.lo])

    def fields(self, ranges: Ranges) -> Mapping[str, np.ndarray]:
        return {}

    def stages(self, ranges: Ranges) -> int:
        return 1

    def lane(self, at: Lane, x: Value, parameters: Mapping[str, Value]) -> Value:
        raise AssertionError("a table is read by memory, see Requant")

    def words(self, ranges: Ranges, channel: int) -> list[int]:
        """The memory's words for one channel: indexed by the two's complement bits of ``x``."""
        codes = np.arange(1 << ranges.in_bits)
        if ranges.in_lo < 0:
            codes = np.where(codes >= len(codes) // 2, codes - len(codes), codes)
        row = self.table[channel if self.channels > 1 else 0]
        mask = (1 << ranges.out_bits) - 1
        inside = np.clip(codes, ranges.in_lo, ranges.in_hi) - self.lo
        return [int(v) & mask for v in row[inside]]

    def lut_estimate(self, ranges: Ranges, folds: int = 1) -> int:
        depth = (1 << ranges.in_bits) * (folds if self.channels > 1 else 1)
        return ranges.out_bits * -(-depth // 16) if depth <= LUT_DEPTH else 2
