"""Binary search among sorted thresholds: one comparison a stage."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Module, Shape, Value

from codesign.hdl.memories import rom, style_for
from codesign.hdl.requant.base import Lane, Ranges, Realisation, delayed
from codesign.hdl.requant.thresholds import Thresholds
from codesign.hdl.stream import range_shape


@dataclass(frozen=True, eq=False)
class Search(Realisation):
    """The function of ``steps``, found in ``depth`` comparisons instead of one for each threshold.

    Level ``k`` of the tree is a memory of ``2**k`` thresholds per channel, addressed by the
    comparisons so far. A level costs a stage (two where it is block memory, which is slow to
    read), and one comparator whatever the number of thresholds. ``folds``: sets of thresholds
    that a lane goes through.
    """

    steps: Thresholds
    folds: int = 1

    def __post_init__(self) -> None:
        if self.steps.thresholds.shape[1] < 1:
            raise ValueError("a search needs at least one threshold")

    @property
    def channels(self) -> int:
        return self.steps.channels

    @property
    def depth(self) -> int:
        """Comparisons on the way."""
        return self.steps.thresholds.shape[1].bit_length()

    def evaluate(self, x: np.ndarray, ranges: Ranges | None = None) -> np.ndarray:
        return self.steps.evaluate(x, ranges)

    def fields(self, ranges: Ranges) -> Mapping[str, np.ndarray]:
        found = self.steps.fields(ranges)
        return {"start": found["start"], "down": found["down"]}

    def level(self, k: int, ranges: Ranges) -> np.ndarray:
        """int64 [C, 2**k]: the thresholds compared at level ``k``; above the range: never."""
        table = np.clip(self.steps.thresholds, ranges.in_lo, ranges.in_hi + 1)
        size = 1 << self.depth
        padded = np.full((len(table), size - 1), ranges.in_hi + 1, dtype=np.int64)
        padded[:, : table.shape[1]] = table
        gap = size >> (k + 1)
        return padded[:, gap - 1 :: 2 * gap]

    def words(self, k: int, ranges: Ranges, channels: list[int]) -> tuple[list[int], Shape]:
        """The memory of level ``k`` for one lane, whose fold ``f`` serves ``channels[f]``, and
        what its words are."""
        level = self.level(k, ranges)
        rows = [level[c if len(level) > 1 else 0] for c in channels]
        if all((row == rows[0]).all() for row in rows):
            rows = rows[:1]
        flat = [int(t) for row in rows for t in row]
        return flat, range_shape(min(flat), max(flat))

    def registers(self, k: int, ranges: Ranges) -> int:
        """Registers of level ``k``: its memory's, and one behind a block memory."""
        words = (1 << k) * (self.folds if self.channels > 1 else 1)
        return 2 if style_for(words, ranges.in_bits + 1) == "block" else 1

    def stages(self, ranges: Ranges) -> int:
        return 1 + sum(self.registers(k, ranges) for k in range(self.depth))

    def lane(self, at: Lane, x: Value, parameters: Mapping[str, Value]) -> Value:
        raise AssertionError("a search is a pipeline of memories, see Requant")

    def lut_estimate(self, ranges: Ranges, folds: int = 1) -> int:
        total, width = ranges.out_bits, ranges.in_bits + 1
        for k in range(self.depth):
            words = (1 << k) * (self.folds if self.channels > 1 else 1)
            memory = 0 if style_for(words, width) == "block" else -(-words // 16) * width
            total += width + memory
        return total

    def block_rams(self, ranges: Ranges) -> int:
        """Block RAMs of one lane (16 kbit each)."""
        width, total = ranges.in_bits + 1, 0
        for k in range(self.depth):
            words = (1 << k) * (self.folds if self.channels > 1 else 1)
            if style_for(words, width) == "block":
                total += -(-words * width // (1 << 14))
        return total


def search(
    m: Module,
    ce: Value,
    real: Search,
    ranges: Ranges,
    lane: int,
    x: Value,
    fold: Value,
    channels: list[int],
) -> Value:
    """How many thresholds ``x`` reaches, ``real.stages - 1`` enabled cycles after it came.

    ``channels[f]``: the channel that ``lane`` serves while ``fold`` (which goes with ``x``) is f.
    """
    place: Value = Const(0, 0)
    for k in range(real.depth):
        words, shape = real.words(k, ranges, channels)
        style = style_for(len(words), shape.width)
        mask = (1 << shape.width) - 1
        masked = [w & mask for w in words]
        address, data = rom(m, f"level{k}_{lane}", masked, shape.width, style, ce)
        many = len(words) > 1 << k
        m.d.comb += address.eq(Cat(place, fold) if many else place)
        registers = real.registers(k, ranges)
        if registers == 2:
            data = delayed(m, ce, data, 1, f"threshold{k}_{lane}")
        x = delayed(m, ce, x, registers, f"x{k}_{lane}")
        fold = delayed(m, ce, fold, registers, f"fold{k}_{lane}")
        place = delayed(m, ce, place, registers, f"place{k}_{lane}")
        place = Cat(x >= (data.as_signed() if shape.signed else data), place)
    return place
