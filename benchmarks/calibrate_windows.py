"""Synthesise sliding windows beside their estimates: the data behind ops/window.py.

python -m benchmarks.calibrate_windows
"""

from __future__ import annotations

from codesign.hdl.chain import Chain
from codesign.hdl.top import AxisTop, to_verilog
from codesign.hdl.windows.geometry import Geometry
from codesign.hdl.windows.pixel import PixelWindow
from codesign.hdl.windows.tap import TapWindow
from codesign.ops.window import window_cost
from codesign.toolchain.yosys import synthesise_netlist

SAME, VALID = (1, 1, 1, 1), (0, 0, 0, 0)
#: kind, map, strides, pads, channels, lanes, bits
WINDOWS = [
    ("tap", (32, 32), (1, 1), SAME, 16, 16, 4), ("tap", (32, 32), (1, 1), SAME, 16, 4, 4),
    ("tap", (28, 28), (1, 1), VALID, 64, 8, 2), ("tap", (14, 14), (2, 2), SAME, 8, 1, 8),
    ("pixel", (32, 32), (1, 1), SAME, 16, 16, 4), ("pixel", (32, 32), (1, 1), SAME, 16, 4, 4),
    ("pixel", (28, 28), (1, 1), VALID, 3, 3, 8), ("pixel", (14, 14), (2, 2), SAME, 8, 2, 2),
]  # fmt: skip


def main() -> None:
    for kind, size, strides, pads, channels, lanes, bits in WINDOWS:
        geometry = Geometry(size, (3, 3), strides, pads=pads)
        build = TapWindow if kind == "tap" else PixelWindow
        window = build(geometry, lo=0, hi=(1 << bits) - 1, channels=channels, lanes=lanes)
        estimate = window_cost(window)
        module = "codesign_top.network.window"
        netlist = synthesise_netlist(
            to_verilog(AxisTop(Chain({"window": window})), "codesign_top"),
            top="codesign_top",
            keep=[module],
            family="ecp5",
        )
        found = netlist.modules[module]
        print(f"{kind} {size} {strides} {pads} C={channels} lanes={lanes} {bits} bit: "
              f"estimated {estimate}, found {found}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
