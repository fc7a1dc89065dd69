"""Read-only tables and what they are built from."""

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Signal, Value, unsigned
from amaranth.lib.memory import Memory, MemoryData

#: Tables deeper than this go to block memory, shallower ones to LUTs.
LUT_DEPTH = 32


def style_for(depth: int, width: int, choice: str = "auto") -> str:
    """``block`` or ``lut`` for a table of ``depth`` words of ``width`` bits."""
    if choice not in ("auto", "block", "lut"):
        raise ValueError(f"a memory is 'auto', 'block' or 'lut', got {choice!r}")
    if choice != "auto":
        return choice
    return "block" if depth > LUT_DEPTH and depth * width >= 1024 else "lut"


def rom(m: Module, name: str, words: Sequence[int], width: int, style: str, en: Value) -> tuple:
    """A synchronous-read table; returns (address, data), data one enabled cycle after address.

    ``style``: ``block`` or ``lut``. A table of one word is a constant.
    """
    if len(words) == 1 or all(w == words[0] for w in words):
        return Signal(range(max(len(words), 2)), name=f"{name}_address"), Const(words[0], width)
    attributes = {"rom_style": "block" if style == "block" else "logic"}
    data = MemoryData(shape=unsigned(width), depth=len(words), init=list(words))
    memory = m.submodules[name] = Memory(data, attrs=attributes)
    port = memory.read_port()
    m.d.comb += port.en.eq(en)
    return port.addr, port.data


def pack(fields: Sequence[tuple[int, int]]) -> int:
    """One word of (value, width) fields, the first lowest; values may be negative."""
    word, at = 0, 0
    for value, width in fields:
        word |= (int(value) & ((1 << width) - 1)) << at
        at += width
    return word


class Counter:
    """Counts 0..``limit``-1 on ``step``; ``last`` marks the final count; width as needed."""

    def __init__(self, m: Module, name: str, limit: int, step: Value) -> None:
        self.value: Value = Const(0, 1)
        self.following: Value = Const(0, 1)
        self.last: Value = Const(1, 1)
        if limit > 1:
            self._build(m, name, limit, step)

    def _build(self, m: Module, name: str, limit: int, step: Value) -> None:
        value = Signal(range(limit), name=name)
        following = Signal(range(limit), name=f"{name}_next")
        last = Signal(name=f"{name}_last")
        m.d.comb += [last.eq(value == limit - 1), following.eq(value)]
        with m.If(step):
            m.d.comb += following.eq(value + 1)
            with m.If(last):
                m.d.comb += following.eq(0)
        m.d.sync += value.eq(following)
        self.value, self.following, self.last = value, following, last


class Table:
    """The word of the present count, without a cycle's delay: it is fetched ahead.

    ``words[n]`` is at ``data`` while ``counter.value == n``. ``ready`` is low for the one cycle
    after reset in which a block memory has not fetched word 0 yet.
    """

    def __init__(self, m: Module, name: str, words: Sequence[int], width: int, counter: Counter):
        self.ready: Value = Const(1, 1)
        if all(w == words[0] for w in words):
            self.data: Value = Const(words[0], width)
        elif style_for(len(words), width) == "block":
            address, self.data = rom(m, name, words, width, "block", Const(1, 1))
            self.ready = Signal(name=f"{name}_ready")
            m.d.comb += address.eq(counter.following)
            m.d.sync += self.ready.eq(1)
        else:
            self._logic(m, name, words, width, counter)

    def _logic(
        self, m: Module, name: str, words: Sequence[int], width: int, counter: Counter
    ) -> None:
        data = Signal(width, name=name, init=words[0])
        with m.Switch(counter.following):
            for index, word in enumerate(words):
                with m.Case(index):
                    m.d.sync += data.eq(word)
        self.data = data


def block_rams(words: int, bits: int) -> int:
    """Block RAMs (ECP5) of a memory in its best shape."""
    return min(-(-words // (1 << 14 - n)) * -(-bits // wide)
               for n, wide in enumerate((1, 2, 4, 9, 18, 36)))  # fmt: skip
