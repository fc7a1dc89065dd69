"""An AXI4-Lite subordinate in front of a simple bus of 32-bit words."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.loading.load import DATA_BITS, load_signature
from codesign.hdl.stream import Component

OKAY, SLVERR = 0, 2
#: Ports of an AXI4-Lite subordinate and their widths (None: the address); True: an input.
PORTS: dict[str, tuple[int | None, bool]] = {
    "awaddr": (None, True), "awprot": (3, True), "awvalid": (1, True), "awready": (1, False),
    "wdata": (32, True), "wstrb": (4, True), "wvalid": (1, True), "wready": (1, False),
    "bresp": (2, False), "bvalid": (1, False), "bready": (1, True),
    "araddr": (None, True), "arprot": (3, True), "arvalid": (1, True), "arready": (1, False),
    "rdata": (32, False), "rresp": (2, False), "rvalid": (1, False), "rready": (1, True),
}  # fmt: skip


def port_members(address_bits: int, prefix: str = "") -> dict[str, wiring.Member]:
    """The ports as members of a component."""
    return {
        prefix + name: (In if given else Out)(width or address_bits)
        for name, (width, given) in PORTS.items()
    }


class AxiLite(Component):
    """AXI4-Lite with ``address_bits`` of byte address; ``bus`` has the word address.

    One write and one read may be outstanding; address and data of a write come in either order.
    They are served in turn where both wait. SLVERR: an address that is no multiple of 4, a write
    of less than four bytes (nothing is written), and whatever the bus calls an error. ``awprot``
    and ``arprot`` are ignored. Every output is a register or the inverse of one.
    """

    def __init__(self, address_bits: int) -> None:
        if address_bits < 3:
            raise ValueError(f"an address needs 3 bits or more, got {address_bits}")
        super().__init__(
            {**port_members(address_bits), "bus": Out(load_signature(address_bits - 2))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        got_address, got_data, got_read = Signal(), Signal(), Signal()
        write_at, read_at = Signal.like(self.awaddr), Signal.like(self.araddr)
        strobes = Signal.like(self.wstrb)
        writing, busy, last_was_write = Signal(), Signal(), Signal()
        m.d.comb += [
            self.awready.eq(~got_address),
            self.wready.eq(~got_data),
            self.arready.eq(~got_read),
        ]
        with m.If(self.awvalid & self.awready):
            m.d.sync += [got_address.eq(1), write_at.eq(self.awaddr)]
        with m.If(self.wvalid & self.wready):
            m.d.sync += [got_data.eq(1), self.bus.data.eq(self.wdata), strobes.eq(self.wstrb)]
        with m.If(self.arvalid & self.arready):
            m.d.sync += [got_read.eq(1), read_at.eq(self.araddr)]
        write_waits, read_waits = Signal(), Signal()
        m.d.comb += [
            write_waits.eq(got_address & got_data & ~self.bvalid),
            read_waits.eq(got_read & ~self.rvalid),
        ]
        chosen = Signal()
        m.d.comb += chosen.eq(write_waits & ~(read_waits & last_was_write))
        with m.If(~busy & (write_waits | read_waits)):
            m.d.sync += [busy.eq(1), writing.eq(chosen), last_was_write.eq(chosen)]
        refused, done, error = Signal(), Signal(), Signal()
        address = Signal.like(self.awaddr)
        with m.If(writing):
            m.d.comb += [
                address.eq(write_at),
                refused.eq((write_at[:2] != 0) | (strobes != (1 << DATA_BITS // 8) - 1)),
            ]
        with m.Else():
            m.d.comb += [address.eq(read_at), refused.eq(read_at[:2] != 0)]
        m.d.comb += [
            self.bus.request.eq(busy & ~refused),
            self.bus.write.eq(writing),
            self.bus.address.eq(address[2:]),
            done.eq(busy & (refused | self.bus.ack)),
            error.eq(refused | self.bus.error),
        ]
        with m.If(done):
            m.d.sync += busy.eq(0)
        self._respond(m, done & writing, error, (got_address, got_data))
        self._deliver(m, done & ~writing, error, got_read)
        return m

    def _respond(self, m: Module, done: object, error: Signal, got: tuple[Signal, Signal]) -> None:
        """The write response; only then is the next write taken."""
        with m.If(done):
            m.d.sync += [self.bvalid.eq(1)]
            with m.If(error):
                m.d.sync += self.bresp.eq(SLVERR)
            with m.Else():
                m.d.sync += self.bresp.eq(OKAY)
        with m.If(self.bvalid & self.bready):
            m.d.sync += [self.bvalid.eq(0), *(one.eq(0) for one in got)]

    def _deliver(self, m: Module, done: object, error: Signal, got: Signal) -> None:
        """The read data."""
        with m.If(done):
            m.d.sync += [self.rvalid.eq(1), self.rdata.eq(0), self.rresp.eq(SLVERR)]
            with m.If(~error):
                m.d.sync += [self.rdata.eq(self.bus.read), self.rresp.eq(OKAY)]
        with m.If(self.rvalid & self.rready):
            m.d.sync += [self.rvalid.eq(0), got.eq(0)]
