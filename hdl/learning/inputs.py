"""The traces of a layer's inputs, and the list of those that are not zero."""

from collections.abc import Callable

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from codesign.hdl.learning.arithmetic import along, flow_in, from_memory, from_register
from codesign.hdl.memories import Counter
from codesign.hdl.neurons.flow import Flow
from codesign.hdl.neurons.number import Num
from codesign.hdl.spikes.aer import address_bits
from codesign.hdl.stream import Component
from codesign.neurons import Word

#: What a trace becomes, from the old one and whether its input spiked.
Follow = Callable[[Flow, Num, Num], Num]


class InputTraces(Component):
    """A trace of ``word`` (unsigned, 0 at first) for each of ``inputs``; every input whose trace
    or spike is not zero stands in a list, so that a step costs cycles for these alone.

    ``mark``: the input at ``address`` spikes (once a step). ``walk``: high until ``done``; each
    input of the list gets its new trace (0 if ``final``), keeps its place if that is not 0, and
    gives ``groups`` rows, one a cycle: ``row`` (``group * inputs + input``) with its new trace and
    spike. With ``skip`` it gives none and takes one cycle. ``close``, in a cycle of ``done``, ends
    the walk. ``ready`` is low for ``inputs`` cycles after reset, in which all is cleared.
    """

    def __init__(self, inputs: int, groups: int, word: Word, follow: Follow) -> None:
        self._inputs, self._groups, self._word, self._follow = inputs, groups, word, follow
        bits = address_bits(inputs)
        super().__init__(
            {
                "ready": Out(1),
                "mark": In(1),
                "address": In(bits),
                "walk": In(1),
                "final": In(1),
                "skip": In(1),
                "done": Out(1),
                "close": In(1),
                "row_valid": Out(1),
                "row": Out(range(max(2, inputs * groups))),
                "group": Out(range(max(2, groups))),
                "trace": Out(word.bits),
                "spike": Out(1),
                # What the walk has just said of an input.
                "said": Out(1),
                "said_input": Out(bits),
                "said_trace": Out(word.bits),
            }
        )
        #: Registers between a word of the trace memory and its entry.
        self.depth = self._build(None, Signal(self._word.bits + 1), Signal())[0]

    def _build(self, m: Module | None, data: Value, ce: Value) -> tuple[int, Value, Value]:
        """(stages, new trace, spike) of a word of the memory."""
        flow, bits = flow_in(m, ce), self._word.bits
        old, x = from_memory(data[:bits], self._word), from_register(data[bits], 0, 1)
        new = self._follow(flow, old, x)
        final = 1 + max(new.stage, 0)
        return final, flow.at(new, final).value, flow.at(x, final).value

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits, wide = self._word.bits, len(self.address)
        depth = max(2, self._inputs)
        traces = m.submodules.traces = Memory(shape=unsigned(bits + 1), depth=depth, init=[])
        listed = m.submodules.listed = Memory(shape=unsigned(wide), depth=depth, init=[])
        read, write = traces.read_port(), traces.write_port()
        list_read, list_write = listed.read_port(), listed.write_port()
        count, place = Signal(range(depth + 1)), Signal(range(depth + 1))
        kept = Signal(range(depth + 1))
        starting = Signal(init=1)
        clearing = Counter(m, "clearing", self._inputs, starting)
        with m.If(clearing.last):
            m.d.sync += starting.eq(0)
        m.d.comb += self.ready.eq(~starting)
        marked, where, fresh = Signal(), Signal(wide), Signal()
        m.d.sync += [marked.eq(self.mark), where.eq(self.address)]
        m.d.comb += fresh.eq(marked & (read.data == 0))

        ce, fetch = Signal(name="walk_ce"), Signal(name="fetch")
        m.d.comb += [
            fetch.eq(self.walk & (place != count)),
            list_read.addr.eq(place),
            list_read.en.eq(ce),
            read.addr.eq(Mux(self.walk, list_read.data, self.address)),
            read.en.eq(ce | ~self.walk),
        ]
        stages, new, spike = self._build(m, read.data, ce)
        valids = along(m, fetch, 2 + stages, "entry", ce)
        inputs = along(m, list_read.data, 1 + stages, "input", ce)
        with m.If(fetch & ce):
            m.d.sync += place.eq(place + 1)
        entry, taken, stays = valids[-1], Signal(name="entry_taken"), Signal(name="stays")
        group = self._rows(m, entry, inputs[-1], new, spike)
        m.d.comb += [
            taken.eq(entry & (self.skip | group.last)),
            ce.eq(~entry | taken),
            stays.eq(taken & (new != 0) & ~self.final),
            self.done.eq(self.walk & ~Cat(valids).any()),
            self.said.eq(taken),
            self.said_input.eq(inputs[-1]),
            self.said_trace.eq(Mux(self.final, 0, new)),
        ]
        m.d.comb += [
            write.en.eq(starting | marked | taken),
            write.addr.eq(Mux(starting, clearing.value, Mux(marked, where, inputs[-1]))),
            write.data.eq(Mux(starting, 0, Mux(marked, Cat(read.data[:bits], 1), self.said_trace))),
            list_write.en.eq(fresh | stays),
            list_write.addr.eq(Mux(marked, count, kept)),
            list_write.data.eq(Mux(marked, where, inputs[-1])),
        ]
        with m.If(fresh):
            m.d.sync += count.eq(count + 1)
        with m.If(stays):
            m.d.sync += kept.eq(kept + 1)
        with m.If(self.close):
            m.d.sync += [count.eq(kept), kept.eq(0), place.eq(0)]
        return m

    def _rows(self, m: Module, entry: Value, input: Value, new: Value, spike: Value) -> Counter:
        """An entry's rows."""
        step = Signal(name="row_step")
        group = Counter(m, "group_of_row", self._groups, step)
        offset = Signal.like(self.row, name="offset")
        m.d.comb += [
            step.eq(entry & ~self.skip),
            self.row_valid.eq(step),
            self.row.eq(offset + input),
            self.group.eq(group.value),
            self.trace.eq(new),
            self.spike.eq(spike),
        ]
        with m.If(step):
            m.d.sync += offset.eq(Mux(group.last, 0, offset + self._inputs))
        return group
