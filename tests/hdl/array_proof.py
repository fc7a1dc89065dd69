"""Formal proofs of neuron arrays: however inputs and outputs wait, and whenever a reset comes,
what each neuron's memory holds after a step is its specification's step of what it held before.

Beside the array runs its specification with a word for each neuron's states. It steps when the
array takes an input; its results wait in a queue until the array shows the same. ``wrong`` says
that a state or an output that is shown is not the next of its queue.
"""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component
from tests.neurons.spec import spec_of, wires_in


class ArrayMiter(Component):
    """``array``: of one lane. Its streams get any input and any waiting."""

    def __init__(self, array):
        assert array.lanes == 1
        self.array = array
        shapes = {
            name: getattr(array, p).payload.data[0].shape() for name, p in array.inputs.items()
        }
        self.codes = {f"x_{name}": shape for name, shape in shapes.items()}
        ports = {name: In(shape) for name, shape in self.codes.items()}
        super().__init__({**ports, "offers": In(len(ports)), "ready": In(1), "wrong": Out(1)})

    def elaborate(self, platform):
        m, array = Module(), self.array
        m.submodules.array = array
        ports = [getattr(array, port) for port in array.inputs.values()]
        codes = [getattr(self, name) for name in self.codes]
        for n, (port, code) in enumerate(zip(ports, codes, strict=True)):
            m.d.comb += [port.valid.eq(self.offers[n]), port.payload.data[0].eq(code)]
        m.d.comb += array.o.ready.eq(self.ready)
        take = Signal()
        m.d.comb += take.eq(ports[0].valid & ports[0].ready)
        last, out, new = self._step(m, take, codes)
        wrong = [port.valid & port.ready != take for port in ports]
        o = array.o
        wrong.append(self._queue(m, "o", o, o.valid, o.ready, take, out, last))
        for name, value in new.items():
            probe = getattr(array, f"state_{name}")
            wrong.append(self._queue(m, name, probe, probe.valid, 1, take, value, last))
        m.d.comb += self.wrong.eq(sum(wrong) != 0)
        return m

    def _step(self, m, take, codes):
        """Whether it is a frame's last, output and new states of the neuron whose turn it is."""
        array, model = self.array, self.array.model
        turn = Counter(m, "turn", array.elements, take)
        step = Counter(m, "step", array.steps, take & turn.last)
        fresh = step.value == 0
        if array.persistent:
            stepped = Signal()
            with m.If(take & turn.last):
                m.d.sync += stepped.eq(1)
            fresh = ~stepped
        words, old = {}, {}
        for s in model.states:
            now = getattr(array, f"state_{s.name}").payload.data[0].shape()
            words[s.name] = Array(Signal(now, name=f"{s.name}_{n}") for n in range(array.elements))
            begin = Array(int(s.initial[n % len(s.initial)]) for n in range(array.elements))
            old[s.name] = Signal(now, name=f"old_{s.name}")
            m.d.comb += old[s.name].eq(Mux(fresh, begin[turn.value], words[s.name][turn.value]))

        def pick(vector):
            amounts = Array(int(vector[n % len(vector)]) for n in range(array.elements))
            return amounts[turn.value] if len(vector) > 1 else int(vector[0])

        with wires_in(m):
            out, new = spec_of(model, pick).step(*codes, old)
        with m.If(take):
            m.d.sync += [words[name][turn.value].eq(value) for name, value in new.items()]
        return turn.last & step.last, out, new

    def _queue(self, m, name, port, shown, ready, enters, value, last):
        """Whether ``port`` shows something else than what entered first."""
        depth = self.array.latency + 1
        data = port.payload.data[0]
        waiting = [Signal(data.shape(), name=f"{name}_{n}") for n in range(depth + 1)]
        ends = [Signal(name=f"{name}_end_{n}") for n in range(depth + 1)]
        count = Signal(range(depth + 1), name=f"{name}_count")
        leaves = Signal(name=f"{name}_leaves")
        m.d.comb += leaves.eq(shown & ready)
        m.d.sync += count.eq(count + enters - leaves)
        for n in range(depth):
            here = enters & (count - leaves == n)
            with m.If(here):
                m.d.sync += [waiting[n].eq(value), ends[n].eq(last)]
            with m.Elif(leaves):
                m.d.sync += [waiting[n].eq(waiting[n + 1]), ends[n].eq(ends[n + 1])]
        same = (data == waiting[0]) & (port.payload.last == ends[0])
        return (shown & ((count == 0) | ~same)) | (enters & ~leaves & (count == depth))
