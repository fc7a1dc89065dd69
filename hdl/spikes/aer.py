"""Streams of address events and of dense spikes."""

from amaranth.hdl import unsigned
from amaranth.lib import stream
from amaranth.lib.data import StructLayout


def address_bits(elements: int) -> int:
    """Bits of an address among ``elements``."""
    return max(1, (elements - 1).bit_length())


def event_layout(elements: int, levels: int = 1) -> StructLayout:
    """One beat. ``data``: ``address`` (low bits), ``count`` in ``1..levels`` where levels > 1,
    ``step_end``; then ``last``. With ``step_end`` address and count mean nothing."""
    if elements < 1 or levels < 1:
        raise ValueError(f"events need an element and a level, got {elements} and {levels}")
    count = {"count": unsigned(levels.bit_length())} if levels > 1 else {}
    data = {"address": unsigned(address_bits(elements)), **count, "step_end": unsigned(1)}
    return StructLayout({"data": StructLayout(data), "last": 1})


def event_signature(elements: int, levels: int = 1) -> stream.Signature:
    """A stream of :func:`event_layout`: in each step the spiking addresses, ascending, then a beat
    with ``step_end``. ``last`` is set on the frame's final beat; consumers count steps."""
    return stream.Signature(event_layout(elements, levels))
