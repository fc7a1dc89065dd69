"""The emitted top: AXI4-Stream names around a network, and its Verilog."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from codesign.hdl.loading.axi_lite import PORTS, AxiLite, port_members
from codesign.hdl.loading.load_map import LoadMap, Region
from codesign.hdl.memories import Counter
from codesign.hdl.register_slice import RegisterSlice
from codesign.hdl.stream import Component

#: Bits of the counter of frames in flight: more than any network holds.
FRAMES_BITS = 16


class AxisTop(Component):
    """``network`` (streams ``i`` and ``o`` of beats) behind registered AXI4-Stream ports.

    ``tdata`` is the beat's data, lane 0 lowest, zero-padded to whole bytes. ``s_axis_tlast`` is
    ignored: components count beats. ``aresetn`` is synchronous and active low.

    ``regions``: where the loadable parts of ``network`` lie in the address map; with them the top
    has AXI4-Lite ports ``s_axil_*`` (:mod:`codesign.hdl.loading.load_map`). A frame begins only
    between two accesses, and an access to weights succeeds only between frames: ``beats`` are
    those of an input frame (of address events: its steps), by which frames are counted.
    """

    def __init__(
        self,
        network: wiring.Component,
        regions: Mapping[str, Region] | None = None,
        beats: int = 1,
    ) -> None:
        self._network, self._beats = network, beats
        self._map = LoadMap(regions) if regions else None
        registers = port_members(self._map.address_bits + 2, "s_axil_") if self._map else {}
        self._in_bits, self._out_bits = data_bits(network.i), data_bits(network.o)
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                "s_axis_tdata": In(-(-self._in_bits // 8) * 8),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(-(-self._out_bits // 8) * 8),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
                **registers,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        clocking = ClockDomain("sync")
        m.domains += clocking
        network = m.submodules.network = self._network
        source = m.submodules.s_slice = RegisterSlice(beat_of(network.i))
        sink = m.submodules.m_slice = RegisterSlice(beat_of(network.o))
        wiring.connect(m, source.o, network.i)
        wiring.connect(m, network.o, sink.i)
        hold = self._load(m, self._map, network, source) if self._map else Const(0, 1)
        m.d.comb += [
            clocking.clk.eq(self.aclk),
            clocking.rst.eq(~self.aresetn),
            source.i.payload.data.as_value().eq(self.s_axis_tdata),
            source.i.valid.eq(self.s_axis_tvalid & ~hold),
            self.s_axis_tready.eq(source.i.ready & ~hold),
            self.m_axis_tdata.eq(sink.o.payload.data.as_value()),
            self.m_axis_tvalid.eq(sink.o.valid),
            self.m_axis_tlast.eq(sink.o.payload.last),
            sink.o.ready.eq(self.m_axis_tready),
        ]
        return m

    def _load(self, m: Module, load_map: LoadMap, network: Any, source: Any) -> Value:
        """The registers; yields what keeps beats out while they use the memories."""
        axil = m.submodules.axi_lite = AxiLite(load_map.address_bits + 2)
        m.submodules.load_map = load_map
        wiring.connect(m, axil.bus, load_map.bus)
        for name, (_, given) in PORTS.items():
            own, inner = getattr(self, f"s_axil_{name}"), getattr(axil, name)
            m.d.comb += inner.eq(own) if given else own.eq(inner)
        for name in load_map.regions:
            wiring.connect(m, getattr(load_map, f"load_{name}"), getattr(network, f"load_{name}"))
        taken, leaving, inside = Signal(), Signal(), Signal(name="inside_frame")
        data, counts = source.i.payload.data, taken
        if "step_end" in dict(data.shape()):
            counts = taken & data.step_end
        beat = Counter(m, "input_beat", self._beats, counts)
        flying = Signal(FRAMES_BITS, name="frames_in_flight")
        with m.If(taken):
            m.d.sync += inside.eq(~(counts & beat.last))
        m.d.comb += [
            taken.eq(self.s_axis_tvalid & self.s_axis_tready),
            leaving.eq(network.o.valid & network.o.ready & network.o.payload.last),
            load_map.busy.eq(flying != 0),
        ]
        m.d.sync += flying.eq(flying + (taken & ~inside) - leaving)
        return load_map.hold


def beat_of(port: Any) -> StructLayout:
    """The layout of a stream's payload."""
    return port.payload.shape()


def data_bits(port: Any) -> int:
    """Width of a stream's ``data``."""
    return len(port.payload.data.as_value())


def to_verilog(component: wiring.Component, name: str) -> str:
    """Verilog of ``component`` as module ``name``, hierarchy and names kept.

    Yosys runs in a process of its own: it ends the process on errors and keeps global state.
    """
    text = rtlil.convert(component, name=name, emit_src=False)
    with tempfile.TemporaryDirectory(prefix="codesign-") as folder:
        source, target = Path(folder) / "design.il", Path(folder) / "design.v"
        source.write_text(text)
        command = [sys.executable, "-m", "codesign.hdl._rtlil_to_verilog", str(source), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not target.exists():
            tail = (done.stderr or done.stdout).strip()[-2000:]
            raise RuntimeError(f"yosys could not write Verilog for {name}: {tail}")
        return target.read_text()
