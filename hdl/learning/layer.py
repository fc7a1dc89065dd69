"""A dense event-driven layer that learns on the chip."""

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.learning.arithmetic import (
    Lane,
    flow_in,
    from_memory,
    from_register,
    new_weight,
    trace_of_input,
)
from codesign.hdl.learning.inputs import InputTraces
from codesign.hdl.learning.outputs import OutputTraces
from codesign.hdl.learning.plastic import PlasticDense
from codesign.hdl.learning.steps import Steps
from codesign.hdl.learning.update import RowUpdate
from codesign.hdl.loading.load import load_signature
from codesign.hdl.loading.loaded_memory import LoadedMemory
from codesign.hdl.memories import Counter, pack, style_for
from codesign.hdl.neurons import NeuronArray
from codesign.hdl.neurons.number import Num, constant
from codesign.hdl.spikes.aer import event_signature
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.learning import LearningLayer


class LearningDense(Component):
    """``layer``, with ``weights`` int [inputs, outputs] at first, in frames of ``steps`` steps.

    ``i``: events; ``o``: the outputs' spikes, ``lanes`` (a divisor of the outputs) a beat. Where
    ``learn`` is high as a frame's first beat is taken the frame changes the weights: after each
    step's spikes ``signal`` brings its learning signal, as many beats, before the next step's
    events are taken. Where it is low, ``signal`` is not read and steps follow each other as in
    :class:`EventDense` before a :class:`NeuronArray`.

    A step that learns costs, after its last event: the neurons' latency, a cycle for each beat of
    the signal, and for each input with a trace ``outputs / lanes`` cycles (one, where no factor
    of the step is other than 0). Weights can be read and written through ``load`` (a word for
    each group and input, :class:`LoadedMemory`) while no frame is in flight and ``busy``, which
    is high from the end of a step until its weights are written, is low.

    ``probe_pre``, ``probe_post``, ``probe_weights`` and ``state_NAME`` show every word as it is
    kept; they cost nothing where they are not connected.
    """

    def __init__(
        self,
        layer: LearningLayer,
        weights: np.ndarray,
        *,
        steps: int,
        lanes: int,
        weight_memory: str = "auto",
    ) -> None:
        if lanes < 1 or layer.outputs % lanes:
            raise ValueError(f"{lanes} lanes do not divide {layer.outputs} outputs")
        layer.begin(weights)
        rule = layer.rule
        self.layer, self.rule, self.lanes, self.steps = layer, rule, lanes, steps
        weights = np.asarray(weights, dtype=np.int64)
        span = rule.weight.lo, rule.weight.hi
        self.synapses = PlasticDense(weights, span=span, steps=steps, lanes=lanes)
        self.neurons = NeuronArray(
            layer.neuron, elements=layer.outputs, steps=steps, lanes=lanes, persistent=False,
            ranges=[(self.synapses.lo, self.synapses.hi)], tells=True,
        )  # fmt: skip
        self.groups, bits = layer.outputs // lanes, rule.weight.bits
        words = [pack([(int(w), bits) for w in row]) for row in self.synapses.words]
        style = style_for(len(words), bits * lanes, weight_memory)
        self.memory = LoadedMemory(words, bits * lanes, style, writable=True)
        self.inputs = InputTraces(
            layer.inputs, self.groups, rule.pre,
            lambda flow, old, x: trace_of_input(flow, rule, old, x),
        )  # fmt: skip
        self.outputs = OutputTraces(layer, lanes)
        self.update = RowUpdate(
            len(words), lanes, weight_bits=bits, factor_bits=self.outputs.factor_bits,
            trace_bits=rule.pre.bits, change=self._change,
        )  # fmt: skip
        states = {n: p for n, p in self.neurons.signature.members.items() if n.startswith("state_")}
        super().__init__(
            {
                "i": In(event_signature(layer.inputs)),
                "o": Out(stream_signature(range_shape(0, 1), lanes)),
                "signal": In(stream_signature(signed(rule.signal.bits), lanes)),
                "learn": In(1),
                "busy": Out(1),
                "load": In(load_signature()),
                **states,
                **self._probes(),
            }
        )

    def step_cycles(self, events: int, active: int, changes: bool) -> int:
        """Cycles from a step's first event to that of the next, where the step learns and nobody
        waits. ``events``: how many; ``active``: inputs that spike or have a trace from the step
        before; ``changes``: whether any factor of the step is not 0."""
        return events * self.groups + self._until_walk + self.walk_cycles(active, changes) + 1

    def walk_cycles(self, active: int, changes: bool) -> int:
        """Cycles in which the traces and weights of a step change; see :meth:`step_cycles`."""
        if not active:
            return 0
        walk = 2 + self.inputs.depth + active * (self.groups if changes else 1)
        return walk + (1 + self.update.depth if changes else 0)

    @property
    def clearing(self) -> int:
        """Cycles after reset in which no event is taken: memories are cleared."""
        store = self.synapses.store
        return max(self.layer.inputs, store.words if store.banked else 0)

    @property
    def _until_walk(self) -> int:
        """Cycles from the end of a step to its first new trace: currents, neurons, Psi; signal,
        factors."""
        synapses = self.synapses.depth + self.synapses.store.latency + 1
        neurons = self.neurons.latency - 1 + self.groups - 1
        signal = self.groups - 1 + 1 + self.outputs.factor_depth
        return synapses + neurons + 1 + self.outputs.gather_depth + 2 + signal + 2

    def _probes(self) -> dict[str, wiring.Member]:
        inputs, rows, groups = self.inputs, self.update.write_row.shape(), self.outputs
        row = self.rule.weight.bits * self.lanes
        post = {"psi": Out(len(groups.said_psi)), "post": Out(len(groups.said_post))}
        return {
            "probe_pre": Out(
                wiring.Signature(
                    {
                        "valid": Out(1),
                        "input": Out(len(inputs.said_input)),
                        "trace": Out(unsigned(self.rule.pre.bits)),
                    }
                )
            ),
            "probe_post": Out(
                wiring.Signature({"valid": Out(1), "group": Out(len(groups.said_group)), **post})
            ),
            "probe_weights": Out(
                wiring.Signature({"valid": Out(1), "row": Out(rows), "data": Out(row)})
            ),
        }

    def _change(self, m: Module | None, w: Value, of: Value, trace: Value, spike: Value) -> Lane:
        """The new weight of a lane."""
        rule, flow = self.rule, flow_in(m, Value.cast(1))
        g = from_memory(of[: rule.factor.bits], rule.factor)
        h: Num = constant(0)
        if rule.post_shift is not None:
            h = from_memory(of[rule.factor.bits :], rule.factor)
        pre = from_register(trace, 0, rule.pre.hi)
        x = from_register(spike, 0, 1)
        return Lane(flow, [new_weight(flow, rule, from_memory(w, rule.weight), g, h, pre, x)])

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.synapses, m.submodules.neurons = self.synapses, self.neurons
        m.submodules.inputs, m.submodules.outputs = self.inputs, self.outputs
        m.submodules.update, m.submodules.memory = self.update, self.memory
        wiring.connect(m, wiring.flipped(self.i), self.synapses.i)
        wiring.connect(m, self.synapses.o, self.neurons.i)
        wiring.connect(m, self.neurons.o, wiring.flipped(self.o))
        wiring.connect(m, wiring.flipped(self.signal), self.outputs.signal)
        wiring.connect(m, wiring.flipped(self.load), self.memory.load)
        for name in self.neurons.model.states:
            port = f"state_{name.name}"
            wiring.connect(m, getattr(self.neurons, port), wiring.flipped(getattr(self, port)))
        steps = m.submodules.phases = Steps(self.steps)
        walking = self._control(m, steps)
        self._memory(m, walking)
        self._show(m)
        return m

    def _control(self, m: Module, steps: Steps) -> Value:
        """Phases; high while weights change."""
        i, inputs, outputs = self.i, self.inputs, self.outputs
        told = self.neurons.told  # type: ignore[attr-defined]
        m.d.comb += [
            steps.ready.eq(inputs.ready),
            steps.learn.eq(self.learn),
            steps.taken.eq(i.valid & i.ready),
            steps.step_end.eq(i.payload.data.step_end),
            steps.step_left.eq(told.valid & self._last_beat(m, told.valid)),
            steps.gathered.eq(outputs.gathered),
            steps.made.eq(outputs.made),
            steps.walked.eq(inputs.done & ~self.update.busy),
            self.synapses.go.eq(steps.go),
            self.busy.eq(steps.busy),
            inputs.mark.eq(steps.marks),
            inputs.address.eq(i.payload.data.address),
            inputs.walk.eq(steps.walk),
            inputs.close.eq(steps.walk & steps.walked),
            inputs.final.eq(steps.final),
            inputs.skip.eq(~outputs.some),
            outputs.fresh.eq(steps.fresh),
            outputs.membrane_valid.eq(told.valid & steps.gather),
            outputs.membrane.eq(told.v),
            outputs.spikes.eq(told.spikes),
            outputs.open.eq(steps.open),
        ]
        return steps.walk

    def _last_beat(self, m: Module, beat: Value) -> Value:
        return Counter(m, "state_beat", self.groups, beat).last

    def _memory(self, m: Module, walking: Value) -> None:
        """Events read rows; a walk reads and writes them."""
        synapses, inputs, update, memory = self.synapses, self.inputs, self.update, self.memory
        m.d.comb += [
            memory.address.eq(Mux(walking, inputs.row, synapses.row)),
            memory.en.eq(walking | synapses.row_en),
            synapses.row_data.eq(memory.data),
            self.outputs.group.eq(inputs.group),
            update.valid.eq(inputs.row_valid),
            update.row.eq(inputs.row),
            update.trace.eq(inputs.trace),
            update.spike.eq(inputs.spike),
            update.data.eq(memory.data),
            update.factors.eq(self.outputs.factors),
            memory.write_en.eq(update.write),
            memory.write_address.eq(update.write_row),
            memory.write_data.eq(update.write_data),
        ]

    def _show(self, m: Module) -> None:
        inputs, outputs, update = self.inputs, self.outputs, self.update
        m.d.comb += [
            self.probe_pre.valid.eq(inputs.said),
            self.probe_pre.input.eq(inputs.said_input),
            self.probe_pre.trace.eq(inputs.said_trace),
            self.probe_post.valid.eq(outputs.said),
            self.probe_post.group.eq(outputs.said_group),
            Cat(self.probe_post.psi, self.probe_post.post).eq(
                Cat(outputs.said_psi, outputs.said_post)
            ),
            self.probe_weights.valid.eq(update.write),
            self.probe_weights.row.eq(update.write_row),
            self.probe_weights.data.eq(update.write_data),
        ]
