"""Two streams of codes become one, element by element."""

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value
from amaranth.lib.wiring import In, Out

from codesign.hdl import timing
from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, beats_for, range_shape, stream_signature


class TwoInputs(Component):
    """A stalling pipeline that takes a beat of ``i0`` and one of ``i1`` in the same cycle.

    ``ranges``: (lo, hi) of the two inputs' codes; ``out_range`` of the result's; ``elements`` in a
    frame, ``lanes`` a beat on every port. :meth:`result` gives a lane's result, ``latency``
    registers later.
    """

    latency = 1

    def __init__(
        self,
        ranges: Sequence[tuple[int, int]],
        out_range: tuple[int, int],
        elements: int,
        lanes: int,
    ) -> None:
        if elements < 1:
            raise ValueError(f"a frame has at least one element, got {elements}")
        self.ranges = [(int(lo), int(hi)) for lo, hi in ranges]
        self.out_range, self.lanes = out_range, lanes
        self.beats = beats_for(elements, lanes)
        self.shape = range_shape(*out_range)
        first, second = (stream_signature(range_shape(*r), lanes) for r in self.ranges)
        super().__init__(
            {"i0": In(first), "i1": In(second), "o": Out(stream_signature(self.shape, lanes))}
        )

    def timing(self) -> timing.Join:
        """The event model of this component."""
        return timing.Join(self.latency, ("i0", "i1"))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, take = Signal(), Signal()
        m.d.comb += [
            ce.eq(~self.o.valid | self.o.ready),
            take.eq(self.i0.valid & self.i1.valid & ce),
            self.i0.ready.eq(self.i1.valid & ce),
            self.i1.ready.eq(self.i0.valid & ce),
        ]
        beat = Counter(m, "beat", self.beats, take)
        valid, last = take, beat.last
        for stage in range(self.latency):
            final = stage == self.latency - 1
            held = self.o.valid if final else Signal(name=f"valid{stage}")
            ends = self.o.payload.last if final else Signal(name=f"last{stage}")
            with m.If(ce):
                m.d.sync += [held.eq(valid), ends.eq(last)]
            valid, last = held, ends
        for lane in range(self.lanes):
            a, b = (port.payload.data[lane] for port in (self.i0, self.i1))
            result = self.result(m, lane, ce, a, b, take)
            m.d.comb += self.o.payload.data[lane].eq(result)
        return m

    def result(self, m: Module, lane: int, ce: Value, a: Value, b: Value, take: Value) -> Value:
        """The lane's result, ``latency`` registers enabled by ``ce`` after ``a`` and ``b``."""
        raise NotImplementedError


class Join(TwoInputs):
    """``sum``: ``left*a + right*b``; ``product``: ``(a - left)*(b - right)``; ``min``; ``max``.

    Constant multipliers become shifts and adds in signed digits. The result's range is the exact
    one. Latency 1 for plain sums and comparisons, 2 where multipliers are involved.
    """

    def __init__(
        self,
        function: str,
        left: int,
        right: int,
        *,
        ranges: Sequence[tuple[int, int]],
        elements: int,
        lanes: int,
    ) -> None:
        if function not in ("sum", "product", "min", "max"):
            raise ValueError(f"function is sum, product, min or max, got {function!r}")
        self._function, self._left, self._right = function, int(left), int(right)
        digits = len(signed_digits(self._left)) + len(signed_digits(self._right))
        deep = function == "product" or (function == "sum" and digits > 2)
        self.latency = 2 if deep else 1
        super().__init__(ranges, self._range(ranges), elements, lanes)

    def _range(self, ranges: Sequence[tuple[int, int]]) -> tuple[int, int]:
        corners = [self._exact(a, b) for a in ranges[0] for b in ranges[1]]
        return min(corners), max(corners)

    def _exact(self, a: int, b: int) -> int:
        if self._function == "sum":
            return self._left * a + self._right * b
        if self._function == "product":
            return (a - self._left) * (b - self._right)
        return min(a, b) if self._function == "min" else max(a, b)

    @property
    def luts(self) -> int:
        """LUT4s (rough)."""
        width = self.shape.width
        if self._function == "product":
            return 12
        digits = len(signed_digits(self._left)) + len(signed_digits(self._right))
        each = 2 * width if self._function != "sum" else 1.15 * width * max(1, digits - 1)
        return round(self.lanes * each) + 8

    @property
    def dsps(self) -> int:
        """Hardware multipliers: synthesis maps each product to one (18 x 18 bits)."""
        if self._function != "product":
            return 0
        zeros = self._left, self._right
        spans = [(lo - z, hi - z) for (lo, hi), z in zip(self.ranges, zeros, strict=True)]
        a, b = (-(-range_shape(*span).width // 18) for span in spans)
        return self.lanes * a * b

    @property
    def ffs(self) -> int:
        """Flip-flops (rough)."""
        return self.latency * (self.lanes * self.shape.width + 2) + self.beats.bit_length()

    def result(self, m: Module, lane: int, ce: Value, a: Value, b: Value, take: Value) -> Value:
        if self._function == "sum":
            terms = [(a, self._left, self.ranges[0]), (b, self._right, self.ranges[1])]
            first, second = (self._multiple(m, f"{n}{lane}", ce, *t) for n, t in enumerate(terms))
            return self._held(m, f"sum{lane}", ce, first + second)
        if self._function == "product":
            shifted = [
                self._held(m, f"factor{n}_{lane}", ce, x - zero, (lo - zero, hi - zero))
                for n, (x, zero, (lo, hi)) in enumerate(
                    [(a, self._left, self.ranges[0]), (b, self._right, self.ranges[1])]
                )
            ]
            return self._held(m, f"product{lane}", ce, shifted[0] * shifted[1])
        wins = (a < b) if self._function == "min" else (a > b)
        return self._held(m, f"chosen{lane}", ce, Mux(wins, a, b))

    def _multiple(
        self, m: Module, name: str, ce: Value, x: Value, factor: int, span: tuple[int, int]
    ) -> Value:
        """``factor * x``; registered where the join has two stages."""
        wide = range_shape(min(factor * s for s in span), max(factor * s for s in span))
        total: Value = Const(0, 1)
        for shift, sign in signed_digits(factor):
            part = (x << shift) if shift else x
            total = total + part if sign > 0 else total - part
        product = Signal(wide, name=f"multiple{name}")
        if self.latency == 1:
            m.d.comb += product.eq(total)
        else:
            with m.If(ce):
                m.d.sync += product.eq(total)
        return product

    def _held(
        self,
        m: Module,
        name: str,
        ce: Value,
        value: Value,
        span: tuple[int, int] | None = None,
    ) -> Value:
        shape: Shape = range_shape(*(span or self.out_range))
        register = Signal(shape, name=name)
        with m.If(ce):
            m.d.sync += register.eq(value)
        return register


def signed_digits(value: int) -> list[tuple[int, int]]:
    """``value`` as a sum of (shift, +1 or -1) with no two neighbours: the fewest there are."""
    digits, shift = [], 0
    while value:
        if value & 1:
            sign = 2 - (value & 3)
            digits.append((shift, sign))
            value -= sign
        value >>= 1
        shift += 1
    return sorted(digits, key=lambda d: -d[1])
