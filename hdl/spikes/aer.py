"""Streams of address events and of dense spikes."""

from amaranth.hdl import Shape, unsigned
from amaranth.lib import stream
from amaranth.lib.data import StructLayout

from codesign.hdl.stream import range_shape


def address_bits(elements: int) -> int:
    """Bits of an address among ``elements``."""
    return max(1, (elements - 1).bit_length())


def code_shape(levels: int, signed: bool = False) -> Shape:
    """Of a spike: ``0..levels``, or ``-levels..levels``."""
    return range_shape(-levels if signed else 0, levels)


def counted(levels: int, signed: bool = False) -> bool:
    """Whether events say how much they are: only spikes of 0 and 1 need not."""
    return signed or levels > 1


def event_layout(elements: int, levels: int = 1, signed: bool = False) -> StructLayout:
    """One beat. ``data``: ``address`` (low bits), ``count`` where :func:`counted` (the spike's
    code, not 0), ``step_end``; then ``last``. With ``step_end`` address and count mean nothing."""
    if elements < 1 or levels < 1:
        raise ValueError(f"events need an element and a level, got {elements} and {levels}")
    count = {"count": code_shape(levels, signed)} if counted(levels, signed) else {}
    data = {"address": unsigned(address_bits(elements)), **count, "step_end": unsigned(1)}
    return StructLayout({"data": StructLayout(data), "last": 1})


def event_signature(elements: int, levels: int = 1, signed: bool = False) -> stream.Signature:
    """A stream of :func:`event_layout`: in each step the spiking addresses, ascending, then a beat
    with ``step_end``. ``last`` is set on the frame's final beat; consumers count steps."""
    return stream.Signature(event_layout(elements, levels, signed))
