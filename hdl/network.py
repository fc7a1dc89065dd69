"""Named components connected as a graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.loading.load import load_signature, loadable
from codesign.hdl.stream import Component


@dataclass(frozen=True)
class End:
    """A stream port of a part."""

    part: str
    port: str


@dataclass(frozen=True)
class Link:
    """A stream from an output to an input."""

    source: End
    target: End


class Network(Component):
    """``parts`` become submodules, ``links`` connect them.

    ``inputs`` and ``outputs``: own port name to the part's port it stands for. A loadable part's
    ``load`` port is ``load_NAME``.
    """

    def __init__(
        self,
        parts: Mapping[str, wiring.Component],
        links: Sequence[Link],
        inputs: Mapping[str, End],
        outputs: Mapping[str, End],
    ) -> None:
        self.parts, self._links = dict(parts), tuple(links)
        self._inputs, self._outputs = dict(inputs), dict(outputs)
        super().__init__(
            {
                **{name: In(self._member(end).signature.flip()) for name, end in inputs.items()},
                **{name: Out(self._member(end).signature) for name, end in outputs.items()},
                **{f"load_{name}": In(load_signature()) for name in loadable(self.parts)},
            }
        )

    def _member(self, end: End) -> wiring.Member:
        return self.parts[end.part].signature.members[end.port]

    def _port(self, end: End) -> Any:
        return getattr(self.parts[end.part], end.port)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Own outputs first: Amaranth gives the plain name o__valid to whoever is mentioned first,
        # and simulation looks at these wires.
        for name, end in self._outputs.items():
            own, inner = getattr(self, name), self._port(end)
            m.d.comb += [
                Signal(name=f"{name}_transfer").eq(own.valid & own.ready),
                own.payload.eq(inner.payload),
            ]
        for name, part in self.parts.items():
            m.submodules[name] = part
        for name, end in self._inputs.items():
            wiring.connect(m, wiring.flipped(getattr(self, name)), self._port(end))
        for link in self._links:
            wiring.connect(m, self._port(link.source), self._port(link.target))
        for name, end in self._outputs.items():
            own, inner = getattr(self, name), self._port(end)
            m.d.comb += [own.valid.eq(inner.valid), inner.ready.eq(own.ready)]
        for name, part in loadable(self.parts).items():
            wiring.connect(m, wiring.flipped(getattr(self, f"load_{name}")), part.load)
        return m
