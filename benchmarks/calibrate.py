"""Synthesise folded units of many sizes beside their estimates: the data behind ops/area.py.

python -m benchmarks.calibrate
"""

from __future__ import annotations

import numpy as np

from codesign.formats import ScaledInt
from codesign.hdl.chain import Chain
from codesign.hdl.top import AxisTop, to_verilog
from codesign.ir import Value
from codesign.ir.plan import Plan
from codesign.ops.matvec import MatVec
from codesign.toolchain.yosys import synthesise_netlist

#: N, K, PE, SIMD, weight bits, input bits
UNITS = [
    (32, 64, 4, 8, 4, 4), (16, 32, 2, 4, 4, 4), (10, 16, 3, 1, 4, 4), (32, 64, 1, 1, 4, 4),
    (32, 64, 8, 8, 4, 4), (24, 48, 4, 4, 2, 2), (24, 48, 4, 4, 8, 8), (24, 48, 4, 4, 4, 8),
    (24, 48, 4, 4, 8, 4), (64, 64, 2, 16, 3, 3), (64, 128, 4, 8, 6, 6), (16, 16, 16, 1, 4, 4),
    (16, 16, 1, 16, 4, 4), (32, 64, 4, 16, 2, 4), (20, 20, 5, 4, 3, 2), (256, 256, 2, 4, 4, 4),
]  # fmt: skip


def main() -> None:
    rng = np.random.default_rng(0)
    for n, k, pe, simd, w_bits, x_bits in UNITS:
        top = (1 << (w_bits - 1)) - 1
        weights = np.clip(np.rint(rng.normal(0, top / 2.2, (n, k))), -top, top).astype(np.int64)
        op = MatVec(weights, np.zeros(n, np.int64), np.ones(1))
        source = Value("x", (k,), ScaledInt.of_bits(x_bits, signed=False))
        shape, format = op.infer(source)
        out, plan = Value("y", shape, format), Plan("folded", pe, simd)
        chain = Chain({"matvec": op.rtl([source], out, plan)})
        module = "codesign_top.network.matvec"
        netlist = synthesise_netlist(
            to_verilog(AxisTop(chain), "codesign_top"),
            top="codesign_top",
            keep=[module],
            family="ecp5",
        )
        found, estimate = netlist.modules[module], op.cost([source], out, plan)
        errors = [f"{e / f - 1:+.0%}" if f else "-" for e, f in
                  ((estimate.lut, found.lut), (estimate.ff, found.ff),
                   (estimate.bram, found.bram))]  # fmt: skip
        print(f"{n}x{k} {pe}x{simd} w{w_bits}a{x_bits}: estimated {estimate}, found {found},"
              f" LUT {errors[0]} FF {errors[1]} BRAM {errors[2]}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
