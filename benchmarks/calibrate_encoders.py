"""Synthesise encoders beside their estimates: the data behind hdl/spikes/encode_area.py.

python -m benchmarks.calibrate_encoders
"""

from __future__ import annotations

from codesign.hdl.chain import Chain
from codesign.hdl.spikes.build_encoder import encoder_of
from codesign.hdl.spikes.encode_area import area_of
from codesign.hdl.top import AxisTop, to_verilog
from codesign.spikes.coders import Count, Delta, Direct, Latency, Rate
from codesign.toolchain.yosys import synthesise_netlist

#: Encoder, elements, lanes.
ENCODERS = [
    (Rate(16, 8, 8, seed=1), 16, 2),
    (Rate(16, 8, 8, seed=1), 784, 8),
    (Latency(16, 8, 8, low=1), 16, 4),
    (Direct(16, 8, 8, signed=False), 16, 16),
    (Direct(16, 8, 8, signed=False), 784, 1),
    (Count(15, 4, 0, form="binary"), 64, 4),
    (Count(8, 4, 0, form="ternary"), 16, 4),
    (Count(8, 8, 0, form="bitwise"), 16, 4),
    (Delta(16, 8, 8, low=1, signed=False), 16, 4),
    (Delta(16, 12, 8, low=9, signed=True), 64, 2),
    (Delta(16, 8, 8, low=1, signed=False), 784, 1),
    (Delta(16, 6, 0, low=1, signed=True), 8, 8),
]


def main() -> None:
    module = "codesign_top.network.encoder"
    for encoder, elements, lanes in ENCODERS:
        made = encoder_of(encoder, encoder.span, elements=elements, lanes=lanes)
        rtl = to_verilog(AxisTop(Chain({"encoder": made})), "codesign_top")
        netlist = synthesise_netlist(rtl, top="codesign_top", keep=[module], family="ecp5")
        found, guess = netlist.modules[module], area_of(encoder, elements=elements, lanes=lanes)
        pairs = (guess.lut, found.lut), (guess.ff, found.ff), (guess.bram, found.bram)
        errors = [f"{e / f - 1:+.0%}" if f else f"{e} for 0" for e, f in pairs]
        print(f"{encoder}, {elements} by {lanes}: found {found}, "
              f"LUT {errors[0]} FF {errors[1]} BRAM {errors[2]}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
