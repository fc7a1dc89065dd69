"""An encoder that what is said of a frame passes: a header of codes in, one of spikes out."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Process, Stage, link
from codesign.hdl.learning.header import HeaderInsert, HeaderStrip
from codesign.hdl.register_slice import RegisterSlice
from codesign.hdl.stream import Component


class HeadedEncoder(Component):
    """``encoder``, a component that makes ``steps`` rows of ``outputs`` spikes of ``vectors`` rows
    of ``elements`` codes, ``lanes`` of either a beat, with a header of each frame before both.

    The next frame is taken as soon as the header of the one before has been given."""

    def __init__(
        self,
        encoder: Any,
        *,
        elements: int,
        vectors: int,
        outputs: int,
        steps: int,
        lanes: int,
        classes: int,
    ) -> None:
        shape = encoder.i.payload.shape()
        code = shape["data"].shape.elem_shape
        self.encoder = encoder
        self.strip = HeaderStrip(elements, vectors, lanes, classes, code)
        self.insert = HeaderInsert(outputs, steps, lanes, classes)
        self.queue = RegisterSlice(self.strip.frame.payload.shape())
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(self.insert.o.payload.shape())),
            }
        )

    def timing(self) -> "HeadedTiming":
        """The event model of this component."""
        return HeadedTiming(self)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.strip, m.submodules.insert = self.strip, self.insert
        m.submodules.encoder, m.submodules.queue = self.encoder, self.queue
        wiring.connect(m, wiring.flipped(self.i), self.strip.i)
        wiring.connect(m, self.strip.o, self.encoder.i)
        wiring.connect(m, self.strip.frame, self.queue.i)
        wiring.connect(m, self.queue.o, self.insert.frame)
        wiring.connect(m, self.encoder.o, self.insert.i)
        wiring.connect(m, self.insert.o, wiring.flipped(self.o))
        return m


class HeadedTiming(Stage):
    """Event model of :class:`HeadedEncoder`."""

    def __init__(self, part: HeadedEncoder) -> None:
        self._part = part

    def processes(self) -> Sequence[Process]:
        part = self._part
        strip, queue, insert = part.strip.timing(), part.queue.timing(), part.insert.timing()
        encoder = part.encoder.timing()
        strip.i, insert.o = self.i, self.o
        link(strip, encoder)
        link(encoder, insert)
        link(strip, queue, "frame", "i")
        link(queue, insert, "o", "frame")
        stages: list[Stage] = [strip, queue, encoder, insert]
        return [process for stage in stages for process in stage.processes()]
