"""The emitted top: AXI4-Stream names around a network, and its Verilog."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from codesign.hdl.register_slice import RegisterSlice
from codesign.hdl.stream import Component


class AxisTop(Component):
    """``network`` (streams ``i`` and ``o`` of beats) behind registered AXI4-Stream ports.

    ``tdata`` is the beat's data, lane 0 lowest, zero-padded to whole bytes. ``s_axis_tlast`` is
    ignored: components count beats. ``aresetn`` is synchronous and active low.
    """

    def __init__(self, network: wiring.Component) -> None:
        self._network = network
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
        m.d.comb += [
            clocking.clk.eq(self.aclk),
            clocking.rst.eq(~self.aresetn),
            source.i.payload.data.as_value().eq(self.s_axis_tdata),
            source.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(source.i.ready),
            self.m_axis_tdata.eq(sink.o.payload.data.as_value()),
            self.m_axis_tvalid.eq(sink.o.valid),
            self.m_axis_tlast.eq(sink.o.payload.last),
            sink.o.ready.eq(self.m_axis_tready),
        ]
        return m


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
