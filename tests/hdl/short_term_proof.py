"""Formal proofs of short-term plasticity: of one step of a row of synapses at any width, and of
whole small layers, for ever."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component, range_shape
from tests.learning.spec import plastic, strength
from tests.neurons.spec import spec_of, wires_in


class RowMiter(Component):
    """``wrong``: what ``part``, a ShortTermDense, makes of a row of F as it is read, with what each
    output's spike is worth, is not what ``layer`` says in the cycle in which it is written;
    whatever the rows before and behind it, and whenever a reset comes.

    Free in each cycle: whether and which row is asked for, its synapses, its input's spike, the
    spikes and gains of its outputs, and whether the frame ends."""

    def __init__(self, part, layer=None):
        self.update, self.layer, self.lanes = part.update, layer or part.layer, part.lanes
        self._gains = range_shape(int(self.layer.gain.min()), int(self.layer.gain.max()))
        #: Cycles until all that was asked in the first one has left its registers.
        self.stages = self.update.depth + 2
        row = self.update.row.shape()
        super().__init__(
            {
                "valid": In(1),
                "row": In(row),
                "spike": In(1),
                "ends": In(1),
                "f": In(self.layer.word.bits).array(self.lanes),
                "gain": In(self._gains).array(self.lanes),
                "s": In(1).array(self.lanes),
                "wrong": Out(1),
            }
        )

    def elaborate(self, platform):
        m, update, lanes = Module(), self.update, range(self.lanes)
        m.submodules.update = update
        m.d.comb += [
            update.valid.eq(self.valid),
            update.row.eq(self.row),
            update.trace.eq(~self.ends),
            update.spike.eq(self.spike),
        ]
        # a row and its outputs' spikes are read in the cycle behind the one that asks for them
        codes = [self._any(m, n) for n in lanes]
        worth = [Mux(self.s[n], self._gain(m, n), 0) for n in lanes]
        bits = len(update.factors) // self.lanes
        m.d.comb += [update.data.eq(Cat(codes)), update.factors.eq(Cat(w[:bits] for w in worth))]
        spike, ends = self._later(m, self.spike, 1), self._later(m, self.ends, 1)
        word, leak = self.layer.word, self.layer.leak
        wanted = []
        with wires_in(m):
            for n in lanes:
                new = plastic(word, leak, codes[n], self._gain(m, n), spike, self.s[n], ends)
                code = Signal(signed(word.bits), name=f"specified{n}")
                m.d.comb += code.eq(new)
                wanted.append(self._later(m, code, update.depth))
        valid = self._later(m, self.valid, self.stages - 1, reset_less=False)
        row = self._later(m, self.row, self.stages - 1)
        same = (update.write_row == row) & (update.write_data == Cat(wanted))
        m.d.comb += self.wrong.eq((update.write != valid) | (valid & ~same))
        return m

    def _any(self, m, lane):
        """Any F of a lane."""
        word = self.layer.word
        code = Signal(signed(word.bits), name=f"any_f{lane}")
        port = self.f[lane].as_signed()
        m.d.comb += code.eq(Mux(port < word.lo, word.lo, port))
        return code

    def _gain(self, m, lane):
        """Any gain between the least and the greatest of the layer."""
        lo, hi = int(self.layer.gain.min()), int(self.layer.gain.max())
        port, value = self.gain[lane], Signal(range_shape(min(lo, 0), max(hi, 0)))
        m.d.comb += value.eq(Mux((port < lo) | (port > hi), lo, port))
        return value

    def _later(self, m, value, cycles, reset_less=True):
        for _ in range(cycles):
            held = Signal(value.shape(), reset_less=reset_less, name="held")
            m.d.sync += held.eq(value)
            value = held
        return value


class LayerMiter(Component):
    """``wrong``: a spike, a membrane or an F of ``part``, a ShortTermDense, is not what ``layer``
    says, however its streams wait and whenever a reset comes.

    Beside it runs the specification with a word for every synapse. It steps when the end of a step
    is taken; what the part shows from then on is compared with it, and when the part takes the next
    event, each F that it holds (0, or what it last wrote) must be the specification's, and each
    spike and membrane of the step must have been shown once."""

    def __init__(self, part, layer=None):
        self.part, self.layer = part, layer or part.layer
        self.states = {s.name: s for s in self.layer.neuron.states}
        address = part.i.payload.data.address.shape()
        super().__init__(
            {"offers": In(1), "address": In(address), "ends": In(1), "last": In(1),
             "ready": In(1), "wrong": Out(1)}
        )  # fmt: skip

    def elaborate(self, platform):
        m, part, layer = Module(), self.part, self.layer
        m.submodules.part = part
        x = [Signal(name=f"x_{j}") for j in range(layer.inputs)]
        take, stepped = self._event(m, x), Signal()
        m.d.comb += [part.o.ready.eq(self.ready), stepped.eq(take & part.i.payload.data.step_end)]
        with m.If(stepped):
            m.d.sync += [spike.eq(0) for spike in x]
        with m.Elif(take):
            m.d.sync += Array(x)[part.i.payload.data.address].eq(1)
        spikes, states, f = self._specified(m, x, stepped)
        o = part.o.payload.data
        wrong = [self._shown(m, "o", part.o.valid & self.ready, o, spikes, take, stepped)]
        for name, values in states.items():
            port = getattr(part, f"state_{name}")
            shown = self._shown(m, name, port.valid, port.payload.data, values, take, stepped)
            wrong.append(shown)
        m.d.comb += self.wrong.eq(Cat(*wrong, self._kept(m, f, take)).any())
        return m

    def _event(self, m, x):
        """Offers any event, an input once a step, until it is taken; whether one is."""
        i, waits = self.part.i, Signal()
        event = Cat(self.address, self.ends, self.last)
        fresh = (self.address < self.layer.inputs) & ~Array(x)[self.address]
        held, take = Signal.like(event, name="event"), Signal()
        m.d.comb += [
            i.valid.eq(waits | (self.offers & (self.ends | fresh))),
            i.payload.as_value().eq(Mux(waits, held, event)),
            take.eq(i.valid & i.ready),
        ]
        m.d.sync += [waits.eq(i.valid & ~i.ready), held.eq(i.payload.as_value())]
        return take

    def _specified(self, m, x, stepped):
        """(spikes, states by name, F of each row) after the step that was taken last."""
        layer, outputs = self.layer, range(self.layer.outputs)
        step = Counter(m, "step", self.part.steps, stepped)
        spikes, states, rows = [], {name: [] for name in self.states}, {}
        for n in outputs:
            f = [Signal(signed(layer.word.bits), name=f"f_{j}_{n}") for j in range(layer.inputs)]
            weights = [int(w) for w in layer.weights[:, n]]
            current = sum(
                Mux(spike, strength(w, own), 0) for spike, w, own in zip(x, weights, f, strict=True)
            )
            old, begun = {}, {}
            for name, state in self.states.items():
                port = getattr(self.part, f"state_{name}").payload.data[0]
                old[name] = Signal(port.shape(), name=f"{name}_{n}")
                states[name].append(old[name])
                begun[name] = Mux(step.value == 0, int(state.initial[0]), old[name])
            spike = Signal(name=f"spike_{n}")
            with wires_in(m):
                out, new = spec_of(layer.neuron).step(current, begun)
                gain = int(layer.gain[n % len(layer.gain)])
                learned = [
                    plastic(layer.word, layer.leak, own, gain, seen, out, step.last)
                    for seen, own in zip(x, f, strict=True)
                ]
            with m.If(stepped):
                m.d.sync += [spike.eq(out), *(old[name].eq(new[name]) for name in old)]
                m.d.sync += [own.eq(value) for own, value in zip(f, learned, strict=True)]
            spikes.append(spike)
            rows |= {(n, j): own for j, own in enumerate(f)}
        return spikes, states, rows

    def _shown(self, m, name, valid, data, values, take, stepped):
        """Whether what a stream shows is not ``values``, each of them once a step."""
        lanes, groups = self.part.lanes, self.part.groups
        group = Counter(m, f"group_{name}", groups, valid)
        owed = Signal(name=f"owed_{name}")
        with m.If(stepped):
            m.d.sync += owed.eq(1)
        with m.Elif(valid & group.last):
            m.d.sync += owed.eq(0)
        same = [
            data[n] == Array(values[n::lanes])[group.value] for n in range(lanes)
        ]  # fmt: skip
        return (valid & (~owed | ~Cat(same).all())) | (take & owed)

    def _kept(self, m, f, take):
        """Whether F in memory is not what it should be as an event is taken."""
        probe, bits = self.part.probe_weights, self.layer.word.bits
        lanes, inputs = self.part.lanes, self.layer.inputs
        wrong = []
        for row in range(inputs * self.part.groups):
            group, j = divmod(row, inputs)
            wanted = Cat(f[group * lanes + n, j] for n in range(lanes))
            kept = Signal(bits * lanes, name=f"kept_{row}")
            with m.If(probe.valid & (probe.row == row)):
                m.d.sync += kept.eq(probe.data)
            wrong.append(take & (kept != wanted))
        return Cat(wrong).any()
