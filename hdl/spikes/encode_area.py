"""What an encoder takes on an ECP5."""

from dataclasses import dataclass

from codesign.hdl.memories import block_rams, style_for
from codesign.hdl.spikes.encode_rate import product_stages, signed_digits
from codesign.hdl.windows.delay import REGISTERS
from codesign.spikes import coders
from codesign.spikes.encoders import FIRST_FACTOR, SECOND_FACTOR

#: LUT4s of an adder or a comparison of one bit: a carry cell is two for two bits, and some glue.
CARRY = 1.22
#: Bits of a 16-deep distributed RAM cell, and its LUT4s with those of its write port.
CELL_BITS, CELL_LUTS = 4, 6


@dataclass(frozen=True)
class Area:
    """LUT4s as toolchain/yosys.py counts them, flip-flops and block RAMs."""

    lut: int
    ff: int
    bram: int


def area_of(encoder: coders.Encoder, *, elements: int, lanes: int) -> Area:
    """An estimate: the memory of two frames, counters, then what each lane computes. Against
    yosys' synth_ecp5 on eight encoders (``python -m benchmarks.calibrate_encoders``) within 25 %,
    block RAM equal."""
    if isinstance(encoder, coders.Delta):
        return _delta(encoder, elements // lanes, lanes)
    beats, word = elements // lanes, lanes * encoder.bits
    counted = 6 * (2 * beats).bit_length() + 3 * (encoder.steps - 1).bit_length()
    lut, ff, bram = 2.0 * counted + 0.7 * word + 20, counted + 2.0 * word + 8, 0
    if encoder.steps > 1:
        depth = 2 * beats
        if style_for(depth, word) == "block":
            bram += block_rams(depth, word)
        else:
            lut += CELL_LUTS * -(-depth // 16) * -(-word // CELL_BITS)
    lane_lut, lane_ff = _lane(encoder)
    return Area(round(lut + lanes * lane_lut), round(ff + lanes * lane_ff), bram)


def _delta(encoder: coders.Delta, beats: int, lanes: int) -> Area:
    """The step before as registers or a ring, the falls until they are told, two differences and
    comparisons a lane."""
    word, bits = lanes * encoder.bits, (beats - 1).bit_length()
    counted = 2 * bits + (encoder.steps - 1).bit_length()
    cells = -(-beats // 16) * -(-lanes // CELL_BITS)
    lut = lanes * (4 * CARRY * (encoder.bits + 1) + encoder.bits) + 12.0
    lut += (CELL_LUTS + 2) * cells if beats > 1 else 0
    ff, bram = word * min(beats, 2) + lanes + counted + 5, 0
    if beats <= REGISTERS + 1:
        ff += word * max(beats - 2, 0) + (lanes if beats == 1 else 0)
    elif style_for(beats - 1, word) == "block":
        bram, counted, ff = block_rams(beats - 1, word), counted + bits, ff + bits
    else:
        lut += CELL_LUTS * -(-beats // 16) * -(-word // CELL_BITS)
        counted, ff = counted + bits, ff + bits
    return Area(round(lut + 3.3 * counted), round(ff), bram)


def _lane(encoder: coders.Encoder) -> tuple[float, float]:
    """LUT4s and flip-flops of one lane."""
    bits, step = encoder.bits, (encoder.steps - 1).bit_length()
    match encoder:
        case coders.Rate():
            adders = sum(len(signed_digits(f)) - 1 for f in (FIRST_FACTOR, SECOND_FACTOR))
            stages = product_stages(FIRST_FACTOR) + product_stages(SECOND_FACTOR)
            return 32 * CARRY * adders + CARRY * bits + 64, stages * (bits + 64) + 33
        case coders.Latency():
            return 2 * CARRY * bits + 1, 1
        case coders.Count(form="bitwise"):
            return 2 * bits / 3, 1
        case coders.Count():
            return CARRY * max(bits, step) * (2 if encoder.signed_codes else 1), 2
    return 0, bits
