"""Synthesise encoders and Bessel decoders beside their estimates: the data behind
hdl/spikes/encode_area.py and bessel_area.py.

python -m benchmarks.calibrate_encoders
"""

from __future__ import annotations

from codesign.hdl.chain import Chain
from codesign.hdl.spikes import bessel_area
from codesign.hdl.spikes.build_encoder import encoder_of
from codesign.hdl.spikes.decode_bessel import BesselDecoder
from codesign.hdl.spikes.encode_area import area_of
from codesign.hdl.top import AxisTop, to_verilog
from codesign.spikes.bessel import Bessel, design
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


#: Order, cutoff, bits of coefficients and guard, least and greatest code, elements, lanes.
DECODERS = [
    (2, 0.25, 10, 6, 0, 1, 10, 1),
    (2, 0.25, 10, 6, 0, 1, 4, 4),
    (4, 0.2, 12, 8, 0, 1, 10, 2),
    (2, 0.25, 10, 6, -2048, 2047, 10, 1),
    (2, 0.25, 10, 6, -2048, 2047, 64, 1),
]
STEPS = 16


def main() -> None:
    encoders()
    decoders()


def decoders() -> None:
    module = "codesign_top.network.decoder"
    for order, cutoff, frac, guard, lo, hi, elements, lanes in DECODERS:
        sections = design(order, cutoff, frac, guard)
        made = BesselDecoder(sections, lo=lo, hi=hi, elements=elements, steps=STEPS, lanes=lanes)
        rtl = to_verilog(AxisTop(Chain({"decoder": made})), "codesign_top")
        netlist = synthesise_netlist(rtl, top="codesign_top", keep=[module], family="ecp5")
        found = netlist.modules[module]
        bits = 1 if hi == 1 else hi.bit_length() + 1
        decoder = Bessel(STEPS, bits, 0, lo < 0, sections)
        guess = bessel_area.area_of(decoder, lo, hi, beats=elements // lanes, lanes=lanes)
        print(f"order {order}, {lo}..{hi}, {elements} by {lanes}: found {found}, "
              f"LUT {guess.lut / found.lut - 1:+.0%} FF {guess.ff / found.ff - 1:+.0%} "
              f"DSP {guess.dsp - found.dsp:+d}", flush=True)  # fmt: skip


def encoders() -> None:
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
