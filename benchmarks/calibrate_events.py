"""Synthesise what handles address events beside its estimates: the data behind scan_cost,
pack_cost, address_pool_cost and event_sums_cost of codesign/ops/area.py.

python -m benchmarks.calibrate_events
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.hdl.chain import Chain
from codesign.hdl.register_slice import RegisterSlice
from codesign.hdl.spikes.address_pool import AddressPool
from codesign.hdl.spikes.dense import EventDense
from codesign.hdl.spikes.pack import SpikePack
from codesign.hdl.spikes.scan import SpikeScan
from codesign.hdl.top import AxisTop, to_verilog
from codesign.ops.area import (
    address_pool_cost,
    event_sums_cost,
    pack_cost,
    scan_cost,
    weight_table_cost,
)
from codesign.schema import Cost
from codesign.toolchain.yosys import synthesise_netlist

STEPS = 4
#: Elements of a step, lanes, levels.
STREAMS = [(64, 8, 1), (784, 28, 1), (256, 8, 3)]
#: Function, channels, size of the map, window and stride.
POOLS = [("sum", 2, (16, 16), 2, 2), ("or", 2, (16, 16), 2, 2), ("or", 8, (16, 16), 2, 2),
         ("sum", 3, (12, 12), 3, 2), ("or", 4, (28, 28), 2, 2)]  # fmt: skip

#: Inputs, outputs, lanes and outputs handed on a beat of dense layers.
DENSE = [(784, 128, 128, 4), (784, 128, 64, 16), (784, 128, 32, 4), (784, 128, 16, 4),
         (784, 128, 8, 4), (784, 128, 4, 1), (128, 10, 10, 1), (128, 10, 5, 1), (128, 10, 2, 1),
         (128, 10, 1, 1),
         (64, 64, 64, 2), (64, 64, 16, 2), (64, 64, 2, 2), (16, 10, 10, 2), (12, 8, 2, 2),
         (64, 512, 8, 8), (128, 256, 8, 8)]  # fmt: skip


def scan(elements: int, lanes: int, levels: int) -> Chain:
    part = SpikeScan(elements, STEPS, lanes, levels)
    return Chain({"slice": RegisterSlice(part.i.payload.shape()), "scan": part})


def main() -> None:
    for elements, lanes, levels in STREAMS:
        bits, what = levels.bit_length(), f"of {elements} by {lanes}, {levels} levels"
        show(f"scan {what}", scan(elements, lanes, levels), scan_cost(elements, lanes, bits))
        pack = SpikePack(elements, STEPS, lanes, levels)
        show(f"pack {what}", pack, pack_cost(elements, lanes, bits))
    for inputs, outputs, lanes, slice in DENSE:
        dense(inputs, outputs, lanes, slice)
    for function, channels, size, window, stride in POOLS:
        pool = AddressPool(
            function,  # type: ignore[arg-type]
            channels=channels,
            size=size,
            window=(window, window),
            stride=(stride, stride),
            steps=STEPS,
        )
        inputs = size[0] * size[1] * channels
        divisions = sum(n & (n - 1) > 0 for n in (channels, size[1]))
        guess = address_pool_cost(inputs, pool.outputs, function == "or", divisions)
        show(f"{function} of {channels} channels of {size}, {window} every {stride}", pool, guess)


def dense(inputs: int, outputs: int, lanes: int, slice: int) -> None:
    """Weights of 4 bits, most of them small as trained ones are."""
    drawn = np.random.default_rng(1).normal(0, 2.2, (inputs, outputs))
    weights = np.clip(np.round(drawn), -7, 7).astype(np.int64)
    part = EventDense(weights, steps=STEPS, lanes=lanes, slice=slice)
    words, bits = inputs * -(-outputs // lanes), 4 * lanes
    sums = event_sums_cost(outputs, lanes, slice, part.store.shape.width)
    show(f"dense {inputs}-{outputs}, {lanes} lanes, {slice} a beat", part,
         sums + weight_table_cost(words, bits))  # fmt: skip


def show(name: str, part: Any, guess: Cost) -> None:
    module = "codesign_top.network.part"
    rtl = to_verilog(AxisTop(Chain({"part": part})), "codesign_top")
    found = synthesise_netlist(rtl, top="codesign_top", keep=[module], family="ecp5").modules[
        module
    ]
    pairs = (guess.lut, found.lut), (guess.ff, found.ff), (guess.bram, found.bram)
    errors = [f"{e / f - 1:+.0%}" if f else f"{e} for 0" for e, f in pairs]
    print(f"{name}: found {found}, LUT {errors[0]} FF {errors[1]} BRAM {errors[2]}", flush=True)


if __name__ == "__main__":
    main()
