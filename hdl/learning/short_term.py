"""A dense event-driven layer with short-term plasticity: :class:`codesign.learning.ShortTerm`."""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from codesign.hdl.learning.arithmetic import Lane, flow_in, from_memory, from_register, leaked
from codesign.hdl.learning.inputs import InputTraces
from codesign.hdl.learning.plastic import PlasticDense
from codesign.hdl.learning.steps import Steps
from codesign.hdl.learning.update import RowUpdate
from codesign.hdl.loading.load import load_signature
from codesign.hdl.loading.loaded_memory import LoadedMemory
from codesign.hdl.memories import Counter, Table, pack, style_for
from codesign.hdl.neurons import NeuronArray
from codesign.hdl.neurons.flow import Flow
from codesign.hdl.neurons.number import Num, constant
from codesign.hdl.neurons.parts import fit
from codesign.hdl.spikes.aer import event_signature
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.learning import ShortTerm
from codesign.neurons import Word

#: Longest memory of a synapse that is counted; one that forgets later does so with its frame.
LONGEST = 255


def lifetime(layer: ShortTerm) -> int | None:
    """Steps after which nothing is left of F without spikes; None where something always is, or
    for longer than is counted."""
    ends = np.array([layer.word.lo, layer.word.hi], dtype=np.int64)
    for steps in range(LONGEST + 1):
        if not ends.any():
            return max(1, steps)
        ends = layer.leak.apply(ends)
    return None


