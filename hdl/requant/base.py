"""What every realisation of a step function shares."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Const, Module, Mux, Signal, Value

from codesign.formats.base import bits_for
from codesign.hdl.stream import range_shape


@dataclass(frozen=True)
class Ranges:
    """Inclusive ranges of the integers that enter and the codes that leave."""

    in_lo: int
    in_hi: int
    out_lo: int
    out_hi: int

    @property
    def in_bits(self) -> int:
        """Width of the incoming integer."""
        return bits_for(self.in_lo, self.in_hi)

    @property
    def out_bits(self) -> int:
        """Width of the code."""
        return bits_for(self.out_lo, self.out_hi)


@dataclass
class Lane:
    """Where a realisation builds one lane: ``register`` cuts the path if ``stages`` is 2."""

    m: Module
    ranges: Ranges
    register: Callable[[Value], Value]

    def wire(self, value: Value, lo: int, hi: int, name: str) -> Value:
        """``value`` on a wire of its own, wide enough for ``lo..hi``."""
        wire = Signal(range_shape(lo, hi), name=name)
        self.m.d.comb += wire.eq(value)
        return wire


class Realisation(ABC):
    """A function from integer to integer code for each channel, as a lane of logic.

    Arrays have a leading channel axis of length C, or 1 when all channels agree.
    """

    @property
    @abstractmethod
    def channels(self) -> int:
        """C, or 1 when all channels agree."""

    @abstractmethod
    def evaluate(self, x: np.ndarray, ranges: Ranges | None = None) -> np.ndarray:
        """Codes (int64) of ``x``, int64 [..., C]."""

    @abstractmethod
    def fields(self, ranges: Ranges) -> Mapping[str, np.ndarray]:
        """Per-channel parameters: name to int64 [C]."""

    @abstractmethod
    def lane(self, at: Lane, x: Value, parameters: Mapping[str, Value]) -> Value:
        """The code of ``x``; a ``Const`` parameter is the same in every beat."""

    @abstractmethod
    def stages(self, ranges: Ranges) -> int:
        """Registers the lane needs, 1 or 2."""

    @abstractmethod
    def lut_estimate(self, ranges: Ranges, folds: int = 1) -> int:
        """LUT4s of one lane whose parameters take ``folds`` sets of values (rough)."""


def rom_luts(bits: int, folds: int) -> int:
    """LUT4s of a table of ``folds`` words of ``bits`` bits (none in block memory)."""
    return 0 if folds <= 1 else bits * -(-folds // 16) if folds <= 64 else 8


class AtLeast:
    """``x >= bound`` for constants, each a tree of LUTs instead of a carry chain.

    What several bounds have in common, above all comparisons of the high bits of ``x`` with
    sorted thresholds, is one wire: emission takes time and room as the LUTs do.
    """

    def __init__(self, m: Module, x: Value) -> None:
        self._m, self._bits = m, len(x)
        self._offset = 1 << (self._bits - 1) if x.shape().signed else 0
        self._x = Signal(self._bits, name="plain")
        m.d.comb += self._x.eq(x.as_unsigned() ^ self._offset if self._offset else x)
        self._known: dict[tuple[int, int, int], Value] = {}

    def __call__(self, bound: int) -> Value:
        """``x >= bound``, one bit."""
        return self._part(0, self._bits, bound + self._offset)

    def _part(self, start: int, stop: int, bound: int) -> Value:
        """Whether the bits ``start`` to ``stop`` reach ``bound``."""
        bits = stop - start
        if bound <= 0:
            return Const(1, 1)
        if bound >= 1 << bits:
            return Const(0, 1)
        if bits == 1 or bound == 1 << (bits - 1):
            return self._x[stop - 1]
        key = start, stop, bound
        if key not in self._known:
            value = self._split(*key)
            wire = Signal(name=f"from{start}_{bound}")
            self._m.d.comb += wire.eq(value)
            self._known[key] = wire
        return self._known[key]

    def _split(self, start: int, stop: int, bound: int) -> Value:
        bits = stop - start
        half = 4 * -(-bits // 8) if bits > 4 else bits // 2
        middle, top, rest = start + half, bound >> half, bound & ((1 << half) - 1)
        high = self._part(middle, stop, top)
        if rest == 0:
            return high
        return self._part(middle, stop, top + 1) | (high & self._part(start, middle, rest))


def clip(at: Lane, value: Value, lo: int, hi: int) -> Value:
    """``value`` (in ``lo..hi``) limited to the output range."""
    out_lo, out_hi = at.ranges.out_lo, at.ranges.out_hi
    shape = range_shape(out_lo, out_hi)
    wire = at.wire(value, lo, hi, "unclipped")
    result: Value = wire
    at_least = AtLeast(at.m, wire)
    if hi > out_hi:
        result = Mux(at_least(out_hi + 1), Const(out_hi, shape), result)
    if lo < out_lo:
        result = Mux(at_least(out_lo), result, Const(out_lo, shape))
    limited = Signal(shape, name="code")
    at.m.d.comb += limited.eq(result)
    return limited


def column(values: object, name: str) -> np.ndarray:
    """A per-channel array int64 [C], checked."""
    array = np.atleast_1d(np.asarray(values))
    if array.ndim != 1 or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} holds integers [C], got {array.dtype} {array.shape}")
    return array.astype(np.int64)


def same_channels(**arrays: np.ndarray) -> int:
    """The common C of arrays whose length is C or 1."""
    counts = {len(a) for a in arrays.values()} - {1}
    if len(counts) > 1:
        shapes = ", ".join(f"{n} {a.shape}" for n, a in arrays.items())
        raise ValueError(f"channel counts differ: {shapes}")
    return counts.pop() if counts else 1


def delayed(m: Module, ce: Value, value: Value, stages: int, name: str) -> Value:
    """``value`` after ``stages`` enabled cycles."""
    if isinstance(value, Const):
        return value
    for stage in range(stages):
        held = Signal(value.shape(), name=f"{name}_{stage + 1}")
        with m.If(ce):
            m.d.sync += held.eq(value)
        value = held
    return value
