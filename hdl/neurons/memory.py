"""Where neurons keep their states: registers, LUT RAM or block RAM, a word for each beat."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib.memory import Memory

from codesign.hdl.memories import style_for
from codesign.hdl.pipeline import BLOCK_MEMORY_NS, LUT_NS, REGISTER_NS


@dataclass(frozen=True)
class StateStyle:
    """How ``depth`` words of ``width`` bits are kept."""

    depth: int
    width: int

    @property
    def kind(self) -> str:
        """``register``, ``lut`` or ``block``."""
        return "register" if self.depth == 1 else style_for(self.depth, self.width)

    @property
    def ns(self) -> float:
        """When a word settles, the choice of the initial one included (a register is set to it
        instead); LUT RAM is read without a clock, through an address register and, if deep, a
        multiplexer."""
        if self.kind == "register":
            return REGISTER_NS
        if self.kind == "block":
            return BLOCK_MEMORY_NS + LUT_NS
        return REGISTER_NS + LUT_NS * (1 + (self.depth > 16)) + 1.0 + LUT_NS

    @property
    def ahead(self) -> int:
        """Cycles before its stage in which a word must be there: a block RAM's own register."""
        return int(self.kind == "block")


def state_register(
    m: Module, name: str, initial: int, *, enable: Value, last: Value, data: Value
) -> Signal:
    """The only word: ``data`` where ``enable``, ``initial`` after reset and where ``last`` too."""
    word = Signal(len(data), name=name, init=initial)
    with m.If(enable):
        m.d.sync += word.eq(Mux(last, initial, data))
    return word


def state_memory(
    m: Module,
    name: str,
    style: StateStyle,
    *,
    read: Value,
    write: Value,
    enable: Value,
    ce: Value,
    data: Value,
) -> Signal:
    """The word at ``read``, which is the address of the present stage, or for a block RAM of the
    one before. ``data`` goes to ``write`` where ``enable``."""
    word = Signal(style.width, name=f"{name}_word")
    attributes = {"ram_style": "block" if style.kind == "block" else "distributed"}
    memory = Memory(shape=unsigned(style.width), depth=style.depth, init=[], attrs=attributes)
    m.submodules[f"{name}_memory"] = memory
    into = memory.write_port()
    m.d.comb += [into.addr.eq(write), into.data.eq(data), into.en.eq(enable)]
    if style.kind == "lut":
        out = memory.read_port(domain="comb")
    else:
        out = memory.read_port()
        m.d.comb += out.en.eq(ce)
    m.d.comb += [out.addr.eq(read), word.eq(out.data)]
    return word
