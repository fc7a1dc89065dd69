"""A constant matrix-vector product as a pipelined shift-add graph: one result every cycle."""

from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out
from numpy.typing import ArrayLike

from codesign.hdl.adders.graph import AdderGraph, Node, chain_bits, lut_estimate, pass_bits
from codesign.hdl.adders.schedule import PERIOD_NS, Schedule, ff_estimate, schedule
from codesign.hdl.adders.solve import solve

from .memories import Counter
from .stream import beat, range_shape
from .timing import Pipe

__all__ = ["UnrolledMatVec"]


class UnrolledMatVec(wiring.Component):
    """`o = W i + bias`: weights `[N, K]` and bias `[N]` are integer constants.

    Stream `i`: one beat of K lanes in `[in_lo, in_hi]`; stream `o`: one beat of N lanes in
    `[acc_lo, acc_hi]`, the exact reachable range over all outputs (or `acc_range` where the
    caller knows better). A frame has `vectors` beats. Latency is `depth` cycles, one beat enters
    each cycle. `depth=None` takes the fewest stages that meet `period_ns` by the delay model of
    `adders.schedule`. The pipeline stalls as a whole. `twin`: an equal component, whose graph and
    stages are taken over instead of being solved for again.
    """

    graph: AdderGraph
    plan: Schedule

    def __init__(
        self,
        weights: ArrayLike,
        *,
        in_lo: ArrayLike,
        in_hi: ArrayLike,
        bias: ArrayLike | None = None,
        depth: int | None = None,
        period_ns: float = PERIOD_NS,
        vectors: int = 1,
        acc_range: tuple[int, int] | None = None,
        twin: "UnrolledMatVec | None" = None,
    ) -> None:
        self._vectors = vectors
        self.graph = twin.graph if twin else solve(weights, in_lo, in_hi, bias=bias)
        if not self.graph.outputs or not self.graph.in_lo:
            raise ValueError(
                f"weights need at least one row and one column, got {self.graph.matrix.shape[0]}"
                f" x {len(self.graph.in_lo)}"
            )
        self.plan = twin.plan if twin else schedule(self.graph, depth, period_ns=period_ns)
        self.depth = self.plan.depth
        reached = int(self.graph.out_lo.min()), int(self.graph.out_hi.max())
        self.acc_lo, self.acc_hi = acc_range or reached
        in_shape = range_shape(min(self.graph.in_lo), max(self.graph.in_hi))
        out_shape = range_shape(self.acc_lo, self.acc_hi)
        super().__init__(
            {
                "i": In(stream.Signature(beat(in_shape, len(self.graph.in_lo)))),
                "o": Out(stream.Signature(beat(out_shape, len(self.graph.outputs)))),
            }
        )

    @property
    def latency(self) -> int:
        """Registers from input to output: the depth."""
        return self.depth

    def timing(self) -> Pipe:
        """The event model of this component's handshakes."""
        return Pipe(self.depth)

    @property
    def luts(self) -> int:
        """Estimated LUT4 equivalents of the adders."""
        return lut_estimate(self.graph)

    @property
    def ffs(self) -> int:
        """Estimated register bits."""
        return ff_estimate(self.graph, self.plan)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce = Signal()
        valid = Signal(self.depth)
        m.d.comb += [
            ce.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(ce),
            self.o.valid.eq(valid[-1]),
        ]
        given = Signal()
        m.d.comb += given.eq(self.o.valid & self.o.ready)
        m.d.comb += self.o.payload.last.eq(Counter(m, "vector", self._vectors, given).last)
        with m.If(ce):
            m.d.sync += valid.eq(Cat(self.i.valid, valid))
        _Pipeline(m, ce, self.graph, self.plan, self.i.payload.data).connect(self.o.payload.data)
        return m


class _Pipeline:
    """Emits the graph's nodes and the registers between them into a module.

    `copies[i][n]`: node i's value, n registers after it was computed.
    """

    def __init__(
        self, m: Module, ce: Signal, graph: AdderGraph, plan: Schedule, data: View
    ) -> None:
        self.m, self.ce, self.graph, self.plan = m, ce, graph, plan
        self.copies: list[list[Value]] = []
        for index, node in enumerate(graph.nodes):
            self.copies.append([self._value(index, node, data)])
            self._registers(index, node)

    def connect(self, data: View) -> None:
        """Drive the output lanes."""
        for lane, out in enumerate(self.graph.outputs):
            self.m.d.comb += data[lane].eq(self._at(out.node, self.plan.depth) << out.shift)

    def _at(self, index: int, stage: int) -> Value:
        """Node `index` as seen in `stage`."""
        copies = self.copies[index]
        return copies[0] if len(copies) == 1 else copies[stage - self.plan.stages[index]]

    def _value(self, index: int, node: Node, data: View) -> Value:
        if node.op == "const":
            return Const(node.value, _shape(node))
        name = f"x{node.a}" if node.op == "input" else f"t{index}"
        # 'keep': yosys would otherwise merge adders into slower and larger carry-save trees
        kept = {"keep": 1} if chain_bits(node, self.graph.nodes) else {}
        signal = Signal(_shape(node), name=name, attrs=kept)
        value = data[node.a] if node.op == "input" else self._sum(index, node)
        self.m.d.comb += signal.eq(value)
        return signal

    def _sum(self, index: int, node: Node) -> Value:
        """The sum with the bits that need no adder as wires."""
        stage = self.plan.stages[index]
        a, b = self._at(node.a, stage), self._at(node.b, stage)
        low = pass_bits(node, self.graph.nodes)
        wires = _low_bits(b if node.shift_a else a, low)
        if low:
            a = a.shift_right(low) if node.shift_b else a
            b = b.shift_right(low) if node.shift_a else b
        else:
            a = a.shift_left(node.shift_a)
        total = a - b if node.op == "sub" else a + b
        if node.carry:
            total = total + 1
        return Cat(wires, total)[node.drop :]

    def _registers(self, index: int, node: Node) -> None:
        if node.op == "const":
            return
        for n in range(1, self.plan.last_use[index] - self.plan.stages[index] + 1):
            previous = self.copies[index][-1]
            register = Signal(_shape(node), name=f"{previous.name.split('_')[0]}_r{n}",
                              reset_less=True)  # fmt: skip
            with self.m.If(self.ce):
                self.m.d.sync += register.eq(previous)
            self.copies[index].append(register)


def _shape(node: Node) -> Shape:
    bits = max(1, node.width)
    return signed(bits) if node.lo < 0 else unsigned(bits)


def _low_bits(value: Value, count: int) -> Value:
    """The `count` low bits of `value`, extended where it is narrower."""
    missing = count - len(value)
    if missing > 0:
        sign = value[-1] if value.shape().signed else Const(0, 1)
        return Cat(value, sign.replicate(missing))
    return value[:count]
