"""Where events add their weights: one accumulator word a cycle, a step summed while the one
before is handed on."""

from dataclasses import dataclass
from typing import Literal

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib.memory import Memory

from codesign.hdl.memories import Counter

#: Up to so many words the accumulators are registers: below that the multiplexers around two
#: memories cost more (784-128 in two words of 64 lanes: 8,941 LUTs instead of 2,782).
REGISTER_WORDS = 8


@dataclass(frozen=True)
class Store:
    """``words`` accumulator words of ``lanes`` codes of ``shape``; ``beats`` beats of ``slice``
    lanes are handed on each step (the rest of the last word is padding)."""

    words: int
    lanes: int
    slice: int
    beats: int
    shape: Shape
    merge: Literal["sum", "or"] = "sum"

    @property
    def banked(self) -> bool:
        """In two memories; a few words are registers and a copy of them."""
        return self.words > REGISTER_WORDS

    @property
    def latency(self) -> int:
        """Registers from a beat's issue to the output."""
        return 2 if self.banked else 1

    @property
    def slices(self) -> int:
        """Beats a word makes."""
        return self.lanes // self.slice


@dataclass(frozen=True)
class Update:
    """What reaches the store: ``valid`` adds ``values`` to ``word`` and ``end`` closes a step; the
    word is known a cycle before (``ahead``) and two before (``early``, with ``early_bank``)."""

    valid: Value
    end: Value
    values: list[Value]
    word: Value
    bank: Value
    ahead: Value
    ahead_valid: Value
    ahead_bank: Value
    early: Value
    early_bank: Value


class Unload:
    """Hands the sums of a step on, a slice each enabled cycle: the counters."""

    def __init__(self, m: Module, store: Store, start: Value, ce: Value) -> None:
        self.busy, self.issue = Signal(name="unloading"), Signal(name="unload_issue")
        m.d.comb += self.issue.eq(self.busy & ce)
        beat = Counter(m, "unload_beat", store.beats, self.issue)
        self.last, self.beat = beat.last, beat.value
        with m.If(start):
            m.d.sync += self.busy.eq(1)
        with m.Elif(self.issue & self.last):
            m.d.sync += self.busy.eq(0)
        self.slice = Signal(range(max(2, store.slices)), name="unload_slice")
        self.word = Signal(range(max(2, store.words)), name="unload_word")
        self.ends = Signal(name="unload_word_ends")
        m.d.comb += self.ends.eq(self.last | (self.slice == store.slices - 1))
        with m.If(self.issue):
            m.d.sync += self.slice.eq(Mux(self.ends, 0, self.slice + 1))
            with m.If(self.last):
                m.d.sync += self.word.eq(0)
            with m.Elif(self.ends):
                m.d.sync += self.word.eq(self.word + 1)


def _merged(store: Store, old: Value, value: Value) -> Value:
    return old | value if store.merge == "or" else old + value


def _slice_of(m: Module, store: Store, word: Value, index: Value, name: str) -> Value:
    """The lanes of slice ``index`` of accumulators side by side."""
    width = store.slice * store.shape.width
    chosen, count = Signal(width, name=name), len(word) // width
    if count == 1:
        m.d.comb += chosen.eq(word)
    else:
        parts = Array([word[n * width :][:width] for n in range(count)])
        m.d.comb += chosen.eq(parts[index])
    return chosen


def _codes(store: Store, word: Value) -> list[Value]:
    width = store.shape.width
    fields = [word[n * width :][:width] for n in range(store.lanes)]
    return [f.as_signed() if store.shape.signed else f for f in fields]


