"""Hardware that yields the words of a :class:`~.program.Program`, one a step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib.memory import Memory, MemoryData

from codesign.formats.base import bits_for
from codesign.hdl.memories import style_for
from codesign.hdl.rearrange.program import Program, compress


@dataclass(frozen=True)
class _Field:
    """Bits of the instruction word, or a constant when all instructions agree."""

    name: str
    values: tuple[int, ...]

    @property
    def width(self) -> int:
        return 0 if len(set(self.values)) == 1 else bits_for(0, max(self.values))


class Sequencer:
    """A sequence of words of named fields (non-negative integers), and how it is stored."""

    def __init__(self, fields: Mapping[str, np.ndarray]) -> None:
        columns = np.stack([np.asarray(v, dtype=np.int64) for v in fields.values()])
        words, symbols = np.unique(columns, axis=1, return_inverse=True)
        self.program: Program = compress(symbols.reshape(-1).tolist())
        self._length = len(self.program.symbols)
        chosen = words[:, list(self.program.symbols)]
        self.fields = [
            _Field(name, tuple(row.tolist())) for name, row in zip(fields, chosen, strict=True)
        ]
        self.fields += self._control()

    def _control(self) -> list[_Field]:
        """Per loop level: whether the instruction closes a loop, its count and its start."""
        fields = [_Field("end", tuple(int(n == self._length - 1) for n in range(self._length)))]
        for level in range(self.program.levels):
            closed = [
                next((loop for loop in loops if loop.level == level), None)
                for loops in self.program.loops
            ]
            fields.append(_Field(f"closes{level}", tuple(int(c is not None) for c in closed)))
            fields.append(
                _Field(f"limit{level}", _known([c.count - 1 if c else None for c in closed]))
            )
            fields.append(_Field(f"start{level}", _known([c.start if c else None for c in closed])))
        return fields

    @property
    def width(self) -> int:
        """Bits of an instruction."""
        return sum(f.width for f in self.fields)

    @property
    def in_block(self) -> bool:
        """Whether the instructions are in block memory."""
        return self.width > 0 and style_for(self._length, self.width) == "block"

    @property
    def bits(self) -> int:
        """Bits of all instructions."""
        return self._length * self.width

    @property
    def luts(self) -> int:
        """LUT4s of the table and its control (rough)."""
        table = 0 if self.in_block else self.width * -(-self._length // 16)
        return table + 12 * self.program.levels + 2 * self._length.bit_length()

    @property
    def ffs(self) -> int:
        """Flip-flops (rough)."""
        counters = sum(_limit_bits(self, n) for n in range(self.program.levels))
        return self.width * (not self.in_block) + counters + self._length.bit_length()

    def build(self, m: Module, name: str, step: Value) -> dict[str, Value]:
        """The present word's fields; the next word follows after each cycle with ``step``."""
        word = Signal(max(self.width, 1), name=f"{name}_word")
        fields, at = {}, 0
        for field in self.fields:
            if field.width:
                fields[field.name] = word[at : at + field.width]
                at += field.width
            else:
                fields[field.name] = Const(field.values[0], bits_for(0, field.values[0]))
        following = self._following(m, name, fields, step)
        if self.width:
            self._fetch(m, name, word, following, step)
        return fields

    def _words(self) -> list[int]:
        words = [0] * self._length
        at = 0
        for field in self.fields:
            if field.width:
                words = [w | (v << at) for w, v in zip(words, field.values, strict=True)]
                at += field.width
        return words

    def _following(self, m: Module, name: str, fields: Mapping, step: Value) -> Value:
        """Number of the next instruction."""
        here = Signal(range(max(self._length, 2)), name=f"{name}_at")
        following = Signal(range(max(self._length, 2)), name=f"{name}_next")
        m.d.comb += following.eq(Mux(fields["end"], 0, here + 1))
        leaves = Const(1, 1)
        for level in reversed(range(self.program.levels)):
            closes, limit = fields[f"closes{level}"], fields[f"limit{level}"]
            count = Signal(_limit_bits(self, level), name=f"{name}_count{level}")
            final = Signal(name=f"{name}_final{level}")
            reached = Signal(name=f"{name}_reached{level}")
            m.d.comb += [final.eq(count == limit), reached.eq(leaves & closes)]
            with m.If(reached & ~final):
                m.d.comb += following.eq(fields[f"start{level}"])
            with m.If(step & reached):
                m.d.sync += count.eq(Mux(final, 0, count + 1))
            leaves = leaves & (~closes | final)
        with m.If(step):
            m.d.sync += here.eq(following)
        return following

    def _fetch(self, m: Module, name: str, word: Signal, following: Value, step: Value) -> None:
        words = self._words()
        if self.in_block:
            data = MemoryData(shape=unsigned(self.width), depth=self._length, init=words)
            memory = Memory(data, attrs={"rom_style": "block"})
            m.submodules[f"{name}_rom"] = memory
            port, fresh = memory.read_port(), Signal(init=1, name=f"{name}_fresh")
            m.d.comb += [
                port.addr.eq(following),
                port.en.eq(step),
                word.eq(Mux(fresh, Const(words[0], self.width), port.data)),
            ]
            with m.If(step):
                m.d.sync += fresh.eq(0)
            return
        held = Signal(self.width, name=f"{name}_held", init=words[0])
        m.d.comb += word.eq(held)
        with m.If(step), m.Switch(following):
            for index, value in enumerate(words):
                with m.Case(index):
                    m.d.sync += held.eq(value)


def _limit_bits(sequence: Sequencer, level: int) -> int:
    field = next(f for f in sequence.fields if f.name == f"limit{level}")
    return bits_for(0, max(field.values))


def _known(values: Sequence[int | None]) -> tuple[int, ...]:
    """``values`` with an arbitrary known one wherever it does not matter."""
    some = next(v for v in values if v is not None)
    return tuple(some if v is None else v for v in values)
