"""A pipeline that never stalls: it takes a beat only when its result is sure of a place."""

from collections.abc import Iterable, Mapping

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO

from codesign.hdl.chain import Chain
from codesign.hdl.events import Process, Stage, Wire
from codesign.hdl.stream import Component
from codesign.hdl.timing import Composite, Fifo


class FreeRow(Chain):
    """A chain whose parts never wait: ``ready`` is 1 at each of them, ``o.ready`` is ignored.

    Said at every part, not only at the end: synthesis that keeps layers apart cannot carry a
    constant through their ports, and would keep a clock enable and a ready chain for nothing.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Own ports first, so that Amaranth numbers the parts' wires of the same names.
        taken = Signal.like(self.i.payload.as_value(), name="taken")
        arriving = Signal()
        m.d.comb += [
            self.i.ready.eq(1),
            arriving.eq(self.i.valid & self.i.ready),
            taken.eq(self.i.payload),
            Signal(name="o_transfer").eq(self.o.valid & self.o.ready),
            self.o.payload.eq(list(self._parts.values())[-1].o.payload),
        ]
        valid, payload = arriving, taken
        for name, part in self._parts.items():
            m.submodules[name] = part
            m.d.comb += [part.i.valid.eq(valid), part.i.payload.eq(payload), part.o.ready.eq(1)]
            valid, payload = part.o.valid, part.o.payload
        m.d.comb += self.o.valid.eq(valid)
        return m


class CreditPipeline(Component):
    """``parts`` in a row, running freely, then a FIFO as deep as the pipeline is long.

    A clock enable over a whole unrolled network is one net to thousands of registers and a
    chain of gates through all layers; here nothing inside depends on ``o.ready``. ``i.ready``
    comes from a counter of free places, which a beat takes on entry and gives back on leaving
    the FIFO. ``latency`` registers lie in ``parts``, one more in the FIFO; ``latency + 2``
    places keep it running at a beat a cycle.
    """

    def __init__(self, parts: Mapping[str, wiring.Component], latency: int) -> None:
        if latency < 1:
            raise ValueError(f"a pipeline has at least one register, got latency {latency}")
        self._chain = FreeRow(parts)
        self.places = latency + 2
        super().__init__(
            {
                "i": self._chain.signature.members["i"],
                "o": self._chain.signature.members["o"],
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        entering, leaving = Signal(), Signal()
        room = Signal(range(self.places + 1), init=self.places)
        # Mentioned before the parts' wires of the same names, which Amaranth then numbers.
        m.d.comb += [
            self.i.ready.eq(room != 0),
            entering.eq(self.i.valid & self.i.ready),
            leaving.eq(self.o.valid & self.o.ready),
        ]
        payload_in = Signal.like(self.i.payload.as_value(), name="taken")
        payload_out = Signal.like(self.o.payload.as_value(), name="given")
        m.d.comb += [payload_in.eq(self.i.payload), self.o.payload.eq(payload_out)]
        m.submodules.layers = chain = self._chain
        width = len(payload_out)
        m.submodules.results = results = SyncFIFO(width=width, depth=self.places)
        m.d.sync += room.eq(room - entering + leaving)
        m.d.comb += [
            chain.i.valid.eq(entering),
            chain.i.payload.eq(payload_in),
            results.w_en.eq(chain.o.valid),
            results.w_data.eq(chain.o.payload),
            self.o.valid.eq(results.r_rdy),
            payload_out.eq(results.r_data),
            results.r_en.eq(self.o.ready),
        ]
        return m


class CreditTiming(Stage):
    """Event model of :class:`CreditPipeline` around parts whose models are ``stages``."""

    def __init__(self, stages: list[Stage], latency: int) -> None:
        self._places = latency + 2
        self._parts = Composite([*stages, Fifo(None)])

    def processes(self) -> Iterable[Process]:
        self._parts.i, self._parts.o = Wire(), self.o
        return [self._enter(self._parts.i), *self._parts.processes()]

    def _enter(self, inside: Wire) -> Process:
        n, previous = 0, -1
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            taken = max(self.i.valid.at[n], previous + 1)
            if n >= self._places:
                if len(self.o.taken.at) <= n - self._places:
                    yield self.o.taken, n - self._places
                taken = max(taken, self.o.taken.at[n - self._places] + 1)
            inside.valid.put(taken)
            self.i.taken.put(taken)
            n, previous = n + 1, taken