class ShortTermDense(Component):
    """``layer`` in frames of ``steps`` steps.

    ``i``: events; ``o``: the outputs' spikes, ``lanes`` (a divisor of the outputs) a beat. After
    each step, once its spikes have left, every synapse of an input whose F may not be 0 is
    brought up to date: ``outputs / lanes`` cycles for each input that spiked within the
    :func:`lifetime` of F. ``load``: the weights W, of the range of those given, while no frame is
    in flight and ``busy`` is low. ``probe_weights`` shows rows of F as they are kept.
    """

    def __init__(
        self, layer: ShortTerm, *, steps: int, lanes: int, weight_memory: str = "auto"
    ) -> None:
        outputs, weights = layer.outputs, layer.weights
        if lanes < 1 or outputs % lanes:
            raise ValueError(f"{lanes} lanes do not divide {outputs} outputs")
        self.layer, self.steps, self.lanes, self.groups = layer, steps, lanes, outputs // lanes
        low, high = int(weights.min()), int(weights.max())
        self._shape = range_shape(low, high)
        low, high = (
            (-(1 << (self._shape.width - 1)), (1 << (self._shape.width - 1)) - 1)
            if (self._shape.signed)
            else (0, (1 << self._shape.width) - 1)
        )
        span = low + layer.word.lo, high + layer.word.hi
        self.synapses = PlasticDense(weights, span=span, steps=steps, lanes=lanes)
        self._sum = range_shape(*span)
        self.neurons = NeuronArray(
            layer.neuron, elements=outputs, steps=steps, lanes=lanes, persistent=False,
            ranges=[(self.synapses.lo, self.synapses.hi)],
        )  # fmt: skip
        width = self._shape.width
        words = [pack([(int(w), width) for w in row]) for row in self.synapses.words]
        style = style_for(len(words), width * lanes, weight_memory)
        self.memory = LoadedMemory(words, width * lanes, style)
        left = lifetime(layer)
        count = Word((left or 1).bit_length(), 0, False, "sat_step")
        self.inputs = InputTraces(
            layer.inputs, self.groups, count, lambda flow, old, x: _waits(flow, left, old, x)
        )
        self._gain = range_shape(min(0, int(layer.gain.min())), max(0, int(layer.gain.max())))
        self.update = RowUpdate(
            len(words), lanes, weight_bits=layer.word.bits, factor_bits=self._gain.width,
            trace_bits=1, change=self._change,
        )  # fmt: skip
        rows, row = self.update.write_row.shape(), layer.word.bits * lanes
        states = {n: p for n, p in self.neurons.signature.members.items() if n.startswith("state_")}
        super().__init__(
            {
                "i": In(event_signature(layer.inputs)),
                "o": Out(stream_signature(range_shape(0, 1), lanes)),
                "busy": Out(1),
                "load": In(load_signature()),
                "probe_weights": Out(
                    wiring.Signature({"valid": Out(1), "row": Out(rows), "data": Out(row)})
                ),
                **states,
            }
        )

    def _change(self, m: Module | None, f: Value, gain: Value, goes_on: Value, x: Value) -> Lane:
        """The new F of a lane; 0 where the frame ends."""
        flow, word = flow_in(m, Const(1, 1)), self.layer.word
        raised = from_memory(gain, Word(len(gain), 0, self._gain.signed, "wrap"))
        raised = flow.mux(from_register(x, 0, 1), raised, constant(0), "raised")
        left = leaked(flow, self.layer.leak, from_memory(f, word))
        new = fit(flow, word, flow.add(left, raised, "plastic"))
        return Lane(flow, [flow.mux(from_register(goes_on, 0, 1), new, constant(0), "kept")])

    def elaborate(self, platform: object) -> Module:
        m = Module()
        synapses, neurons, inputs, update = self.synapses, self.neurons, self.inputs, self.update
        m.submodules.synapses, m.submodules.neurons = synapses, neurons
        m.submodules.inputs, m.submodules.update = inputs, update
        m.submodules.memory = self.memory
        steps = m.submodules.phases = Steps(self.steps)
        wiring.connect(m, wiring.flipped(self.i), synapses.i)
        wiring.connect(m, synapses.o, neurons.i)
        wiring.connect(m, neurons.o, wiring.flipped(self.o))
        wiring.connect(m, wiring.flipped(self.load), self.memory.load)
        for state in neurons.model.states:
            port = f"state_{state.name}"
            wiring.connect(m, getattr(neurons, port), wiring.flipped(getattr(self, port)))
        cleared = self._plastic(m, steps)
        gathered = self._spikes(m)
        i = self.i
        m.d.comb += [
            steps.ready.eq(inputs.ready & cleared),
            steps.learn.eq(1),
            steps.taken.eq(i.valid & i.ready),
            steps.step_end.eq(i.payload.data.step_end),
            steps.step_left.eq(gathered),
            steps.gathered.eq(gathered),
            steps.made.eq(1),
            steps.walked.eq(inputs.done & ~update.busy),
            synapses.go.eq(steps.go),
            inputs.mark.eq(steps.marks),
            inputs.address.eq(i.payload.data.address),
            inputs.walk.eq(steps.walk),
            inputs.close.eq(steps.walk & steps.walked),
            inputs.final.eq(steps.final),
            self.busy.eq(steps.busy),
        ]
        return m

    def _spikes(self, m: Module) -> Value:
        """Keeps what each output's spike is worth; high when those of a step have left."""
        given, gathered = Signal(name="spikes_leave"), Signal(name="step_gathered")
        m.d.comb += given.eq(self.o.valid & self.o.ready)
        group = Counter(m, "group_of_spikes", self.groups, given)
        width, gain = self._gain.width, self.layer.gain
        each = np.broadcast_to(gain, (self.layer.outputs,)).reshape(-1, self.lanes)
        words = [pack([(int(g), width) for g in row]) for row in each]
        table = Table(m, "gains", words, width * self.lanes, group).data
        worth = m.submodules.worth = Memory(
            shape=unsigned(width * self.lanes), depth=max(2, self.groups), init=[]
        )
        write, read = worth.write_port(), worth.read_port()
        spikes = self.o.payload.data.as_value()
        m.d.comb += [
            write.en.eq(given),
            write.addr.eq(group.value),
            write.data.eq(
                Cat(
                    Mux(spikes[n], Value.cast(table)[n * width :][:width], 0)
                    for n in range(self.lanes)
                )
            ),
            read.addr.eq(self.inputs.group),
            self.update.factors.eq(read.data),
        ]
        m.d.sync += gathered.eq(given & group.last)
        return gathered

    def _plastic(self, m: Module, steps: Steps) -> Value:
        """The memory of F beside that of W; high once it is cleared after reset."""
        synapses, inputs, update, lanes = self.synapses, self.inputs, self.update, self.lanes
        bits, width = self.layer.word.bits, self._shape.width
        depth = max(2, len(synapses.words))
        plastic = m.submodules.plastic = Memory(shape=unsigned(bits * lanes), depth=depth, init=[])
        read, write = plastic.read_port(), plastic.write_port()
        starting = Signal(init=1, name="clearing_rows")
        clearing = Counter(m, "row_to_clear", len(synapses.words), starting)
        with m.If(clearing.last):
            m.d.sync += starting.eq(0)
        sums = []
        for n in range(lanes):
            w, f = self.memory.data[n * width :][:width], read.data[n * bits :][:bits].as_signed()
            total = Signal(self._sum, name=f"strength{n}")
            m.d.comb += total.eq((w.as_signed() if self._shape.signed else w) + f)
            sums.append(total)
        m.d.comb += [
            read.addr.eq(Mux(steps.walk, inputs.row, synapses.row)),
            read.en.eq(steps.walk | synapses.row_en),
            self.memory.address.eq(synapses.row),
            self.memory.en.eq(synapses.row_en),
            synapses.row_data.eq(Cat(*sums)),
            update.valid.eq(inputs.row_valid),
            update.row.eq(inputs.row),
            update.trace.eq(~steps.final),
            update.spike.eq(inputs.spike),
            update.data.eq(read.data),
            write.en.eq(starting | update.write),
            write.addr.eq(Mux(starting, clearing.value, update.write_row)),
            write.data.eq(Mux(starting, 0, update.write_data)),
            self.probe_weights.valid.eq(update.write),
            self.probe_weights.row.eq(update.write_row),
            self.probe_weights.data.eq(update.write_data),
        ]
        return ~starting


def _waits(flow: Flow, left: int | None, old: Num, x: Num) -> Num:
    """Steps that something of F may still be left."""
    if left is None:
        return flow.within(flow.mux(x, constant(1), old, "waits"), 0, 1)
    less = flow.mux(flow.any(old), flow.sub(old, constant(1), "less"), constant(0), "less")
    return flow.mux(x, constant(left), flow.within(less, 0, old.hi), "waits")
