"""Any function of two codes: a table addressed by both."""

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Module, Signal, Value

from codesign.hdl.join import TwoInputs
from codesign.hdl.memories import Counter, rom, style_for
from codesign.hdl.stream import range_shape

#: The widest address of one lane's table.
MAX_ADDRESS = 18


class TableJoin(TwoInputs):
    """``table[c, a - lo_a, b - lo_b]`` for element ``n`` of a frame, channel ``c = n mod C``.

    ``table``: int64 [C, A, B] or [1, A, B]. Latency 1: the table's own register. With more than
    one channel ``lanes`` divides ``C`` (or ``C`` divides ``lanes``), so that a lane has the same
    channels in every frame.
    """

    latency = 1

    def __init__(
        self,
        table: np.ndarray,
        *,
        ranges: Sequence[tuple[int, int]],
        out_range: tuple[int, int],
        elements: int,
        lanes: int,
    ) -> None:
        self._table = np.asarray(table, dtype=np.int64)
        channels = len(self._table)
        sizes = tuple(hi - lo + 1 for lo, hi in ranges)
        if self._table.ndim != 3 or self._table.shape[1:] != sizes:
            raise ValueError(f"table holds [C, {sizes[0]}, {sizes[1]}], got {self._table.shape}")
        if channels > 1 and elements > channels and channels % lanes and lanes % channels:
            raise ValueError(f"{lanes} lanes and {channels} channels: one must divide the other")
        self._folds = max(1, -(-channels // lanes))
        super().__init__(ranges, out_range, elements, lanes)
        self._widths = [range_shape(*r).width for r in self.ranges]
        if self.address_bits > MAX_ADDRESS:
            raise ValueError(f"a table of {self.address_bits} address bits; {MAX_ADDRESS} at most")

    @property
    def address_bits(self) -> int:
        """Bits of one lane's address."""
        return sum(self._widths) + (self._folds - 1).bit_length()

    @property
    def in_block(self) -> bool:
        """Whether the tables are in block memory."""
        return style_for(self._folds << sum(self._widths), self.shape.width) == "block"

    @property
    def luts(self) -> int:
        """LUT4s (rough)."""
        words = -(-(1 << self.address_bits) // 16)
        return self.lanes * (2 if self.in_block else self.shape.width * words) + 10

    @property
    def ffs(self) -> int:
        """Flip-flops (rough)."""
        return 2 + self.beats.bit_length() + (0 if self.in_block else self.lanes * self.shape.width)

    @property
    def brams(self) -> int:
        """Block RAMs of 16 kbit, at most 18 bits wide."""
        bits = self.shape.width << self.address_bits
        return self.lanes * -(-bits // (1 << 14)) if self.in_block else 0

    def result(self, m: Module, lane: int, ce: Value, a: Value, b: Value, take: Value) -> Value:
        if lane == 0 and self._folds > 1:
            self._fold = Counter(m, "fold", self._folds, take)
        style = "block" if self.in_block else "lut"
        address, data = rom(m, f"table{lane}", self._words(lane), self.shape.width, style, ce)
        parts = [b.as_unsigned(), a.as_unsigned()]
        if self._folds > 1:
            parts.append(self._fold.value)
        m.d.comb += address.eq(Cat(*parts))
        code = Signal(self.shape, name=f"code{lane}")
        m.d.comb += code.eq(data)
        return code

    def _words(self, lane: int) -> list[int]:
        """Indexed by fold, then the two's complement bits of ``a``, then those of ``b``."""
        mask = (1 << self.shape.width) - 1
        rows, columns = (_places(r, w) for r, w in zip(self.ranges, self._widths, strict=True))
        words: list[int] = []
        for fold in range(self._folds):
            channel = (fold * self.lanes + lane) % len(self._table)
            words += (self._table[channel][np.ix_(rows, columns)] & mask).reshape(-1).tolist()
        return words


def _places(span: tuple[int, int], width: int) -> np.ndarray:
    """Row of the table for each bit pattern of ``width`` bits; patterns that never occur take a
    neighbour's."""
    codes = np.arange(1 << width)
    if span[0] < 0:
        codes = np.where(codes >= 1 << (width - 1), codes - (1 << width), codes)
    return np.asarray(np.clip(codes, *span) - span[0])
