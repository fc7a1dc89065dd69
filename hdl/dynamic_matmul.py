"""The product of two computed matrices: one is stored, the rows of the other stream past it.

PE columns of the result by SIMD products each are computed a cycle. Two stored matrices alternate:
one loads while the other is used, so nothing waits between matrices or frames.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from codesign.hdl.adders.tree import Pipeline, Term, levels, reduce_terms
from codesign.hdl.events import Process, Stage, Times, Wire
from codesign.hdl.frame_buffer import FrameBuffer
from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.timing import Clock

#: Adder levels between two registers.
LEVELS_PER_STAGE = 2


@dataclass(frozen=True)
class Sizes:
    """``sets`` products of matrices [m, k] and [k, n]."""

    sets: int
    m: int
    k: int
    n: int


class DynamicMatMul(Component):
    """``out[s, m, n] = sum_k (left[s, m, k] - zeros[0]) * (right[s, k, n] - zeros[1])``, exact.

    ``i0``: beats of ``simd`` codes of the left matrices, row-major. ``i1``: the right matrices,
    row-major, ``pe`` codes a beat; with ``transposed`` as [s, n, k], ``simd`` codes a beat. ``o``:
    ``pe`` results a beat, row-major. ``simd`` divides k, ``pe`` divides n. ``ranges``: (lo, hi) of
    the two inputs' codes. ``multiplier``: ``dsp`` (hardware multipliers) or ``lut`` (rows of
    the narrower operand's bits in the adder tree).

    A row starts once its right matrix is complete.
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        ranges: Sequence[tuple[int, int]],
        zeros: tuple[int, int] = (0, 0),
        transposed: bool,
        pe: int,
        simd: int,
        multiplier: str = "dsp",
    ) -> None:
        if min(sizes.sets, sizes.m, sizes.k, sizes.n) < 1:
            raise ValueError(f"matrices have at least one row and column, got {sizes}")
        if pe < 1 or simd < 1 or sizes.n % pe or sizes.k % simd:
            raise ValueError(
                f"pe {pe} must divide n {sizes.n}, simd {simd} must divide k {sizes.k}"
            )
        if multiplier not in ("lut", "dsp"):
            raise ValueError(f"multiplier is 'lut' or 'dsp', got {multiplier!r}")
        self.sizes, self.pe, self.simd, self.transposed = sizes, pe, simd, transposed
        self.nf, self.sf = sizes.n // pe, sizes.k // simd
        self._zeros, self._multiplier = zeros, multiplier
        self.shapes = [range_shape(*r) for r in ranges]
        self._spans = [(lo - z, hi - z) for (lo, hi), z in zip(ranges, zeros, strict=True)]
        self.acc_lo, self.acc_hi = product_range(self._spans[0], self._spans[1], sizes.k)
        self._terms = simd * (1 if multiplier == "dsp" else self._bits)
        super().__init__(
            {
                "i0": In(stream_signature(self.shapes[0], simd)),
                "i1": In(stream_signature(self.shapes[1], simd if transposed else pe)),
                "o": Out(stream_signature(range_shape(self.acc_lo, self.acc_hi), pe)),
            }
        )

    @property
    def _bits(self) -> int:
        """Bits of the narrower operand."""
        return min(range_shape(*span).width for span in self._spans)

    @property
    def _cuts(self) -> list[str]:
        """Steps followed by a register, in order."""
        count = levels(self._terms)
        adds = [f"add{n}" for n in range(count)
                if (n + 1) % LEVELS_PER_STAGE == 0 or n == count - 1]  # fmt: skip
        return ["operand", *(["product"] if self._multiplier == "dsp" else []), *adds]

    @property
    def latency(self) -> int:
        """Registers between the issue of the last products of a result and its transfer."""
        return 2 + len(self._cuts)

    @property
    def right_beats(self) -> int:
        """Beats of one right matrix."""
        return self.sizes.n * self.sf if self.transposed else self.sizes.k * self.nf

    def timing(self) -> "DynamicMatMulTiming":
        """The event model of this component."""
        size = self.sizes
        return DynamicMatMulTiming(size.m, self.nf, self.sf, self.right_beats, self.latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, advance, held, went = Signal(), Signal(), Signal(2), Signal()
        m.d.comb += [ce.eq(~self.o.valid | self.o.ready), advance.eq(ce & (held != 0))]
        with m.If(ce):
            m.d.sync += went.eq(held != 0)
        buffer = m.submodules.rows = FrameBuffer(self.shapes[0], self.simd, self.nf, self.sf)
        wiring.connect(m, wiring.flipped(self.i0), buffer.i)
        m.d.comb += buffer.ce.eq(advance)
        columns, freed = self._stored(m, advance, buffer.issue, held)
        self._count_matrices(m, held, freed)
        pipe = Pipeline(m, ce, self._cuts)
        flags: Value = Cat(buffer.o_valid & went, buffer.o_last)
        flags = pipe.carry(flags, "operand", "flags", init=0)
        left = [self._operand(m, pipe, x, 0, f"row{s}") for s, x in enumerate(buffer.o_data)]
        lanes = []
        for p in range(self.pe):
            right = [self._operand(m, pipe, w, 1, f"column{p}_{s}")
                     for s, w in enumerate(columns[p])]  # fmt: skip
            lanes.append(self._lane(m, pipe, left, right, p))
        for name in self._cuts[1:]:
            flags = pipe.carry(flags, name, f"flags_{name}", init=0)
        self._accumulate(m, ce, lanes, flags)
        return m

    def _count_matrices(self, m: Module, held: Signal, freed: Value) -> None:
        """``held``: complete right matrices not used up; ``i1`` waits while there are two."""
        take, loaded = Signal(), Signal()
        m.d.comb += [self.i1.ready.eq(held != 2), take.eq(self.i1.valid & self.i1.ready)]
        beat = Counter(m, "right_beat", self.right_beats, take)
        m.d.comb += loaded.eq(take & beat.last)
        with m.If(loaded & ~freed):
            m.d.sync += held.eq(held + 1)
        with m.Elif(freed & ~loaded):
            m.d.sync += held.eq(held - 1)

    def _stored(
        self, m: Module, advance: Value, issue: Value, held: Value
    ) -> tuple[list[list[Value]], Value]:
        """The right operands [pe][simd] of each issue, a cycle later, and when a matrix is freed.

        A beat of ``i1`` is a word of one of ``banks`` memories; one issue reads a word of each.
        """
        banks, lanes = (self.pe, self.simd) if self.transposed else (self.simd, self.pe)
        inner, outer = (self.sf, self.nf) if self.transposed else (self.nf, self.sf)
        take = Signal(name="right_take")
        m.d.comb += take.eq(self.i1.valid & (held != 2))
        word = Counter(m, "word", inner, take)
        bank = Counter(m, "bank", banks, take & word.last)
        depth = 2 * inner * outer
        write, read = Signal(range(depth), name="write_at"), Signal(range(depth), name="read_at")
        with m.If(take):
            with m.If(~word.last | bank.last):
                m.d.sync += write.eq(Mux(write == depth - 1, 0, write + 1))
            with m.Else():
                m.d.sync += write.eq(write - (inner - 1))
        freed = self._walk(m, issue, read, depth // 2)
        words = []
        for b in range(banks):
            memory = Memory(shape=ArrayLayout(self.shapes[1], lanes), depth=depth, init=[])
            m.submodules[f"bank{b}"] = memory
            port, out = memory.write_port(), memory.read_port()
            m.d.comb += [
                port.addr.eq(write),
                port.data.eq(self.i1.payload.data),
                port.en.eq(take & (bank.value == b)),
                out.addr.eq(read),
                out.en.eq(advance),
            ]
            words.append(out.data)
        if self.transposed:
            return [[words[p][s] for s in range(self.simd)] for p in range(self.pe)], freed
        return [[words[s][p] for s in range(self.simd)] for p in range(self.pe)], freed

    def _walk(self, m: Module, issue: Value, at: Signal, size: int) -> Value:
        """Word of each issue: column folds inside row folds, all of them for each row."""
        column = Counter(m, "column", self.sf, issue)
        fold = Counter(m, "fold", self.nf, issue & column.last)
        row = Counter(m, "row", self.sizes.m, issue & column.last & fold.last)
        second = Signal()
        freed = Signal()
        m.d.comb += freed.eq(issue & column.last & fold.last & row.last)
        start = Signal.like(at, name="fold_start")
        step = 1 if self.transposed else self.nf
        following = Signal.like(at, name="read_next")
        base = Mux(second ^ row.last, size, 0)
        past = at if self.transposed else start
        with m.If(~column.last):
            m.d.comb += following.eq(at + step)
        with m.Elif(fold.last):
            m.d.comb += following.eq(base)
        with m.Else():
            m.d.comb += following.eq(past + 1)
        with m.If(issue):
            m.d.sync += at.eq(following)
            with m.If(column.last):
                m.d.sync += start.eq(following)
        with m.If(freed):
            m.d.sync += second.eq(~second)
        return freed

    def _operand(self, m: Module, pipe: Pipeline, code: Value, side: int, name: str) -> Term:
        lo, hi = self._spans[side]
        term = Term(code - self._zeros[side], np.array([lo]), np.array([hi])).named(m, name)
        return pipe.keep(term, "operand")

    def _lane(
        self, m: Module, pipe: Pipeline, left: list[Term], right: list[Term], p: int
    ) -> Value:
        """Sum of the products of one column's operands."""
        terms: list[Term] = []
        for s, (a, b) in enumerate(zip(left, right, strict=True)):
            if self._multiplier == "dsp":
                lo, hi = product_range(a.range, b.range, 1)
                both = Term(a.value * b.value, np.array([lo]), np.array([hi]))
                terms.append(pipe.keep(both.named(m, f"product{p}_{s}"), "product"))
            else:
                terms += self._rows(m, a, b, f"{p}_{s}")
        return reduce_terms(m, pipe, terms, f"sum{p}_", "add").value

    def _rows(self, m: Module, a: Term, b: Term, name: str) -> list[Term]:
        """The wider operand times each bit of the narrower one, the sign's bit negative."""
        widths = [range_shape(*t.range).width for t in (a, b)]
        wide, narrow = (a, b) if widths[0] >= widths[1] else (b, a)
        bits, signed = min(widths), narrow.range[0] < 0
        lo, hi = wide.range
        rows = []
        for j in range(bits):
            minus = signed and j == bits - 1
            value = -wide.value if minus else wide.value
            ends = (-hi, -lo) if minus else (lo, hi)
            span = np.array([min(ends[0], 0)]), np.array([max(ends[1], 0)])
            row = Term(Mux(narrow.value[j], value, 0), *span)
            rows.append(row.shifted(j).named(m, f"row{name}_{j}"))
        return rows

    def _accumulate(self, m: Module, ce: Value, lanes: list[Value], flags: Value) -> None:
        """The sum over column folds; ``flags``: valid, last column fold."""
        shape = range_shape(self.acc_lo, self.acc_hi)
        given = Signal(name="o_given")
        m.d.comb += given.eq(self.o.valid & self.o.ready)
        size = self.sizes
        beat = Counter(m, "out_beat", size.sets * size.m * self.nf, given)
        m.d.comb += self.o.payload.last.eq(beat.last)
        with m.If(ce):
            m.d.sync += self.o.valid.eq(flags[0] & flags[1])
        for p, lane in enumerate(lanes):
            total, result = Signal(shape, name=f"total{p}"), Signal(shape, name=f"acc{p}")
            m.d.comb += self.o.payload.data[p].eq(result)
            if self.sf == 1:
                m.d.comb += total.eq(lane)
            else:
                # Partial sums may leave the final range, never the width: it wraps back.
                partial = Signal(shape, name=f"partial{p}")
                m.d.comb += total.eq(partial + lane)
                with m.If(ce & flags[0]):
                    m.d.sync += partial.eq(Mux(flags[1], 0, total))
            with m.If(ce & flags[0] & flags[1]):
                m.d.sync += result.eq(total)


def product_range(a: tuple[int, int], b: tuple[int, int], count: int) -> tuple[int, int]:
    """Least and greatest sum of ``count`` products of integers from two ranges."""
    corners = [x * y for x in a for y in b]
    return count * min(corners), count * max(corners)


class DynamicMatMulTiming(Stage):
    """``rows`` rows of ``sf`` beats, each played ``nf`` times, for each right matrix of ``beats``
    beats; two of those are held."""

    i0: Wire
    i1: Wire

    def __init__(self, rows: int, nf: int, sf: int, beats: int, latency: int) -> None:
        self._rows, self._nf, self._sf = rows, nf, sf
        self._beats, self._latency = beats, latency

    def processes(self) -> Iterable[Process]:
        clock = Clock(self._latency, self.o)
        loaded, used, freed = Times(), Times(), Times()
        own = [self._right(loaded, used), clock.emissions()]
        if self._nf == 1:
            return [*own, self._straight(clock, loaded, used)]
        return [*own, self._load(freed), self._replay(clock, loaded, used, freed)]

    def _right(self, loaded: Times, used: Times) -> Process:
        n, previous = 0, -1
        while True:
            if len(self.i1.valid.at) <= n:
                yield self.i1.valid, n
            taken = max(self.i1.valid.at[n], previous + 1)
            matrix = n // self._beats
            if matrix >= 2:
                if len(used.at) <= matrix - 2:
                    yield used, matrix - 2
                taken = max(taken, used.at[matrix - 2] + 1)
            self.i1.taken.put(taken)
            n, previous = n + 1, taken
            if n % self._beats == 0:
                loaded.put(taken)

    def _straight(self, clock: Clock, loaded: Times, used: Times) -> Process:
        n, matrix = 0, 0
        while True:
            if len(loaded.at) <= matrix:
                yield loaded, matrix
            for _ in range(self._rows):
                for _ in range(self._sf):
                    if len(self.i0.valid.at) <= n:
                        yield self.i0.valid, n
                    start = max(self.i0.valid.at[n], loaded.at[matrix] + 1)
                    issued = yield from clock.issue(start)
                    self.i0.taken.put(issued)
                    n += 1
                clock.emit()
            used.put(issued)
            matrix += 1

    def _load(self, freed: Times) -> Process:
        n, previous, slots = 0, -1, 2 * self._sf
        while True:
            if len(self.i0.valid.at) <= n:
                yield self.i0.valid, n
            taken = max(self.i0.valid.at[n], previous + 1)
            if n >= slots:
                if len(freed.at) <= n - slots:
                    yield freed, n - slots
                taken = max(taken, freed.at[n - slots] + 1)
            self.i0.taken.put(taken)
            n, previous = n + 1, taken

    def _replay(self, clock: Clock, loaded: Times, used: Times, freed: Times) -> Process:
        n, matrix = 0, 0
        while True:
            if len(loaded.at) <= matrix:
                yield loaded, matrix
            for _ in range(self._rows):
                for fold in range(self._nf):
                    for _ in range(self._sf):
                        start = loaded.at[matrix] + 1
                        if fold == 0:
                            if len(self.i0.taken.at) <= n:
                                yield self.i0.taken, n
                            start = max(start, self.i0.taken.at[n])
                            n += 1
                        issued = yield from clock.issue(start)
                        if fold == self._nf - 1:
                            freed.put(issued)
                    clock.emit()
            used.put(issued)
            matrix += 1
