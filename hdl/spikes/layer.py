"""What all event-driven synapse layers share: events in, the currents of each step out."""

from collections.abc import Iterable, Sequence

import numpy as np
from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Process, Stage, Wire
from codesign.hdl.loading.load import load_signature
from codesign.hdl.loading.loaded_memory import LoadedMemory, slots
from codesign.hdl.memories import Counter, Table, pack, rom, style_for
from codesign.hdl.spikes.accumulate import Banks, Store, Unload, Update, in_registers, nothing
from codesign.hdl.spikes.aer import counted, event_signature
from codesign.hdl.spikes.walk import FrontRegisters, Slot
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.hdl.timing import Clock
from codesign.spikes.arrivals import Arrivals


class EventLayer(Component):
    """``i``: events; ``o``: frames of ``steps`` vectors of currents, ``slice`` lanes a beat.

    Subclasses say which slots an event takes (``_front``, ``slots``). A slot takes one cycle: its
    weights are fetched, registered (and multiplied where spikes are counted), and added. The end
    of a step takes one slot. It waits only while the step before has not been handed on wholly.
    ``out_range``: the exact range of the currents, where it is known to be narrower than least sum
    plus least bias says.
    """

    def __init__(
        self,
        *,
        inputs: int,
        levels: int,
        signed: bool,
        steps: int,
        rows: Sequence[Sequence[int]],
        store: Store,
        sums: tuple[int, int],
        bias: np.ndarray | None,
        weight_memory: str,
        group: int = 0,
        loadable: tuple[int, int] | None = None,
        out_range: tuple[int, int] | None = None,
    ) -> None:
        if steps < 1:
            raise ValueError(f"a frame has at least one step, got {steps}")
        self.inputs, self.steps, self.store = inputs, steps, store
        self.counted = counted(levels, signed)
        self._rows, self._group = rows, group
        flat = [int(w) for row in rows for w in row]
        self._weight = range_shape(*(loadable or (min(flat), max(flat))))
        self.loadable = loadable is not None
        self._memory = style_for(len(rows), self._weight.width * store.lanes, weight_memory)
        self._bias = None if bias is None or not np.any(bias) else np.asarray(bias, np.int64)
        low, high = (0, 0) if self._bias is None else (self._bias.min(), self._bias.max())
        #: Range of a current.
        self.lo, self.hi = out_range or (int(sums[0] + low), int(sums[1] + high))
        #: Registers between a slot and its addition.
        self.depth = 3 if store.banked or self.counted else 2
        super().__init__(
            {
                "i": In(event_signature(inputs, levels, signed)),
                "o": Out(stream_signature(range_shape(self.lo, self.hi), store.slice)),
                **({"load": In(load_signature())} if self.loadable else {}),
            }
        )

    def slots(self, address: int) -> int:
        """Cycles an event of this address takes (at least 1)."""
        raise NotImplementedError

    def reference(self, spikes: np.ndarray) -> np.ndarray:
        """Currents int64 [frames, steps, outputs] of spikes int [frames, steps, inputs]."""
        raise NotImplementedError

    #: Registers an event passes before its first slot.
    front = 0

    def timing(self, spikes: np.ndarray | Arrivals) -> "EventTiming":
        """The event model for these ``spikes``, int [frames, steps, inputs], or their arrivals."""
        came = spikes if isinstance(spikes, Arrivals) else Arrivals.of(spikes)
        cost = np.array([self.slots(a) for a in range(self.inputs)])
        return EventTiming(with_ends(cost[came.address].tolist(), came), self)

    def _front(self, m: Module, free: Value) -> Slot:
        """Drives ``i.ready`` and presents the slots; ``free``: a slot is accepted now."""
        raise NotImplementedError

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, owed, free = Signal(name="ce"), Signal(name="owed"), Signal(name="free")
        starting = Signal(name="starting")
        m.d.comb += free.eq(ce & ~starting)
        slot = self._front(m, free)
        valid, end, leaves = Signal(name="valid1"), Signal(name="end1"), Signal(name="step_leaves")
        m.d.comb += [ce.eq(~(end & owed)), leaves.eq(end & ce)]
        word = Signal(range(max(2, self.store.words)), name="word1")
        bank = Signal(name="bank1")
        count, channel = Signal.like(slot.count, name="count1"), None
        address, data = self._weights(m, ce)
        m.d.comb += address.eq(slot.row)
        with m.If(ce):
            m.d.sync += [
                valid.eq(slot.valid & ~slot.end & ~starting),
                end.eq(slot.valid & slot.end & ~starting),
                word.eq(slot.word),
                count.eq(slot.count),
            ]
            if slot.channel is not None:
                channel = Signal.like(slot.channel, name="channel1")
                m.d.sync += channel.eq(slot.channel)
        m.d.sync += bank.eq(bank ^ leaves)
        values = self._masked(m, data, channel)
        update = self._pipeline(m, valid & ce, leaves, values, word, bank, count)
        drained = self._finish(m, update, starting)
        with m.If(leaves):
            m.d.sync += owed.eq(1)
        with m.Elif(drained):
            m.d.sync += owed.eq(0)
        return m

    def _weights(self, m: Module, ce: Value) -> tuple[Value, Value]:
        """(address, row) of the weight memory; the row an enabled cycle later."""
        words = self.row_words(self._rows)
        if not self.loadable:
            return rom(m, "weights", words, self.row_bits, self._memory, ce)  # type: ignore[return-value]
        memory = m.submodules.weights = LoadedMemory(words, self.row_bits, self._memory)
        wiring.connect(m, wiring.flipped(self.load), memory.load)
        m.d.comb += memory.en.eq(ce)
        return memory.address, memory.data

    @property
    def row_bits(self) -> int:
        """Bits of a word of the weight memory: ``lanes`` weights, the first lowest."""
        return self._weight.width * self.store.lanes

    @property
    def region_bits(self) -> int:
        """Bus address bits of the weight memory (:class:`LoadedMemory`), where it is loadable."""
        return (len(self._rows) * slots(self.row_bits) - 1).bit_length()

    def rows_of(self, weights: np.ndarray) -> list[list[int]]:
        """The rows of the weight memory, of weights as the constructor takes them."""
        raise NotImplementedError

    def row_words(self, rows: Sequence[Sequence[int]]) -> list[int]:
        """What stands in the weight memory."""
        return [pack([(int(w), self._weight.width) for w in row]) for row in rows]

    def _masked(self, m: Module, data: Value, channel: Value | None) -> list[Value]:
        """The weights of each lane; zero in lanes of other channels."""
        width, found = self._weight.width, []
        for lane in range(self.store.lanes):
            code = Signal(self._weight, name=f"weight{lane}")
            own: Value = data[lane * width :][:width]
            if channel is not None:
                own = Mux(channel == lane // self._group, own, 0)
            m.d.comb += code.eq(own)
            found.append(code)
        return found

    def _pipeline(
        self,
        m: Module,
        valid: Value,
        end: Value,
        values: list[Value],
        word: Value,
        bank: Value,
        count: Value,
    ) -> Update:
        """Registers from the weight memory to the accumulators; they never wait."""
        history = [(word, bank, valid)]
        for stage in range(2, self.depth + 1):
            flags = [Signal(name=f"valid{stage}"), Signal(name=f"end{stage}")]
            m.d.sync += [flags[0].eq(valid), flags[1].eq(end)]
            multiplies = self.counted and stage == 3
            held = []
            for lane, value in enumerate(values):
                made = value * count if multiplies else value
                register = Signal(made.shape(), name=f"value{stage}_{lane}", reset_less=True)
                m.d.sync += register.eq(made)
                held.append(register)
            where = [
                Signal.like(s, name=f"{name}{stage}")
                for name, s in (("word", word), ("bank", bank), ("count", count))
            ]
            m.d.sync += [w.eq(s) for w, s in zip(where, (word, bank, count), strict=True)]
            (valid, end), values, (word, bank, count) = flags, held, where
            history.append((word, bank, valid))
        early, ahead = history[0], history[-2]
        return Update(valid, end, values, word, bank, *_order(ahead), early[0], early[1])

    def _finish(self, m: Module, update: Update, starting: Signal) -> Value:
        """The accumulators and the output; high when a step's last beat reaches the output."""
        ce, drained = Signal(name="ce_out"), Signal(name="drained")
        m.d.comb += ce.eq(~self.o.valid | self.o.ready)
        unload = Unload(m, self.store, update.end, ce)
        if self.store.banked:
            banks = Banks(m, self.store, update, unload, ce)
            m.d.comb += starting.eq(banks.starting)
            given, last = banks.given(m, ce)
            valid = Signal(name="read_valid")
            with m.If(ce):
                m.d.sync += valid.eq(unload.issue)
        else:
            m.d.comb += starting.eq(nothing())
            given = in_registers(m, self.store, update, unload)
            valid, last = unload.issue, unload.last
        passes = Signal(name="passes")
        m.d.comb += [passes.eq(ce & valid), drained.eq(passes & last)]
        step = Counter(m, "step", self.steps, drained)
        with m.If(ce):
            m.d.sync += [
                self.o.valid.eq(valid),
                self.o.payload.last.eq(last & step.last),
            ]
            for lane, code in enumerate(self._with_bias(m, given, passes, last)):
                m.d.sync += self.o.payload.data[lane].eq(code)
        return drained

    def _with_bias(self, m: Module, given: Value, passes: Value, last: Value) -> list[Value]:
        """The codes of a slice, each with its output's bias."""
        store, shape = self.store, self.store.shape
        fields = [given[n * shape.width :][: shape.width] for n in range(store.slice)]
        codes = [f.as_signed() if shape.signed else f for f in fields]
        if self._bias is None:
            return codes
        period = len(self._bias) // store.slice
        if period * store.slice != len(self._bias):
            raise ValueError(f"{store.slice} lanes do not divide {len(self._bias)} outputs")
        beat = Counter(m, "bias_beat", period, passes)
        bias = range_shape(int(self._bias.min()), int(self._bias.max()))
        words = [
            pack([(int(b), bias.width) for b in row])
            for row in self._bias.reshape(period, store.slice)
        ]
        table = Table(m, "biases", words, bias.width * store.slice, beat).data
        own = [table[n * bias.width :][: bias.width] for n in range(store.slice)]
        return [c + (b.as_signed() if bias.signed else b) for c, b in zip(codes, own, strict=True)]


def _order(stage: tuple[Value, Value, Value]) -> tuple[Value, Value, Value]:
    word, bank, valid = stage
    return word, valid, bank


def count_of(layer: EventLayer) -> Value:
    """The count of the offered event, 1 where spikes are 0 and 1."""
    return layer.i.payload.data.count if layer.counted else Const(1, 1)


def with_ends(costs: list[int], came: Arrivals) -> list[tuple[int, bool]]:
    """(slots, ends a step) of every beat: the events' ``costs``, and 1 for the end of a step."""
    beats, at = [], 0
    for count in came.per_step.tolist():
        beats += [(cost, False) for cost in costs[at : at + count]]
        beats.append((1, True))
        at += count
    return beats


class EventTiming(Stage):
    """Event model of an :class:`EventLayer`; ``beats``: (slots, ends a step) of every beat."""

    def __init__(self, beats: list[tuple[int, bool]], layer: EventLayer) -> None:
        self._beats, self._front = beats, layer.front
        store = layer.store
        self._depth, self._read, self._given = layer.depth, store.latency, store.beats
        self._start = store.words if store.banked else 0

    def processes(self) -> Iterable[Process]:
        inner = Wire()  # ends of steps: from the weights to the accumulators
        clock, out = Clock(1, inner), Clock(self._read, self.o)
        walk = self._walk(clock) if self._front else self._straight(clock)
        return [walk, clock.emissions(), self._unload(inner, out), out.emissions()]

    def _straight(self, clock: Clock) -> Process:
        """Slots follow from the offered beat, which is taken with the last of them."""
        for n, (cost, end) in enumerate(self._beats):
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            t = yield from clock.issue(max(self.i.valid.at[n], self._start))
            if cost > 1:
                t = (yield from clock.issue_run(cost - 1))[-1]
            self.i.taken.put(t)
            if end:
                clock.emit()

    def _walk(self, clock: Clock) -> Process:
        """Registers on the way to the slots."""
        registers = FrontRegisters(self._front)
        for n, (cost, end) in enumerate(self._beats):
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            taken, t = registers.enter(self.i.valid.at[n])
            self.i.taken.put(taken)
            registers.finished = yield from clock.issue(max(t, self._start))
            if cost > 1:
                registers.finished = (yield from clock.issue_run(cost - 1))[-1]
            if end:
                clock.emit()

    def _unload(self, inner: Wire, out: Clock) -> Process:
        n = 0
        while True:
            if len(inner.valid.at) <= n:
                yield inner.valid, n
            leaves = inner.valid.at[n]
            if n:
                before = n * self._given - 1
                if len(self.o.valid.at) <= before:
                    yield self.o.valid, before
                leaves = max(leaves, self.o.valid.at[before])
            inner.taken.put(leaves)
            for _ in range(self._given):
                yield from out.issue(leaves + self._depth)
                out.emit()
            n += 1
