"""A folded matrix-vector unit: PE x SIMD multipliers over a weight memory.

``acc = weights @ x + bias`` exactly. Row folds (NF) outside, column folds (SF) inside; one fold
each cycle, no gap between row folds or frames, so the initiation interval is NF * SF cycles.
"""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl import multiplier as products
from codesign.hdl.adders.tree import Pipeline, Term, reduce_terms
from codesign.hdl.frame_buffer import FrameBuffer
from codesign.hdl.loading.load import load_signature
from codesign.hdl.loading.loaded_memory import LoadedMemory, slots
from codesign.hdl.loading.weight_image import image_of, padded, values
from codesign.hdl.matvec_plan import MatVecPlan, plan_matvec
from codesign.hdl.memories import Counter, Table, rom, style_for
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.timing import MatVecTiming


class MatVec(Component):
    """Computes ``weights @ x + bias`` for ``vectors`` vectors a frame.

    weights: int64 [N, K]; bias: int64 [N] or None. ``i``: beats of ``simd`` codes in
    ``in_lo..in_hi``, K per vector. ``o``: beats of ``pe`` accumulators in ``acc_lo..acc_hi`` (the
    exact reachable range over all outputs, or ``acc_range`` where the caller knows better), N per
    vector. ``latency`` registers lie between the transfer of a beat and that of the result it
    completes; at most ``max_stages``.

    ``sets``: groups. The N rows are that many sets of N / sets rows, used in turn; a vector then
    has ``sets`` parts of K codes, one for each. ``side``: so many channels travel side by side:
    a beat holds [simd, side] codes and row ``p`` of the ``pe`` sees channel ``p * side // pe``.

    ``loadable``: the weights are those at first; others of that range (lo, hi), and other biases,
    are written through the port ``load`` (:class:`LoadedMemory`; ``image`` says what stands
    where, the starts from address ``1 << region_bits`` on). Then ``acc_range`` must be given.

    ``ValueError`` when a frame has several parts and ``pe`` or ``simd`` does not divide N / sets
    or K: streams have no padding within a frame.
    """

    def __init__(
        self,
        weights: np.ndarray,
        *,
        in_lo: int,
        in_hi: int,
        bias: np.ndarray | None = None,
        pe: int,
        simd: int,
        multiplier: str = "lut",
        weight_memory: str = "auto",
        max_stages: int = 6,
        vectors: int = 1,
        sets: int = 1,
        side: int = 1,
        acc_range: tuple[int, int] | None = None,
        loadable: tuple[int, int] | None = None,
    ) -> None:
        self.weights = _checked(weights, in_lo, in_hi)
        self.vectors, self.sets, self.side = vectors, sets, side
        n, k = self.weights.shape
        _check_folding(n, k, pe, simd, vectors, sets, side)
        self.bias = np.zeros(n, np.int64) if bias is None else np.asarray(bias, dtype=np.int64)
        if self.bias.shape != (n,):
            raise ValueError(f"{n} outputs need a bias of shape ({n},), got {self.bias.shape}")
        self.pe, self.simd = pe, simd
        self.nf, self.sf = -(-(n // sets) // pe), -(-k // simd)
        self.in_lo, self.in_hi = int(in_lo), int(in_hi)
        self._in_shape = range_shape(self.in_lo, self.in_hi)
        if loadable is not None and acc_range is None:
            raise ValueError("a loadable unit needs the range of its accumulators")
        self._ranges(acc_range)
        self._values = None if loadable is None else values(*loadable, k, simd)
        known = padded(self.weights, sets, pe, simd) if self._values is None else self._values
        self.image = image_of(
            (n, k), pe=pe, simd=simd, sets=sets, multiplier=multiplier, weights=known
        )
        self.recoding = self.image.recoding
        self.memory_style = style_for(self.image.words, self.image.width, weight_memory)
        self.plan: MatVecPlan = plan_matvec(
            pe=pe,
            simd=simd,
            nf=self.nf,
            sf=self.sf,
            in_bits=self._in_shape.width,
            planes=len(self.recoding.planes),
            code_bits=self.recoding.width,
            multiplier=multiplier,
            memory_style=self.memory_style,
            acc_bits=range_shape(self.acc_lo, self.acc_hi).width,
            max_stages=max_stages,
            loadable=loadable is not None,
        )
        memories = {} if loadable is None else {"load": In(load_signature())}
        super().__init__(
            {
                "i": In(stream_signature(self._in_shape, simd * side)),
                "o": Out(stream_signature(range_shape(self.acc_lo, self.acc_hi), pe)),
                **memories,
            }
        )

    @property
    def latency(self) -> int:
        """Registers between a beat's transfer and that of the result it completes."""
        return self.plan.latency

    def timing(self) -> MatVecTiming:
        """The event model of this component."""
        return MatVecTiming(self.nf, self.sf, self.latency)

    def _ranges(self, known: tuple[int, int] | None) -> None:
        lo, hi = accumulator_bounds(self.weights, self.bias, self.in_lo, self.in_hi)
        self.acc_lo, self.acc_hi = known or (int(lo.min()), int(hi.max()))

    def _term_range(self) -> tuple[int, int]:
        """What a lane may carry: padding lanes carry anything that fits the wire."""
        if self.weights.shape[1] % self.simd == 0:
            return self.in_lo, self.in_hi
        bits = self._in_shape.width
        low = -(1 << (bits - 1)) if self.in_lo < 0 else 0
        return low, low + (1 << bits) - 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._memories: dict[str, LoadedMemory] = {}
        ce = Signal()
        m.d.comb += ce.eq(~self.o.valid | self.o.ready)
        buffer = m.submodules.buffer = FrameBuffer(
            self._in_shape, self.simd * self.side, self.nf, self.sf
        )
        wiring.connect(m, wiring.flipped(self.i), buffer.i)
        m.d.comb += buffer.ce.eq(ce)
        codes = self._weight_codes(m, buffer, ce)
        pipe = Pipeline(m, ce, self.plan.cuts)
        flags = pipe.carry(Cat(buffer.o_valid, buffer.o_last), "operand", "flags", init=0)
        xs = [
            pipe.carry(_wire(m, x, f"operand{s}"), "operand", f"x{s}")
            for s, x in enumerate(buffer.o_data)
        ]
        operands = [self._operand(m, x, s) for s, x in enumerate(xs)]
        word = self.recoding.width * self.simd
        lanes = []
        for p in range(self.pe):
            lane = Module()
            m.submodules[f"pe{p}"] = lane
            own = _wire(m, codes[p * word :][:word], f"codes{p}")
            seen = operands[p * self.side // self.pe :: self.side]
            lanes.append(self._lane(lane, ce, seen, pipe.carry(own, "operand", f"codes{p}"), p))
        for name in self.plan.names[1:]:
            flags = pipe.carry(flags, name, f"flags_{name}", init=0)
        self._accumulate(m, ce, lanes, flags)
        if self._values is not None:
            self._distribute(m, self._memories["weight_memory"], self._memories["start_memory"])
        return m

    def _weight_codes(self, m: Module, buffer: FrameBuffer, ce: Value) -> Value:
        """The weight words' codes, one enabled cycle after issue, in step with ``o_data``."""
        words, width = self.image.weight_words(self.weights), self.image.width
        address = Counter(m, "fold", self.image.words, buffer.issue)
        if self._values is not None:
            return self._loaded(
                m, "weight_memory", words, width, self.memory_style, address.value, ce
            )
        port, data = rom(m, "weight_memory", words, width, self.memory_style, ce)
        m.d.comb += port.eq(address.value)
        return data

    def _loaded(
        self, m: Module, name: str, words: list[int], width: int, style: str, at: Value, en: Value
    ) -> Value:
        """A memory behind the ``load`` port; data one enabled cycle after the address."""
        memory = LoadedMemory(words, width, style)
        m.submodules[name] = self._memories[name] = memory
        m.d.comb += [memory.address.eq(at), memory.en.eq(en)]
        return memory.data

    def _operand(self, m: Module, x: Value, s: int) -> tuple[Value, ...]:
        """What the rows of lane ``s`` are made of: x, or x and 2x."""
        if self.recoding.product:
            return (x,)
        one, two = products.multiples(x)
        return _wire(m, one, f"one{s}"), _wire(m, two, f"two{s}")

    def _lane(
        self, m: Module, ce: Value, operands: list[tuple[Value, ...]], codes: Value, p: int
    ) -> Value:
        """One processing element: rows, a tree per digit, and their weighted sum."""
        pipe = Pipeline(m, ce, self.plan.cuts)
        x_lo, x_hi = self._term_range()
        digits = self.recoding.digits(self._possible(p))
        width = self.recoding.width
        words = [_wire(m, codes[s * width :][:width], f"w{s}") for s in range(self.simd)]
        planes = []
        for plane, digit in zip(self.recoding.planes, digits, strict=True):
            terms = []
            for s, operand in enumerate(operands):
                lo, hi = products.row_range(plane, digit[:, s], x_lo, x_hi, self.recoding.product)
                value = self._row(plane, operand, words[s])
                terms.append(Term(value, lo, hi).named(m, f"row{plane.shift}_{s}"))
            terms = [pipe.keep(t, "row") for t in terms]
            total = reduce_terms(m, pipe, terms, f"sum{plane.shift}_", "add")
            planes.append(total.shifted(plane.shift))
        return reduce_terms(m, pipe, planes, "digits", "digit").value

    def _possible(self, p: int) -> np.ndarray:
        """int64 [cases, simd]: weights that processing element ``p`` may see at the same time."""
        if self._values is None:
            return self.image.by_fold(self.weights)[:, p, :]
        few = self._values
        if self.recoding.product:
            few = np.array([few.min(), few.max()])
        return np.repeat(few[:, None], self.simd, axis=1)

    def _row(self, plane: products.Plane, operand: tuple[Value, ...], word: Value) -> Value:
        if self.recoding.product:
            return operand[0] * (word.as_signed() if plane.alphabet[0] else word)
        first, last = plane.bits[0], plane.bits[-1] + 1
        one, two = operand
        return products.row(plane, one, two, word[first:last])

    def _accumulate(self, m: Module, ce: Value, lanes: list[Value], flags: Value) -> None:
        """The sum over column folds; ``flags``: valid, last column fold."""
        shape = range_shape(self.acc_lo, self.acc_hi)
        step, done = Signal(), Signal()
        m.d.comb += [step.eq(flags[0] & ce), done.eq(step & flags[1])]
        row = Counter(m, "row", self.sets * self.nf, done)
        vector = Counter(m, "vector", self.vectors, done & row.last)
        last = Signal()
        m.d.comb += self.o.payload.last.eq(last)
        with m.If(ce):
            m.d.sync += [
                self.o.valid.eq(flags[0] & flags[1]),
                last.eq(row.last & vector.last),
            ]
        starts = self._starts(m, row, shape.width)
        begins = Signal(init=1)
        with m.If(step):
            m.d.sync += begins.eq(flags[1])
        for p, (lane, start) in enumerate(zip(lanes, starts, strict=True)):
            total = Signal(shape.width, name=f"total{p}")
            result = Signal(shape, name=f"acc{p}")
            m.d.comb += self.o.payload.data[p].eq(result)
            if self.sf == 1:
                m.d.comb += total.eq(start.value + lane)
            else:
                partial = Signal(shape.width, name=f"partial{p}", init=start.first or 0)
                following: Value = Mux(flags[1], start.value, total)
                sum_so_far: Value = partial
                if start.first is None:
                    following, sum_so_far = total, Mux(begins, start.value, partial)
                m.d.comb += total.eq(sum_so_far + lane)
                with m.If(step):
                    m.d.sync += partial.eq(following)
            with m.If(done):
                m.d.sync += result.eq(total)

    def _starts(self, m: Module, row: Counter, width: int) -> list["_Start"]:
        """What each lane's accumulator starts from: bias, and the rows' borrowed ones."""
        if self._values is not None:
            words = self.image.start_words(self.weights, self.bias, width)
            style = style_for(len(words), width * self.pe)
            data = self._loaded(
                m, "start_memory", words, width * self.pe, style, row.following, Const(1, 1)
            )
            return [_Start(None, data[p * width :][:width]) for p in range(self.pe)]
        table = self.image.starts(self.weights, self.bias)
        ahead = np.roll(table, -1, axis=0)
        result = []
        for p in range(self.pe):
            words = [int(v) & ((1 << width) - 1) for v in table[:, p]]
            turn = [int(v) & ((1 << width) - 1) for v in ahead[:, p]]
            use = words if self.sf == 1 else turn
            result.append(_Start(words[0], Table(m, f"start{p}", use, width, row).data))
        return result

    @property
    def region_bits(self) -> int:
        """Bus address bits of each of the two memories: starts follow the weights."""
        width = range_shape(self.acc_lo, self.acc_hi).width * self.pe
        sizes = [(self.image.words, self.image.width), (self.sets * self.nf, width)]
        return max((words * slots(bits) - 1).bit_length() for words, bits in sizes)

    def _distribute(self, m: Module, weights: LoadedMemory, starts: LoadedMemory) -> None:
        """Requests of the ``load`` port: weights below, starts above."""
        bit, given = self.region_bits, self.load
        upper = given.address[bit]
        inside = Cat(given.address[:bit], Const(0, 1), given.address[bit + 1 :])
        for memory, chosen in ((weights, ~upper), (starts, upper)):
            m.d.comb += [
                memory.load.request.eq(given.request & chosen),
                memory.load.write.eq(given.write),
                memory.load.address.eq(inside),
                memory.load.data.eq(given.data),
            ]
        m.d.comb += [
            given.ack.eq(weights.load.ack | starts.load.ack),
            given.error.eq(Mux(upper, starts.load.error, weights.load.error)),
            given.read.eq(Mux(upper, starts.load.read, weights.load.read)),
        ]


class _Start:
    """What an accumulator starts from. ``first``: that of the first row, and ``value`` is that of
    the next one while a row is summed; None where it may change, and ``value`` is of this row."""

    def __init__(self, first: int | None, value: Value) -> None:
        self.first, self.value = first, value


def _wire(m: Module, value: Value, name: str) -> Value:
    """``value`` under a name of its own (slices of slices make conversion quadratic)."""
    wire = Signal(value.shape(), name=name)
    m.d.comb += wire.eq(value)
    return wire


def accumulator_bounds(
    weights: np.ndarray, bias: np.ndarray, in_lo: int, in_hi: int
) -> tuple[np.ndarray, np.ndarray]:
    """Exact (lo, hi) int64 [N] of ``weights @ x + bias`` over every ``x`` in the range."""
    plus, minus = np.maximum(weights, 0).sum(axis=1), np.minimum(weights, 0).sum(axis=1)
    return plus * in_lo + minus * in_hi + bias, plus * in_hi + minus * in_lo + bias


def _checked(weights: np.ndarray, in_lo: int, in_hi: int) -> np.ndarray:
    weights = np.asarray(weights)
    if weights.ndim != 2 or weights.size == 0:
        raise ValueError(f"weights are a matrix [N, K], got shape {weights.shape}")
    if not np.issubdtype(weights.dtype, np.integer):
        raise ValueError(f"weights are integers, got {weights.dtype}")
    if in_lo > in_hi:
        raise ValueError(f"empty input range {in_lo}..{in_hi}")
    return weights.astype(np.int64)


def _check_folding(n: int, k: int, pe: int, simd: int, vectors: int, sets: int, side: int) -> None:
    if vectors < 1 or sets < 1 or n % sets:
        raise ValueError(f"{n} rows in {sets} sets for {vectors} vectors: sets must divide rows")
    n //= sets
    if not 1 <= pe <= n:
        raise ValueError(f"pe must lie in 1..{n} (the outputs), got {pe}")
    if not 1 <= simd <= k:
        raise ValueError(f"simd must lie in 1..{k} (the inputs), got {simd}")
    if vectors * sets > 1 and (n % pe or k % simd):
        raise ValueError(
            f"pe {pe} and simd {simd} must divide the {n} x {k} weights of a vector where a frame "
            "holds several"
        )
    if side > 1 and (pe != n or pe % side):
        raise ValueError(f"{side} channels side by side need pe = {n}, a multiple, got {pe}")
