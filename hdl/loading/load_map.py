"""The address map of a loadable design: identification, status, and a region for each layer."""

from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out

from codesign.hdl.loading.load import load_signature
from codesign.hdl.stream import Component

#: Word 0 reads this ("CDSN"), word 1 the version of the map, word 2 the status (bit 0: busy).
IDENTITY, VERSION = 0x4344534E, 1
#: Words kept for these registers.
REGISTER_WORDS = 4


@dataclass(frozen=True)
class Region:
    """``1 << bits`` words from ``base`` on, a multiple of that. Both in 32-bit words."""

    base: int
    bits: int


def place(sizes: Mapping[str, int]) -> dict[str, Region]:
    """Regions of ``1 << sizes[name]`` words behind the registers, largest first."""
    found: dict[str, Region] = {}
    ordered = sorted(sizes, key=lambda name: -sizes[name])
    at = max([REGISTER_WORDS, *(1 << bits for bits in sizes.values())])
    for name in ordered:
        found[name] = Region(at, sizes[name])
        at += 1 << sizes[name]
    return {name: found[name] for name in sizes}


def map_bits(regions: Mapping[str, Region]) -> int:
    """Word address bits that reach all of ``regions``."""
    ends = [r.base + (1 << r.bits) for r in regions.values()]
    return (max([REGISTER_WORDS, *ends]) - 1).bit_length()


class LoadMap(Component):
    """Leads accesses on ``bus`` to the registers or to ``load_NAME`` of a region.

    ``hold`` is up during an access to a region: no frame may begin. While ``busy`` (frames in
    flight) such an access is an error and changes nothing, as is one to no region.
    """

    def __init__(self, regions: Mapping[str, Region]) -> None:
        self.regions = dict(regions)
        self.address_bits = map_bits(regions)
        super().__init__(
            {
                "bus": In(load_signature(self.address_bits)),
                "busy": In(1),
                "hold": Out(1),
                **{f"load_{name}": Out(load_signature()) for name in regions},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus
        wait, here = Signal(), Signal()
        m.d.comb += here.eq(bus.address < REGISTER_WORDS)
        ack, error, read = Signal(), Signal(), Signal.like(bus.read)
        m.d.comb += [bus.ack.eq(ack), bus.error.eq(error), bus.read.eq(read)]
        # A layer's answer takes a register on its way: its request drops in between.
        asking = Signal()
        m.d.comb += asking.eq(bus.request & self.hold & wait & ~ack)
        inside = Signal()
        m.d.sync += [
            ack.eq(0),
            self.hold.eq(bus.request & ~here & ~ack),
            wait.eq(bus.request & self.hold & ~self.busy & ~ack & inside),
        ]
        with m.If(bus.request & ~ack & here):
            self._register(m, ack, error, read)
        with m.Elif(bus.request & ~ack & self.hold & ~wait & (self.busy | ~inside)):
            m.d.sync += [ack.eq(1), error.eq(1)]
        for name, region in self.regions.items():
            port, chosen = getattr(self, f"load_{name}"), Signal(name=f"at_{name}")
            m.d.comb += [
                chosen.eq(bus.address[region.bits :] == region.base >> region.bits),
                port.request.eq(asking & chosen),
                port.write.eq(bus.write),
                port.address.eq(bus.address[: region.bits]),
                port.data.eq(bus.data),
            ]
            with m.If(chosen):
                m.d.comb += inside.eq(1)
            with m.If(asking & chosen & port.ack):
                m.d.sync += [ack.eq(1), error.eq(port.error), read.eq(port.read)]
        return m

    def _register(self, m: Module, ack: Signal, error: Signal, read: Signal) -> None:
        """Read-only registers; the fourth word is none."""
        m.d.sync += [ack.eq(1), error.eq(self.bus.write)]
        with m.Switch(self.bus.address[:2]):
            with m.Case(0):
                m.d.sync += read.eq(IDENTITY)
            with m.Case(1):
                m.d.sync += read.eq(VERSION)
            with m.Case(2):
                m.d.sync += read.eq(self.busy)
            with m.Default():
                m.d.sync += error.eq(1)
