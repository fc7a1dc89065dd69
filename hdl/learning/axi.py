"""A learning network with its weights behind AXI4-Lite."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.learning.network import LearningNetwork
from codesign.hdl.loading.axi_lite import PORTS, AxiLite, port_members
from codesign.hdl.loading.load_map import LoadMap, place
from codesign.hdl.loading.loaded_memory import LoadedMemory
from codesign.hdl.spikes.aer import event_signature
from codesign.hdl.stream import Component

#: Bits of the counter of frames in flight.
FRAMES_BITS = 16


class LearningAxi(Component):
    """``network`` with ports ``s_axil_*``; ``i``, ``frame`` and ``o`` are its own.

    ``map``: the address map, one region ``layerN`` a layer. A frame is in flight from when its
    beat of ``frame`` is taken until its class has left and its last weight is written; meanwhile
    weights answer SLVERR, and during an access no frame begins.
    """

    def __init__(self, network: LearningNetwork) -> None:
        self.network = network
        sizes = {f"layer{n}": _bits(part.memory) for n, part in enumerate(network.layers)}
        self.map = LoadMap(place(sizes))
        self.address_bits = self.map.address_bits + 2
        super().__init__(
            {
                "i": In(event_signature(network.net.layers[0].inputs)),
                "frame": In(stream.Signature(network.frame_layout)),
                "o": Out(stream.Signature(network.frame_layout["target"].shape)),
                **port_members(self.address_bits, "s_axil_"),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        network, load_map = self.network, self.map
        m.submodules.network, m.submodules.load_map = network, load_map
        axil = m.submodules.axi_lite = AxiLite(self.address_bits)
        wiring.connect(m, axil.bus, load_map.bus)
        for name, (_, given) in PORTS.items():
            own, inner = getattr(self, f"s_axil_{name}"), getattr(axil, name)
            m.d.comb += inner.eq(own) if given else own.eq(inner)
        for name in load_map.regions:
            wiring.connect(m, getattr(load_map, f"load_{name}"), getattr(network, f"load_{name}"))
        wiring.connect(m, wiring.flipped(self.i), network.i)
        wiring.connect(m, network.o, wiring.flipped(self.o))
        taken, leaving = Signal(), Signal()
        flying = Signal(FRAMES_BITS, name="frames_in_flight")
        m.d.comb += [
            network.frame.payload.eq(self.frame.payload),
            network.frame.valid.eq(self.frame.valid & ~load_map.hold),
            self.frame.ready.eq(network.frame.ready & ~load_map.hold),
            taken.eq(self.frame.valid & self.frame.ready),
            leaving.eq(self.o.valid & self.o.ready),
            load_map.busy.eq((flying != 0) | network.busy),
        ]
        m.d.sync += flying.eq(flying + taken - leaving)
        return m


def _bits(memory: LoadedMemory) -> int:
    """Bits of the 32-bit addresses a memory takes."""
    return (memory.depth * memory.slots - 1).bit_length()
