"""Formal proofs of neuron arrays: however inputs and outputs wait, and whenever a reset comes,
what each neuron's memory holds after a step is its specification's step of what it held before.

Beside the array runs its specification with a word for each neuron's states. When the array takes
an input it steps, for the neurons of all lanes; its results wait in a queue until the array shows
the same. ``wrong`` says that states or outputs that are shown are not the next of their queue.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component
from tests.neurons.spec import spec_of, wires_in


class ArrayMiter(Component):
    """The streams of ``array`` get any input and any waiting."""

    def __init__(self, array):
        self.array = array
        shapes = {
            name: getattr(array, p).payload.data[0].shape() for name, p in array.inputs.items()
        }
        self.codes = {
            f"x{lane}_{name}": shape for name, shape in shapes.items()
            for lane in range(array.lanes)
        }  # fmt: skip
        ports = {name: In(shape) for name, shape in self.codes.items()}
        super().__init__({**ports, "offers": In(len(shapes)), "ready": In(1), "wrong": Out(1)})

    def elaborate(self, platform):
        m, array = Module(), self.array
        m.submodules.array = array
        ports = [getattr(array, port) for port in array.inputs.values()]
        lanes = range(array.lanes)
        codes = [[getattr(self, f"x{lane}_{name}") for name in array.inputs] for lane in lanes]
        for n, port in enumerate(ports):
            m.d.comb += port.valid.eq(self.offers[n])
            m.d.comb += [port.payload.data[lane].eq(codes[lane][n]) for lane in lanes]
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
        """Whether it is a frame's last, outputs and new states of the neurons whose turn it is."""
        array = self.array
        turn = Counter(m, "turn", array.beats, take)
        step = Counter(m, "step", array.steps, take & turn.last)
        fresh = step.value == 0
        if array.persistent:
            stepped = Signal()
            with m.If(take & turn.last):
                m.d.sync += stepped.eq(1)
            fresh = ~stepped
        made = [self._lane(m, n, take, turn.value, fresh, codes[n]) for n in range(array.lanes)]
        states = {
            s.name: Cat(new[s.name] for _, new in made) for s in array.model.states
        }  # fmt: skip
        return turn.last & step.last, Cat(out for out, _ in made), states

    def _lane(self, m, lane, take, turn, fresh, codes):
        """Output and new states of the neuron of a lane."""
        array, model = self.array, self.array.model
        own = range(lane, array.elements, array.lanes)
        words, old = {}, {}
        for s in model.states:
            now = getattr(array, f"state_{s.name}").payload.data[0].shape()
            words[s.name] = Array(Signal(now, name=f"{s.name}_{n}") for n in own)
            begin = Array(int(s.initial[n % len(s.initial)]) for n in own)
            old[s.name] = Signal(now, name=f"old_{s.name}_{lane}")
            m.d.comb += old[s.name].eq(Mux(fresh, begin[turn], words[s.name][turn]))

        def pick(vector):
            amounts = Array(int(vector[n % len(vector)]) for n in own)
            return amounts[turn] if len(vector) > 1 else int(vector[0])

        with wires_in(m):
            out, new = spec_of(model, pick).step(*codes, old)
        with m.If(take):
            m.d.sync += [words[name][turn].eq(value) for name, value in new.items()]
        return self._as(m, array.o, out), {
            name: self._as(m, getattr(array, f"state_{name}"), value) for name, value in new.items()
        }

    def _as(self, m, port, value):
        """A number as a lane of ``port`` holds it."""
        code = Signal(port.payload.data[0].shape(), name="lane")
        m.d.comb += code.eq(value)
        return code.as_value() if hasattr(code, "as_value") else code

    def _queue(self, m, name, port, shown, ready, enters, value, last):
        """Whether ``port`` shows something else than what entered first."""
        depth = self.array.latency + 1
        data = port.payload.data.as_value()
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
