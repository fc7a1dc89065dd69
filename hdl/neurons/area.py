"""What a neuron array takes on an ECP5, from the operations of its cell."""

from dataclasses import dataclass

from codesign.hdl.memories import block_rams, style_for
from codesign.hdl.neurons.array import NeuronArray


@dataclass(frozen=True)
class Area:
    """LUT4s as toolchain/yosys.py counts them (a carry cell is two), flip-flops, multipliers and
    block RAMs."""

    lut: int
    ff: int
    dsp: int
    bram: int


def area_of(array: NeuronArray) -> Area:
    """An estimate: each operation of the cell at its LUTs, registers at their bits, then the
    memories and the counters. Fitted by hand to yosys' synth_ecp5 on the arrays of ``python -m
    benchmarks.calibrate_neurons``, which shows how near it is; nothing else was held against it."""
    sketch, lanes = array.sketch, array.lanes
    lut, ff = 0.87 * lanes * sketch.luts, float(lanes * (sketch.ffs + sketch.out.bits))
    bram = lanes * sketch.brams
    for state in array.model.states:
        style = array.styles[state.name]
        if style.kind == "register":
            ff += style.width
        elif style.kind == "lut":
            lut += (6 / 4 * -(-style.depth // 16) + 1) * style.width
        else:
            bram += block_rams(style.depth, style.width)
            lut += style.width
            ff += style.width
    for bits in array.table_bits:
        if style_for(array.folds, bits) == "block":
            bram += block_rams(array.folds, bits)
        elif array.folds > 1:
            lut += 0.6 * bits * -(-array.folds // 16)
            ff += bits
    counted = (array.folds - 1).bit_length() + (array.beats - 1).bit_length()
    counted += (array.steps - 1).bit_length()
    lut += 1.5 * counted + 10
    ff += counted + (array.latency - 1) * ((array.beats - 1).bit_length() + 3) + 2
    return Area(round(lut), round(ff), lanes * sketch.dsps, bram)