def in_registers(m: Module, store: Store, update: Update, unload: Unload) -> Value:
    """A few words: registers that add, and a copy of them that is handed on. Returns the slice
    at the output in the cycle of its issue."""
    width = store.lanes * store.shape.width
    words = [Signal(width, name=f"sums{n}") for n in range(store.words)]
    copy = Signal(width * store.words, name="finished", reset_less=True)
    old, total = Signal(width, name="old"), Signal(width, name="total")
    m.d.comb += old.eq(Array(words)[update.word] if store.words > 1 else words[0])
    each = store.shape.width
    for n, (code, value) in enumerate(zip(_codes(store, old), update.values, strict=True)):
        m.d.comb += total[n * each :][:each].eq(_merged(store, code, value))
    for n, word in enumerate(words):
        with m.If(update.end):
            m.d.sync += word.eq(0)
        with m.Elif(update.valid & (update.word == n)):
            m.d.sync += word.eq(total)
    with m.If(update.end):
        m.d.sync += copy.eq(Cat(*words))
    return _slice_of(m, store, copy, unload.beat, "finished_slice")


class Banks:
    """Two memories: events add to one while the other is handed on and cleared.

    A word is read in the first cycle, kept in a register in the second, added to and written in
    the third. What the cycle before has just made of the same word goes around the memory; what
    is written in the cycle of a read, the memory passes through. So events follow without gaps.
    """

    def __init__(self, m: Module, store: Store, update: Update, unload: Unload, ce: Value) -> None:
        self._store, self._update, self._unload = store, update, unload
        width, depth = store.lanes * store.shape.width, store.words
        self.starting = Signal(init=1, name="clearing_all")
        clearing = Counter(m, "clear_word", depth, self.starting)
        with m.If(clearing.last):
            m.d.sync += self.starting.eq(0)
        clear, clear_word = Signal(name="clear"), Signal.like(unload.word, name="cleared_word")
        m.d.sync += clear.eq(unload.issue & unload.ends)
        with m.If(unload.issue):
            m.d.sync += clear_word.eq(unload.word)
        total = Signal(width, name="total")
        self.data = []
        for bank in range(2):
            memory = Memory(shape=width, depth=depth, init=[])
            m.submodules[f"sums{bank}"] = memory
            write = memory.write_port()
            read = memory.read_port(transparent_for=(write,))
            adds, own = update.valid & (update.bank == bank), update.early_bank == bank
            m.d.comb += [
                read.addr.eq(Mux(own, update.early, unload.word)),
                read.en.eq(own | ce),
                write.en.eq(adds | (clear & ~own) | self.starting),
                write.addr.eq(
                    Mux(self.starting, clearing.value, Mux(adds, update.word, clear_word))
                ),
                write.data.eq(Mux(adds, total, 0)),
            ]
            self.data.append(read.data)
        self._add(m, total)

    def _add(self, m: Module, total: Signal) -> None:
        """Second and third cycle of an update."""
        up, store = self._update, self._store
        fetched, again = Signal.like(total, name="fetched"), Signal(name="same_word")
        before = Signal.like(total, name="total_before")
        m.d.sync += [
            fetched.eq(Mux(up.ahead_bank, self.data[1], self.data[0])),
            again.eq(up.valid & (up.ahead == up.word) & (up.ahead_bank == up.bank)),
            before.eq(total),
        ]
        old = Signal.like(total, name="old")
        m.d.comb += old.eq(Mux(again, before, fetched))
        width = store.shape.width
        for n, (code, value) in enumerate(zip(_codes(store, old), up.values, strict=True)):
            m.d.comb += total[n * width :][:width].eq(_merged(store, code, value))

    def given(self, m: Module, ce: Value) -> tuple[Value, Value]:
        """(slice, last of the step), an enabled cycle after its issue."""
        index = Signal.like(self._unload.slice, name="slice_read")
        last = Signal(name="last_read")
        with m.If(ce):
            m.d.sync += [index.eq(self._unload.slice), last.eq(self._unload.last)]
        word = Signal(len(self.data[0]), name="word_read")
        m.d.comb += word.eq(Mux(self._update.early_bank, self.data[0], self.data[1]))
        return _slice_of(m, self._store, word, index, "given_slice"), last


def nothing() -> Value:
    """A signal that never rises."""
    return Const(0, 1)
