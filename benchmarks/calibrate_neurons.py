"""Synthesise neuron arrays beside their estimates: the data behind hdl/neurons/area.py.

python -m benchmarks.calibrate_neurons [NAME ...]
"""

from __future__ import annotations

import sys

import numpy as np

from codesign.hdl.chain import Chain
from codesign.hdl.neurons import NeuronArray, area_of
from codesign.hdl.top import AxisTop, to_verilog
from codesign.neurons import Adaptation, Leak, Lif, Snu, Synapse, Word, tabulate
from codesign.toolchain.yosys import synthesise_netlist


def lif(bits: int = 16, leak: Leak | None = None, **other: object) -> Lif:
    """A neuron as networks have it."""
    usual: dict[str, object] = {
        "word": Word(bits, 8, True, "sat_step"),
        "leak": leak or Leak("shift_floor", np.array([4])),
        "theta": np.array([1 << (bits // 2)]),
        "compare": "gt",
        "reset": "subtract",
        "reset_timing": "same",
        "reset_vs_leak": "after",
        "reset_vs_input": "before",
        "input_frac": 8,
        "rounding": "exact",
        "spike_levels": 1,
        "refractory": 0,
        "refractory_mode": "silent",
        "output": "spikes",
    }
    return Lif(**{**usual, **other})  # type: ignore[arg-type]


RNG = np.random.default_rng(0)
WORD = Word(16, 8, True, "sat_step")
DECAY = Leak("mul_floor", np.array([230]), 8)
#: Neuron, elements, lanes, steps.
ARRAYS = {
    "lif16, all": (lif(), 16, 16, 8),
    "lif12, all": (lif(12), 16, 16, 8),
    "lif24, all": (lif(24), 8, 8, 8),
    "decay, all": (lif(leak=DECAY), 8, 8, 8),
    "late, all": (lif(reset_timing="next"), 16, 16, 8),
    "zero, all": (lif(reset="zero"), 16, 16, 8),
    "lut ram": (lif(), 64, 4, 8),
    "block ram": (lif(), 512, 2, 8),
    "thresholds": (lif(theta=RNG.integers(200, 300, 64)), 64, 4, 8),
    "decays": (lif(leak=Leak("mul_floor", RNG.integers(150, 250, 64), 8)), 64, 4, 8),
    "synapse": (lif(synapse=Synapse(WORD, Leak("shift_floor", np.array([3])), "new", False)),
                64, 8, 8),
    "adaptive": (lif(adaptation=Adaptation(WORD, Leak("shift_floor", np.array([6])),
                                           np.array([40]))), 64, 8, 8),
    "refractory": (lif(refractory=5, refractory_mode="hold"), 64, 8, 8),
    "snu": (Snu(WORD, DECAY, np.array([100]), "relu", "gt", 8, "floor"), 64, 8, 8),
    "ssnu": (Snu(WORD, DECAY, np.array([100]), "relu", "gt", 8, "floor",
                 soft=tabulate("sigmoid", bits=10, in_frac=6, frac=8)), 64, 4, 8),
}  # fmt: skip


def main(names: list[str]) -> None:
    for name in names or ARRAYS:
        model, elements, lanes, steps = ARRAYS[name]
        array = NeuronArray(
            model, elements=elements, steps=steps, lanes=lanes, persistent=False,
            ranges=[(-3000, 3000)],
        )  # fmt: skip
        module = "codesign_top.network.neurons"
        rtl = to_verilog(AxisTop(Chain({"neurons": array})), "codesign_top")
        netlist = synthesise_netlist(rtl, top="codesign_top", keep=[module], family="ecp5")
        found, guess = netlist.modules[module], area_of(array)
        pairs = (guess.lut, found.lut), (guess.ff, found.ff), (guess.bram, found.bram)
        errors = [f"{e / f - 1:+.0%}" if f else "-" for e, f in pairs]
        print(f"{name}: estimated {guess}, found {found}, LUT {errors[0]} FF {errors[1]} "
              f"BRAM {errors[2]}, loop {array.loop}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
