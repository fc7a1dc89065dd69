"""What travels between components: beats of lanes of integer codes."""

from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout

from codesign.formats.base import bits_for


class Component(wiring.Component):
    """A component that may be built for its sizes and timing alone, without a warning."""

    _MustUse__silence = True


def range_shape(lo: int, hi: int) -> Shape:
    """The narrowest shape that holds the integers ``lo..hi`` (signed exactly when ``lo < 0``)."""
    width = bits_for(int(lo), int(hi))
    return signed(width) if lo < 0 else unsigned(width)


def beat(shape: Shape, lanes: int) -> StructLayout:
    """One transfer: ``data``, ``lanes`` elements of ``shape`` (lane 0 lowest), and ``last``."""
    if lanes < 1:
        raise ValueError(f"a beat needs at least one lane, got {lanes}")
    return StructLayout({"data": ArrayLayout(Shape.cast(shape), lanes), "last": 1})


def stream_signature(shape: Shape, lanes: int) -> stream.Signature:
    """Signature of a valid/ready stream whose payload is ``beat(shape, lanes)``."""
    return stream.Signature(beat(shape, lanes))


def beats_for(elements: int, lanes: int) -> int:
    """Beats a frame of ``elements`` takes at ``lanes`` per beat."""
    return -(-elements // lanes)
