"""A tapped delay line: short stretches are registers, long ones rings in memory."""

from collections.abc import Iterable

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib.memory import Memory

from codesign.hdl.memories import Counter, style_for

#: Longest stretch made of registers; a memory ring costs a LUT and a half per bit or a block.
REGISTERS = 4

#: A place is never read in the cycle in which it is written (or the word is not used), so
#: synthesis need not build what would return the old word.
NO_COLLISION = {"no_rw_check": 1}


def stretches(delays: Iterable[int]) -> list[tuple[int, int]]:
    """(delay, length) of each stretch that ends at a wanted delay, from the newest on."""
    ordered = sorted(set(delays) | {0})
    return [(b, b - a) for a, b in zip(ordered, ordered[1:], strict=False)]


def memories(delays: Iterable[int], width: int) -> list[tuple[int, int]]:
    """(words, bits) of each memory that :func:`tapped_delay` builds."""
    lengths = [length for _, length in stretches(delays) if length > REGISTERS]
    return [(length, lengths.count(length) * width) for length in sorted(set(lengths))]


def tapped_delay(m: Module, word: Value, delays: Iterable[int], advance: Value) -> dict[int, Value]:
    """``{delay: word}`` for each of ``delays`` (0: the latest word taken), registers all.

    ``word`` is taken, and everything moves on, in cycles with ``advance``. Stretches of equal
    length (the rows of a map) share one memory.
    """
    width = len(word)
    taps: dict[int, Value] = {0: _step(m, word, "newest", advance)}
    groups: dict[int, list[tuple[Value, Signal]]] = {}
    for delay, length in stretches(delays):
        value = taps[delay - length]
        if length <= REGISTERS:
            for n in range(length):
                value = _step(m, value, f"delay{delay - length + n + 1}", advance)
            taps[delay] = value
        else:
            late = Signal(width, name=f"delay{delay}")
            groups.setdefault(length, []).append((value, late))
            taps[delay] = late
    for length, pairs in groups.items():
        data = _ring(m, f"line{length}", Cat(*(value for value, _ in pairs)), length, advance)
        for n, (_, late) in enumerate(pairs):
            m.d.comb += late.eq(data[n * width :][:width])
    return taps


def _step(m: Module, value: Value, name: str, advance: Value) -> Signal:
    held = Signal(len(value), name=name, reset_less=True)
    with m.If(advance):
        m.d.sync += held.eq(value)
    return held


def _ring(m: Module, name: str, word: Value, length: int, advance: Value) -> Value:
    """``word``, ``length`` advances later. Reads one place ahead of the write, never the same."""
    place = Counter(m, f"{name}_place", length, advance)
    style = "block" if style_for(length, len(word)) == "block" else "distributed"
    memory = Memory(
        shape=unsigned(len(word)), depth=length, init=[], attrs={"ram_style": style, **NO_COLLISION}
    )
    m.submodules[name] = memory
    write, read = memory.write_port(), memory.read_port()
    ahead = Signal(range(length), name=f"{name}_ahead", init=1)
    with m.If(advance):
        m.d.sync += ahead.eq(ahead + 1)
        with m.If(ahead == length - 1):
            m.d.sync += ahead.eq(0)
    m.d.comb += [
        write.addr.eq(place.value),
        write.data.eq(word),
        write.en.eq(advance),
        read.addr.eq(ahead),
        read.en.eq(advance),
    ]
    return read.data
