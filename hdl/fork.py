"""One stream to several readers."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from codesign.hdl import timing
from codesign.hdl.stream import Component


class Fork(Component):
    """Each beat of ``i`` goes to every output ``o0``, ``o1``, ...

    An output takes it as soon as it can and is then marked done; the next beat enters when all
    are. No registers lie between input and outputs.
    """

    def __init__(self, payload_shape: object, outputs: int) -> None:
        if outputs < 2:
            raise ValueError(f"a fork has at least two outputs, got {outputs}")
        self.names = [f"o{n}" for n in range(outputs)]
        signature = stream.Signature(payload_shape)
        super().__init__({"i": In(signature), **{name: Out(signature) for name in self.names}})

    def timing(self) -> timing.Fork:
        """The event model of this component."""
        return timing.Fork(self.names)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ready, done, settled = Signal(), Signal(len(self.names)), Signal(len(self.names))
        m.d.comb += [ready.eq(settled.all()), self.i.ready.eq(ready)]
        for n, name in enumerate(self.names):
            port = getattr(self, name)
            m.d.comb += [
                port.payload.eq(self.i.payload),
                port.valid.eq(self.i.valid & ~done[n]),
                settled[n].eq(done[n] | port.ready),
            ]
        with m.If(self.i.valid):
            with m.If(ready):
                m.d.sync += done.eq(0)
            with m.Else():
                m.d.sync += done.eq(settled)
        return m
