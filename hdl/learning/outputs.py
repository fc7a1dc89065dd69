"""What a layer's outputs keep for learning: Psi, its trace, and the factors of this step."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from codesign.hdl.learning.arithmetic import (
    Lane,
    along,
    factors,
    flow_in,
    from_memory,
    from_register,
    psi_of,
    trace_of_output,
)
from codesign.hdl.memories import Counter, pack, rom, style_for
from codesign.hdl.neurons.number import Num, constant
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.learning import LearningLayer
from codesign.neurons.base import tiled


class OutputTraces(Component):
    """``groups`` words of ``lanes`` outputs each.

    ``membrane``: the states v of this step, group after group, each for one cycle, with their
    ``spikes``; of each Psi and its trace (from 0 if ``fresh``) are kept.
    ``gathered``: a cycle after the last of them is.
    ``signal``: then the learning signal of each group, taken while ``open``. ``made``: a cycle
    after the factors of the last group are kept; ``some``: whether one of them is not 0.
    ``factors``: of ``group``, a cycle later: per lane G, then H.
    """

    def __init__(self, layer: LearningLayer, lanes: int) -> None:
        self._layer, self._rule, self._lanes = layer, layer.rule, lanes
        self.groups = layer.outputs // lanes
        rule, word = layer.rule, layer.neuron.word
        self._both = rule.post_shift is not None
        #: Bits of the factors of one output.
        self.factor_bits = rule.factor.bits * (2 if self._both else 1)
        index = range(max(2, self.groups))
        super().__init__(
            {
                "fresh": In(1),
                "membrane_valid": In(1),
                "membrane": In(word.bits * lanes),
                "spikes": In(lanes),
                "gathered": Out(1),
                "open": In(1),
                "signal": In(stream_signature(signed(rule.signal.bits), lanes)),
                "made": Out(1),
                "some": Out(1),
                "group": In(index),
                "factors": Out(self.factor_bits * lanes),
                # What has just been kept of a group.
                "said": Out(1),
                "said_group": Out(index),
                "said_psi": Out(rule.psi.word.bits * lanes),
                "said_post": Out(rule.post.bits * lanes),
            }
        )
        theta = layer.neuron.theta
        self._theta = range_shape(int(theta.min()), int(theta.max()))
        #: Registers from a membrane to its trace, and from a signal to its factors.
        self.gather_depth = self._gather_lane(
            None, Signal(word.bits), Signal(), 0, Const(0), Const(0, rule.post.bits)
        ).ends
        self.factor_depth = self._factor_lane(
            None,
            Signal(rule.signal.bits),
            Const(0, rule.psi.word.bits),
            Const(0, rule.post.bits),
        ).ends

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rule, lanes, depth = self._rule, self._lanes, max(2, self.groups)
        wide = rule.psi.word.bits + rule.post.bits
        kept = m.submodules.kept = Memory(shape=unsigned(wide * lanes), depth=depth, init=[])
        made = m.submodules.made = Memory(
            shape=unsigned(self.factor_bits * lanes), depth=depth, init=[]
        )
        read = kept.read_port()
        reading = self._gather(m, kept, read.data)
        asked = self._make(m, made, read.data)
        m.d.comb += read.addr.eq(Mux(self.open, asked, reading))
        out = made.read_port()
        m.d.comb += [out.addr.eq(self.group), self.factors.eq(out.data)]
        return m

    # The membranes of a step.

    def _gather(self, m: Module, kept: Memory, data: Value) -> Value:
        """Keeps Psi and its trace; the group to read."""
        rule, lanes = self._rule, self._lanes
        group = Counter(m, "group_of_membrane", self.groups, self.membrane_valid)
        held = Signal.like(self.membrane, name="membrane_held", reset_less=True)
        fired = Signal.like(self.spikes, name="spikes_held", reset_less=True)
        valid, index = Signal(name="membrane_here"), Signal.like(self.group, name="membrane_group")
        m.d.sync += [
            held.eq(self.membrane),
            fired.eq(self.spikes),
            valid.eq(self.membrane_valid),
            index.eq(group.value),
        ]
        theta = self._thresholds(m, group)
        width, wide = self._layer.neuron.word.bits, rule.psi.word.bits + rule.post.bits
        built = []
        for lane in range(lanes):
            old = data[lane * wide + rule.psi.word.bits :][: rule.post.bits]
            old = Mux(self.fresh, 0, old)
            own = held[lane * width :][:width]
            built.append(self._gather_lane(m, own, fired[lane], lane, theta[lane], old))
        final = self.gather_depth
        valids = along(m, valid, final, "gathers")
        indices = along(m, index, final, "gather_group")
        psis, posts = zip(*[lane.at(final) for lane in built], strict=True)
        write = kept.write_port()
        m.d.comb += [
            self.said.eq(valids[-1]),
            self.said_group.eq(indices[-1]),
            self.said_psi.eq(_joined(psis, rule.psi.word.bits)),
            self.said_post.eq(_joined(posts, rule.post.bits)),
            write.en.eq(self.said),
            write.addr.eq(self.said_group),
            write.data.eq(
                Cat(
                    *[
                        Cat(code_of(p, rule.psi.word.bits), code_of(q, rule.post.bits))
                        for p, q in zip(psis, posts, strict=True)
                    ]
                )
            ),
        ]
        m.d.sync += self.gathered.eq(self.said & (self.said_group == self.groups - 1))
        return index

    def _thresholds(self, m: Module, group: Counter) -> list[Value]:
        """The threshold of each lane, with the membrane that is held."""
        theta = tiled(self._layer.neuron.theta, self._layer.outputs)
        if len(theta) == 1:
            return [Const(int(theta[0]), self._theta)] * self._lanes
        width = self._theta.width
        words = [pack([(int(c), width) for c in row]) for row in theta.reshape(-1, self._lanes)]
        wide = width * self._lanes
        address, data = rom(m, "thetas", words, wide, style_for(len(words), wide), Const(1, 1))
        m.d.comb += address.eq(group.value)
        lanes = [Value.cast(data)[n * width :][:width] for n in range(self._lanes)]
        return [code.as_signed() if self._theta.signed else code for code in lanes]

    def _gather_lane(
        self, m: Module | None, v: Value, fired: Value, lane: int, theta: Value, old: Value
    ) -> Lane:
        inner = None
        if m is not None:
            inner = m.submodules[f"lane{lane}"] = Module()
        flow, rule, word = flow_in(inner, Const(1, 1)), self._rule, self._layer.neuron.word
        found = self._layer.neuron.theta
        lo, hi = int(found.min()), int(found.max())
        level = constant(lo) if lo == hi else from_register(theta, lo, hi)
        if self._layer.gives_back:  # a spike has taken the threshold from v already
            level = flow.mux(from_register(fired, 0, 1), constant(0), level, "missing")
        membrane = from_register(v.as_signed() if word.signed else v, word.lo, word.hi)
        psi = psi_of(flow, rule, membrane, level)
        # The trace before is there a cycle after the membrane.
        post = trace_of_output(flow, rule, from_memory(old, rule.post, 1), psi)
        return Lane(flow, [psi, post])

    # The learning signal.

    def _make(self, m: Module, made: Memory, data: Value) -> Value:
        """Keeps the factors; the group whose Psi is to be read."""
        rule, lanes, width = self._rule, self._lanes, self._rule.signal.bits
        takes = Signal(name="signal_taken")
        m.d.comb += takes.eq(self.signal.valid & self.signal.ready)
        group = Counter(m, "group_of_signal", self.groups, takes)
        closed = Signal(name="signal_over")
        m.d.comb += self.signal.ready.eq(self.open & ~closed)
        with m.If(takes & group.last):
            m.d.sync += closed.eq(1)
        with m.Elif(~self.open):
            m.d.sync += closed.eq(0)
        held = Signal(width * lanes, name="signal_held", reset_less=True)
        valid, index = Signal(name="signal_here"), Signal.like(self.group, name="signal_group")
        m.d.sync += [
            held.eq(self.signal.payload.data.as_value()),
            valid.eq(takes),
            index.eq(group.value),
        ]
        first, wide = rule.psi.word.bits, rule.psi.word.bits + rule.post.bits
        built = []
        for lane in range(lanes):
            word = data[lane * wide :][:wide]
            own = held[lane * width :][:width]
            built.append(self._factor_lane(m, own, word[:first], word[first:]))
        final = self.factor_depth
        valids = along(m, valid, final, "makes")
        indices = along(m, index, final, "make_group")
        codes = []
        for made_here in built:
            g, h = made_here.at(final)
            codes.append(
                Cat(*[code_of(c, rule.factor.bits) for c in ((g, h) if self._both else (g,))])
            )
        write = made.write_port()
        m.d.comb += [
            write.en.eq(valids[-1]),
            write.addr.eq(indices[-1]),
            write.data.eq(Cat(*codes)),
        ]
        with m.If(valids[-1]):
            m.d.sync += self.some.eq((self.some & (indices[-1] != 0)) | write.data.any())
        m.d.sync += self.made.eq(valids[-1] & (indices[-1] == self.groups - 1))
        return group.value

    def _factor_lane(self, m: Module | None, signal: Value, psi: Value, post: Value) -> Lane:
        flow, rule = flow_in(m, Const(1, 1)), self._rule
        error = from_register(signal.as_signed(), rule.signal.lo, rule.signal.hi)
        return Lane(
            flow,
            factors(
                flow, rule, error, from_memory(psi, rule.psi.word), from_memory(post, rule.post)
            ),
        )


def code_of(x: Num, bits: int) -> Value:
    """The two's complement of ``x`` in ``bits`` bits."""
    value = Value.cast(x.value)
    if x.constant:
        return Const(x.lo & ((1 << bits) - 1), bits)
    if len(value) == bits:
        return value.as_unsigned()
    return Cat(value, *[value[-1] if x.lo < 0 else Const(0, 1)] * (bits - len(value)))


def _joined(lanes: tuple[Num, ...], bits: int) -> Value:
    return Cat(*[code_of(x, bits) for x in lanes])
