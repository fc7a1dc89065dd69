"""What a Bessel decoder takes on an ECP5."""

from dataclasses import dataclass

from codesign.hdl.spikes.encode_area import CELL_BITS, CELL_LUTS
from codesign.hdl.stream import range_shape
from codesign.spikes.bessel import Bessel, Ranges, ranges

#: Widest factor of a multiplier block.
FACTOR = 18
#: LUT4s of an adder's bit, and of a bit of a memory that is several cells deep.
ADDER, DEEPER = 1.05, 2


@dataclass(frozen=True)
class Area:
    """LUT4s as toolchain/yosys.py counts them, flip-flops and multiplier blocks."""

    lut: int
    ff: int
    dsp: int


def area_of(decoder: Bessel, lo: int, hi: int, *, beats: int, lanes: int) -> Area:
    """An estimate for codes ``lo..hi``: in each section and lane four sums, the states in
    distributed memory, products in multiplier blocks but where the code is a bit. Against yosys'
    synth_ecp5 on five decoders (``python -m benchmarks.calibrate_encoders``) within 10 %,
    multipliers equal."""
    counted = 2 * (beats - 1).bit_length() + (decoder.steps - 1).bit_length()
    lut = ff = dsp = 0.0
    rows = decoder.sections.coefficients.tolist()
    for n, (row, span) in enumerate(zip(rows, ranges(decoder.sections, lo, hi, decoder.steps),
                                        strict=True)):  # fmt: skip
        shift = 0 if n else decoder.sections.guard
        own = _section(row, span, shift)
        word = lanes * (_width(span.z1) + _width(span.z2))
        cells = -(-beats // 16)
        lut += lanes * own.lut + 8
        ff += lanes * own.ff + 3 * (beats - 1).bit_length() + counted + 6
        dsp += lanes * own.dsp
        if beats == 1:
            ff += word
        else:
            lut += CELL_LUTS * cells * -(-word // CELL_BITS) + DEEPER * word * (cells > 1)
    return Area(round(lut), round(ff), round(dsp))


def _section(row: list[int], span: Ranges, shift: int) -> Area:
    """One lane of one section."""
    y, z1, z2 = (_width(s) for s in (span.y, span.z1, span.z2))
    x = _width((span.x[0] >> shift, span.x[1] >> shift))
    wide = [abs(c).bit_length() if x > 1 else 0 for c in row[:3]]
    back = [abs(c).bit_length() for c in row[3:]]
    lut = ADDER * (3 * z1 + z2) + 2 * y * (y > FACTOR)
    ff = 2 * (x + z2) + y + z1 - z2 + 2 * x + wide[0] + wide[2] + 2 * y + sum(back)
    dsp = sum(_is_product(c) for c in row[3:]) + (sum(map(_is_product, row[:3])) if x > 1 else 0)
    return Area(round(lut), ff, dsp)


def _is_product(coefficient: int) -> bool:
    """Whether a multiplication by it is more than a shift."""
    return abs(coefficient).bit_count() > 1


def _width(span: tuple[int, int]) -> int:
    return range_shape(*span).width
