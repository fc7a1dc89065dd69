"""Equal components side by side, each on its slice of a beat."""

from collections.abc import Sequence

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Stage
from codesign.hdl.loading.load import load_member, share
from codesign.hdl.stream import Component, stream_signature


class Lockstep(Component):
    """``parts`` (equal ones) handle the first, second, ... equal share of every beat.

    Their handshakes depend on nothing but their inputs' handshakes, which are the same, so they
    move together: the first one's ``valid``, ``ready`` and ``last`` speak for all, and its event
    model is this component's.
    """

    def __init__(self, parts: Sequence[wiring.Component]) -> None:
        if not parts:
            raise ValueError("nothing to run side by side")
        self._parts = list(parts)
        ports = [(p.i.payload.shape(), p.o.payload.shape()) for p in self._parts]
        if any(port != ports[0] for port in ports):
            raise ValueError("components side by side must have equal ports")
        self._lanes = [port["data"].shape.length for port in ports[0]]
        shapes = [port["data"].shape.elem_shape for port in ports[0]]
        count = len(self._parts)
        super().__init__(
            {
                "i": In(stream_signature(shapes[0], count * self._lanes[0])),
                "o": Out(stream_signature(shapes[1], count * self._lanes[1])),
                **load_member({"pixel0": self._parts[0]}),
            }
        )

    def timing(self) -> Stage:
        """The event model of this component."""
        model: Stage = self._parts[0].timing()
        return model

    @property
    def parts(self) -> dict[str, wiring.Component]:
        """The components by instance name."""
        return {f"pixel{n}": part for n, part in enumerate(self._parts)}

    @property
    def latency(self) -> int:
        """The parts' latency, where they have one."""
        return int(self._parts[0].latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        first = self._parts[0]
        m.d.comb += [
            self.o.valid.eq(first.o.valid),
            self.o.payload.last.eq(first.o.payload.last),
            self.i.ready.eq(first.i.ready),
        ]
        given = self.i.payload.data.as_value()
        result = self.o.payload.data.as_value()
        step_in, step_out = len(given) // len(self._parts), len(result) // len(self._parts)
        for n, (name, part) in enumerate(self.parts.items()):
            m.submodules[name] = part
            m.d.comb += [
                part.i.valid.eq(self.i.valid),
                part.i.payload.last.eq(self.i.payload.last),
                part.i.payload.data.as_value().eq(given[n * step_in :][:step_in]),
                part.o.ready.eq(self.o.ready),
                result[n * step_out :][:step_out].eq(part.o.payload.data.as_value()),
            ]
        if "load" in self.signature.members:
            share(m, self.load, [part.load for part in self._parts])
        return m
