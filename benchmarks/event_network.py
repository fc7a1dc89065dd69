"""The event-driven 784-128-10 network: cycles against activity, and its size.

Published for the same network (Spiker+, see shared reference): 78,000 cycles an image, 7,612 cells,
18 block RAMs of 36 kbit. Weights here are drawn, 4 bits; cycles depend on spikes, not on weights,
but for the hidden layer's, whose rate the threshold sets.
"""

from __future__ import annotations

import numpy as np

from codesign.hdl.neurons import NeuronArray
from codesign.hdl.spikes.decode_count import CountDecoder
from codesign.hdl.spikes.dense import EventDense
from codesign.hdl.spikes.network import EventNetwork
from codesign.hdl.spikes.scan import SpikeScan
from codesign.hdl.top import AxisTop, to_verilog
from codesign.neurons import Leak, Lif, Word
from codesign.spikes import encoders
from codesign.toolchain import yosys

STEPS, INPUTS, HIDDEN, CLASSES = 16, 784, 128, 10
#: Currents handed on, and neurons computed, a cycle.
HIDDEN_LANES, CLASS_LANES = 8, 2
PUBLISHED_CYCLES = 78_000


def measure(images: np.ndarray | None = None) -> dict[str, float]:
    """Figures by name. ``images``: int [N, 784] of 0..255; drawn as sparse as MNIST's if None."""
    if images is None:
        images = drawn_images(np.random.default_rng(0), 64)
    network, rng = event_network(), np.random.default_rng(1)
    rate = encoders.rate(images, STEPS, 8, 1)
    told = network.predict(rate)
    spikes, cycles = np.count_nonzero(rate.reshape(len(rate), -1), axis=1), told.cycles
    shares = np.linspace(0, 1, 21)
    sweep = (rng.random((21, STEPS, INPUTS)) < shares[:, None, None]).astype(np.int64)
    total = np.count_nonzero(sweep.reshape(21, -1), axis=1)
    swept = np.array([network.predict(x[None].repeat(2, 0)).cycles[1] for x in sweep])
    slope, start = np.polyfit(total, swept, 1)
    cost = netlist_cost(network)
    return {
        "cycles an image, rate-coded (mean)": float(cycles[1:].mean()),
        "cycles an image, rate-coded (most)": float(cycles[1:].max()),
        "published / ours (mean)": PUBLISHED_CYCLES / float(cycles[1:].mean()),
        "event lanes busy, rate-coded": float(spikes[1:].sum() / cycles[1:].sum()),
        "cycles a spike (linear fit, 0 to 100 %)": float(slope),
        "fit's start / dense cycles": float(start / swept[-1]),
        "silent cycles / dense cycles": float(swept[0] / swept[-1]),
        "farthest from the fit / dense cycles": float(
            np.abs(swept - start - slope * total).max() / swept[-1]
        ),
        "LUTs after yosys synth_ecp5": cost["lut"],
        "FFs": cost["ff"],
        "block RAMs of 18 kbit": cost["bram"],
    }


def event_network(seed: int = 0) -> EventNetwork:
    """784-128-10, all synapses of a spike in one cycle."""
    rng = np.random.default_rng(seed)
    first = np.clip(np.rint(rng.normal(0.6, 2.5, (INPUTS, HIDDEN))), -8, 7).astype(np.int64)
    second = np.clip(np.rint(rng.normal(0.3, 2.5, (HIDDEN, CLASSES))), -8, 7).astype(np.int64)
    fc1 = EventDense(first, steps=STEPS, lanes=HIDDEN, slice=HIDDEN_LANES)
    fc2 = EventDense(second, steps=STEPS, lanes=CLASSES, slice=CLASS_LANES)
    return EventNetwork(
        {
            "fc1": fc1,
            "lif1": _neurons(90, fc1, HIDDEN),
            "scan1": SpikeScan(HIDDEN, STEPS, HIDDEN_LANES),
            "fc2": fc2,
            "lif2": _neurons(40, fc2, CLASSES),
            "count": CountDecoder(lo=0, hi=1, elements=CLASSES, steps=STEPS, lanes=CLASS_LANES),
        }
    )


def _neurons(theta: int, synapses: EventDense, elements: int) -> NeuronArray:
    model = Lif(
        word=Word(12, 0, True, "sat_step"),
        leak=Leak("shift_floor", np.array([3])),
        theta=np.array([theta]),
        compare="ge",
        reset="subtract",
        reset_timing="same",
        reset_vs_leak="after",
        reset_vs_input="before",
        input_frac=0,
        rounding="exact",
        spike_levels=1,
        refractory=0,
        refractory_mode="silent",
        output="spikes",
    )
    return NeuronArray(
        model,
        elements=elements,
        steps=STEPS,
        lanes=synapses.store.slice,
        persistent=False,
        ranges=[(synapses.lo, synapses.hi)],
    )


def drawn_images(rng: np.random.Generator, count: int) -> np.ndarray:
    """Pixels like MNIST's: one in five is lit, and those at 0.55 on the mean."""
    lit = rng.random((count, INPUTS)) < 0.19
    return lit * rng.integers(25, 256, (count, INPUTS))


def netlist_cost(network: EventNetwork) -> dict[str, float]:
    """LUTs, registers and block RAMs of the network behind AXI4-Stream ports."""
    rtl = to_verilog(AxisTop(network), "codesign_top")
    total = yosys.synthesise_netlist(rtl, top="codesign_top", keep=[], family="ecp5").total
    return {"lut": total.lut, "ff": total.ff, "bram": total.bram}


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name}: {value:,.3f}")
