"""Straight-line integer arithmetic with exact ranges that cuts itself into pipeline stages.

A neuron's cell is written as its equations. Each result knows the least and greatest integer it
can be, from which its width follows, and when it settles in its clock cycle; where an operation
would end too late its operands are registered first.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value

from codesign.hdl.join import signed_digits
from codesign.hdl.memories import block_rams, rom, style_for
from codesign.hdl.neurons.number import ALWAYS, Num, constant
from codesign.hdl.pipeline import BLOCK_MEMORY_NS, DSP_NS, LUT_NS, REGISTER_NS
from codesign.hdl.stream import range_shape

#: Entering a carry chain with the wire before it, and passing one of its bits: the two parts of
#: ``adder_ns`` in hdl/pipeline.py.
CHAIN_NS, CARRY_NS = 2.2, 0.04
#: Widest operands of one hardware multiplier.
DSP_BITS = 18


Times = tuple[float, float]


class Flow:
    """The arithmetic of one lane in module ``m``, registers enabled by ``ce``.

    ``budget``: longest path of a stage, in nanoseconds of the model of hdl/pipeline.py.
    """

    def __init__(self, m: Module, ce: Value, budget: float) -> None:
        self.m, self.ce, self._budget = m, ce, budget
        self._held: dict[tuple[int, int], Signal] = {}
        self._shifts: dict[int, tuple[Num, int]] = {}  # what is another number shifted left
        self._kept: list[Num] = []  # so that no id above is used again
        self._names: dict[str, int] = {}
        self.luts, self.ffs, self.dsps, self.brams = 0.0, 0, 0, 0  # what it takes, about

    def fetch(self, parameter: Num, stage: int) -> Num:
        """``parameter`` on a wire in ``stage``."""
        raise NotImplementedError

    # Where and when.

    def at(self, x: Num, stage: int) -> Num:
        """``x`` in a stage not before its own."""
        if x.parameter:
            return self.fetch(x, stage)
        if x.stage in (ALWAYS, stage):
            return x
        if id(x.value) in self._shifts:  # its register would repeat that of what was shifted
            source, bits = self._shifts[id(x.value)]
            return self.shift_left(self.at(source, stage), bits)
        key = (id(x.value), stage)
        if key not in self._held:
            before = self.at(x, stage - 1)
            register = Signal(range_shape(x.lo, x.hi), name=self._name("held"), reset_less=True)
            self.ffs += x.bits
            with self.m.If(self.ce):
                self.m.d.sync += register.eq(before.value)
            self._held[key] = register
            self._kept.append(x)
        register = self._held[key]
        return replace(x, value=register, stage=stage, early=REGISTER_NS, late=REGISTER_NS)

    def registered(self, x: Num) -> Num:
        """``x`` just behind a register, in stage 1 or later."""
        if x.stage == ALWAYS or (x.stage >= 1 and x.late <= REGISTER_NS):
            return x
        return self.at(x, x.stage + 1)

    def _operate(
        self,
        name: str,
        operands: Sequence[Num],
        settle: Callable[[Sequence[Num]], Times],
        value: Callable[[Sequence[Value]], Value],
        lo: int,
        hi: int,
        luts: float,
    ) -> Num:
        """``value`` of the operands, in the first stage in which it settles in time."""
        if lo == hi:
            return constant(lo)
        self.luts += luts
        stage = max(1 if x.parameter else x.stage for x in operands)
        placed = [self.at(x, stage) for x in operands]
        early, late = settle(placed)
        if late > self._budget and max(x.late for x in placed) > REGISTER_NS:
            stage += 1
            placed = [self.at(x, stage) for x in placed]
            early, late = settle(placed)
        wire = Signal(range_shape(lo, hi), name=self._name(name))
        self.m.d.comb += wire.eq(value([x.value for x in placed]))
        return Num(wire, lo, hi, stage, early, late)

    def _name(self, name: str) -> str:
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    # Sums. The lowest bit of a sum waits for the lowest bits of its operands only, so that
    # chains in a row overlap.

    def add(self, a: Num, b: Num, name: str = "sum") -> Num:
        """``a + b``."""
        for x, other in ((a, b), (b, a)):
            if x.constant and x.lo == 0:
                return other
        lo, hi = a.lo + b.lo, a.hi + b.hi
        width = range_shape(lo, hi).width
        return self._operate(name, (a, b), _chained(width), lambda v: v[0] + v[1], lo, hi, width)

    def sub(self, a: Num, b: Num, name: str = "difference") -> Num:
        """``a - b``."""
        if b.constant and b.lo == 0:
            return a
        lo, hi = a.lo - b.hi, a.hi - b.lo
        width = range_shape(lo, hi).width
        return self._operate(name, (a, b), _chained(width), lambda v: v[0] - v[1], lo, hi, width)

    def sum(self, terms: Sequence[Num], name: str = "sum") -> Num:
        """A balanced tree of sums."""
        if not terms:
            return constant(0)
        if len(terms) == 1:
            return terms[0]
        half = len(terms) // 2
        return self.add(self.sum(terms[:half], name), self.sum(terms[half:], name), name)

    def mul(self, a: Num, b: Num, name: str = "product") -> Num:
        """``a * b``: shifts and sums for a constant, a hardware multiplier otherwise."""
        if a.constant:
            a, b = b, a
        for gate, x in ((a, b), (b, a)):
            if (gate.lo, gate.hi) == (0, 1) and not gate.parameter:
                return self.mux(gate, x, constant(0), name)
        if b.constant:
            return self._multiple(a, b.lo, name)
        corners = [x * y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
        pieces = -(-a.bits // DSP_BITS) * -(-b.bits // DSP_BITS)
        ns = DSP_NS + (CHAIN_NS + CARRY_NS * (a.bits + b.bits)) * (pieces - 1).bit_length()
        self.dsps += pieces
        luts = (pieces - 1) * max(a.bits, b.bits)
        return self._operate(
            name, (a, b), _after(ns), lambda v: v[0] * v[1], min(corners), max(corners), luts
        )

    def _multiple(self, a: Num, factor: int, name: str) -> Num:
        plus = [self.shift_left(a, s) for s, sign in signed_digits(factor) if sign > 0]
        minus = [self.shift_left(a, s) for s, sign in signed_digits(factor) if sign < 0]
        total = self.sub(self.sum(plus, name), self.sum(minus, name), name)
        ends = sorted((a.lo * factor, a.hi * factor))
        return self.within(total, *ends)

    # Memory.

    def lookup(self, x: Num, entries: Sequence[int], name: str = "entry") -> Num:
        """``entries[x - x.lo]``, in the stage after that of ``x``."""
        lo, hi = min(entries), max(entries)
        if lo == hi or x.constant:
            return constant(entries[0])
        if x.parameter:
            x = self.at(x, 1)
        shape = range_shape(lo, hi)
        words = [entries[n - x.lo] if x.lo <= n <= x.hi else entries[-1] for n in _patterns(x)]
        words = [word & ((1 << shape.width) - 1) for word in words]
        style = style_for(len(words), shape.width)
        if style == "block":
            self.brams += block_rams(len(words), shape.width)
        else:
            self.luts += shape.width * -(-len(words) // 16)
            self.ffs += shape.width
        ns = BLOCK_MEMORY_NS if style == "block" else REGISTER_NS
        wire = Signal(shape, name=self._name(name))
        self.m.d.comb += wire.eq(self.memory(self._name(f"{name}_table"), words, style, x, shape))
        return Num(wire, lo, hi, x.stage + 1, ns, ns)

    def memory(self, name: str, words: list[int], style: str, at: Num, shape: Shape) -> Value:
        """The word at the two's complement bits of ``at``, a clock later."""
        address, data = rom(self.m, name, words, shape.width, style, self.ce)
        self.m.d.comb += address.eq(Value.cast(at.value).as_unsigned())
        return Value.cast(data)

    # Wires only.

    def within(self, x: Num, lo: int, hi: int) -> Num:
        """``x`` where other reasons bound it to ``lo..hi``."""
        lo, hi = max(x.lo, lo), min(x.hi, hi)
        if lo == hi:
            return constant(lo)
        if x.parameter or range_shape(lo, hi) == range_shape(x.lo, x.hi):
            return x if x.parameter else replace(x, lo=lo, hi=hi)
        return self._wired(x, lambda v: v, lo, hi)

    def shift_left(self, x: Num, bits: int) -> Num:
        """``x * 2**bits``."""
        if bits == 0:
            return x
        shifted = self._wired(x, lambda v: v << bits, x.lo << bits, x.hi << bits)
        self._shifts[id(shifted.value)] = x, bits
        self._kept.append(shifted)
        return shifted

    def floor_shift(self, x: Num, bits: int) -> Num:
        """``x / 2**bits`` rounded down."""
        if bits == 0:
            return x
        return self._wired(x, lambda v: v >> bits, x.lo >> bits, x.hi >> bits)

    def barrel(self, x: Num, bits: Num) -> Num:
        """``x / 2**bits`` rounded down, ``bits`` a number of at least 0."""
        ends = [end >> b for end in (x.lo, x.hi) for b in (bits.lo, bits.hi)]
        settle, luts = _after(LUT_NS * bits.bits), x.bits * bits.bits
        return self._operate(
            "shifted", (x, bits), settle, lambda v: v[0] >> v[1], min(ends), max(ends), luts
        )

    def low_bits(self, x: Num, bits: int, signed: bool) -> Num:
        """The two's complement of ``bits`` bits."""
        lo, hi = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        if lo <= x.lo and x.hi <= hi:
            return x
        return self._wired(x, lambda v: v, lo, hi)

    def bit(self, x: Num, place: int) -> Num:
        """One bit of the two's complement, 0 or 1."""
        place = min(place, x.bits - 1) if x.lo < 0 else place
        if place >= x.bits:
            return constant(0)
        return self._wired(x, lambda v: v[place], 0, 1)

    def negative(self, x: Num) -> Num:
        """1 where ``x < 0``."""
        if x.lo >= 0 or x.hi < 0:
            return constant(int(x.hi < 0))
        return self._wired(x, lambda v: v[-1], 0, 1)

    def _wired(self, x: Num, value: Callable[[Value], Value], lo: int, hi: int) -> Num:
        if x.parameter:
            x = self.at(x, 1)
        return self._operate("bits", (x,), _same, lambda v: value(v[0]), lo, hi, 0)

    # Decisions. They wait for every bit.

    def logic(
        self, value: Callable[..., Value], *of: Num, name: str = "flag", levels: int = 1
    ) -> Num:
        """A flag, 0 or 1, ``levels`` LUTs deep."""
        luts = max(1, sum(x.bits for x in of) // 3)
        return self._operate(name, of, _after(levels * LUT_NS), lambda v: value(*v), 0, 1, luts)

    def any(self, x: Num, name: str = "any") -> Num:
        """1 where ``x`` is not zero."""
        if x.lo > 0 or x.hi < 0:
            return constant(1)
        if (x.lo, x.hi) == (0, 1):
            return x
        return self.logic(lambda v: v != 0, x, name=name, levels=_levels(x.bits))

    def invert(self, flag: Num) -> Num:
        """``1 - flag``; the inverter disappears into the LUT behind it."""
        if flag.constant:
            return constant(1 - flag.lo)
        return self._operate("off", (flag,), _same, lambda v: ~v[0], 0, 1, 0)

    def both(self, a: Num, b: Num, name: str = "both") -> Num:
        """Whether both flags are set."""
        for x, other in ((a, b), (b, a)):
            if x.constant:
                return other if x.lo else constant(0)
        return self.logic(lambda p, q: p & q, a, b, name=name)

    def greater(self, a: Num, b: Num, or_equal: bool, name: str = "above") -> Num:
        """1 where ``a > b``, or ``a >= b``."""
        if a.lo > b.hi or (or_equal and a.lo == b.hi):
            return constant(1)
        if a.hi < b.lo or (not or_equal and a.hi == b.lo):
            return constant(0)
        lo, hi = min(a.lo, b.lo), max(a.hi, b.hi)

        width = range_shape(lo, hi).width

        def settle(of: Sequence[Num]) -> Times:
            _, late = _chained(width)(of)
            return late, late

        def above(v: Sequence[Value]) -> Value:
            return v[0] >= v[1] if or_equal else v[0] > v[1]

        return self._operate(name, (a, b), settle, above, 0, 1, width)

    def mux(self, flag: Num, then: Num, other: Num, name: str = "chosen") -> Num:
        """``then`` where ``flag``, else ``other``."""
        if flag.constant:
            return then if flag.lo else other
        if then.constant and other.constant and then.lo == other.lo:
            return then
        lo, hi = min(then.lo, other.lo), max(then.hi, other.hi)
        width = range_shape(lo, hi).width
        return self._operate(
            name, (flag, then, other), _after(LUT_NS), lambda v: Mux(*v), lo, hi, width
        )

    def clamp(self, x: Num, lo: int, hi: int, name: str = "clamped") -> Num:
        """``x`` limited to ``lo..hi``."""
        if lo <= x.lo and x.hi <= hi:
            return x
        if x.lo > hi or x.hi < lo:
            return constant(hi if x.lo > hi else lo)
        ends = max(x.lo, lo), min(x.hi, hi)
        over = self._beyond(x, hi, above=True)
        under = self._beyond(x, lo, above=False)

        def limited(v: Sequence[Value]) -> Value:
            shape = range_shape(*ends)
            return Mux(v[1], Const(hi, shape), Mux(v[2], Const(lo, shape), v[0]))

        width = range_shape(*ends).width
        return self._operate(name, (x, over, under), _after(LUT_NS), limited, *ends, width)

    def _beyond(self, x: Num, end: int, above: bool) -> Num:
        """1 where ``x`` lies past ``end``; only top bits where that is the end of a word."""
        if (x.hi <= end) if above else (x.lo >= end):
            return constant(0)
        if not above and end == 0:
            return self.negative(x)
        word = (end + 1 if above else -end).bit_length() - 1
        if (end + 1 if above else -end) == 1 << word and x.bits - word <= 5:
            top = self.floor_shift(x, word)
            name = "over" if above else "under"
            if above:
                return self.logic(lambda v: v > 0, top, name=name)
            return self.logic(lambda v: v < -1, top, name=name)
        bound = constant(end)
        return self.greater(x, bound, False, "over") if above else self.greater(
            bound, x, False, "under"
        )  # fmt: skip


def _patterns(x: Num) -> list[int]:
    """The integers that all bit patterns of ``x`` stand for, the lowest pattern first."""
    codes = range(1 << x.bits)
    half = 1 << (x.bits - 1)
    return [n - 2 * half if x.lo < 0 and n >= half else n for n in codes]


def _chained(width: int) -> Callable[[Sequence[Num]], Times]:
    def settle(of: Sequence[Num]) -> Times:
        early = max(x.early for x in of) + CHAIN_NS
        return early, max(early + CARRY_NS * width, max(x.late for x in of) + CHAIN_NS)

    return settle


def _after(ns: float) -> Callable[[Sequence[Num]], Times]:
    def settle(of: Sequence[Num]) -> Times:
        late = max(x.late for x in of) + ns
        return late, late

    return settle


def _same(of: Sequence[Num]) -> Times:
    return max(x.early for x in of), max(x.late for x in of)


def _levels(bits: int) -> int:
    """LUT4s one behind the other in a function of all of ``bits`` bits."""
    depth = 1
    while 4**depth < bits:
        depth += 1
    return depth
