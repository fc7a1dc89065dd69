"""Named components in a row."""

from collections.abc import Mapping

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.loading.load import load_member, loadable
from codesign.hdl.stream import Component


class Chain(Component):
    """``i`` of the first part and ``o`` of the last are the ports; parts become submodules. Where
    a part is loadable, so is the chain."""

    def __init__(self, parts: Mapping[str, wiring.Component]) -> None:
        if not parts:
            raise ValueError("a chain needs at least one component")
        self._parts = dict(parts)
        first, *_, last = [*self._parts.values(), *self._parts.values()]
        super().__init__(
            {
                "i": In(first.signature.members["i"].signature.flip()),
                "o": Out(last.signature.members["o"].signature),
                **load_member(self._parts),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Mentioned first, so that o__valid, o__ready and o__payload are this module's own ports
        # and not, by Amaranth's renaming, o__valid$14.
        given, last = Signal(name="o_transfer"), list(self._parts.values())[-1]
        m.d.comb += [
            given.eq(self.o.valid & self.o.ready),
            self.o.payload.eq(last.o.payload),
        ]
        source = wiring.flipped(self.i)
        for name, component in self._parts.items():
            m.submodules[name] = component
            wiring.connect(m, source, component.i)
            source = component.o
        m.d.comb += [self.o.valid.eq(last.o.valid), last.o.ready.eq(self.o.ready)]
        for part in loadable(self._parts).values():
            wiring.connect(m, wiring.flipped(self.load), part.load)
        return m
