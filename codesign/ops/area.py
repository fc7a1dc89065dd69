"""Area formulas for a LUT4 family (ECP5), calibrated by synthesis. A carry cell is two LUTs."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, gcd

import numpy as np

from codesign.schema import Cost


def weight_bits(weights: np.ndarray) -> int:
    """Two's complement bits of the widest weight."""
    lo, hi = int(weights.min(initial=0)), int(weights.max(initial=0))
    return max(hi.bit_length(), (-lo - 1).bit_length() if lo < 0 else 0) + int(lo < 0)


def lut_multiplier(a: int, b: int) -> float:
    """LUTs of an a x b multiplier with its share of the adder tree (radix-4 digits of ``a``)."""
    return 3.54 * ceil(a / 2) * (b + 1)


def adapter_cost(bits: int, a: int, b: int) -> Cost:
    """Width adapter from ``a`` to ``b`` lanes (through their gcd when neither divides)."""
    if a == b:
        return Cost()
    g = gcd(a, b)
    lut, ff = 0.0, 0.0
    for wide in {a, b} - {g}:
        lut += wide * bits * 0.6 + 8
        ff += wide * bits + 6
    return Cost(lut=round(lut), ff=round(ff))


def scan_cost(elements: int, lanes: int, bits: int) -> Cost:
    """A scan of dense spikes for events, with its register slice."""
    address = max(1, (elements - 1).bit_length())
    codes = lanes * bits if bits > 1 else 0
    lut = 7 * lanes + 3 * address + 3.3 * codes
    return Cost(lut=round(lut), ff=round((2 * bits + 1) * lanes + codes + 4.5 * address))


def pack_cost(elements: int, lanes: int, bits: int) -> Cost:
    """Events packed into beats of dense spikes."""
    address = max(1, (elements - 1).bit_length())
    lut, ff = 3.5 * (lanes * bits + address), 2 * lanes * bits + 1.85 * address
    return Cost(lut=round(lut), ff=round(ff))


def address_pool_cost(inputs: int, windows: int, marks: bool, divisions: int = 0) -> Cost:
    """Pooling of events: the walk over windows, with so many ``divisions`` of addresses by other
    than powers of two, and a memory of ``marks`` on each window."""
    bits = (inputs - 1).bit_length() + (windows - 1).bit_length()
    total = Cost(lut=round(3.2 * bits + 20 * divisions), ff=3 * bits, dsp=2 * divisions)
    if not marks:
        return total
    width = windows.bit_length()
    deep = windows * width > 1024
    memory = Cost(bram=block_rams(windows, width)) if deep else Cost(lut=windows * width // 8)
    return total + memory + Cost(lut=11 * width, ff=7 * width)


#: Shapes of an ECP5 block RAM (DP16KD): words x bits.
BRAM_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))


#: LUTs of 16 words of a bit in LUTs, as synthesis packs them.
ROM_LUTS = 0.58


def block_rams(words: int, bits: int) -> int:
    """Block RAMs of a ``words`` x ``bits`` memory in its best shape."""
    return min(ceil(words / deep) * ceil(bits / wide) for deep, wide in BRAM_SHAPES)


def weight_table_cost(words: int, bits: int) -> Cost:
    """A table of ``words`` x ``bits`` with its output register, in LUTs where it is small (as
    :func:`codesign.hdl.memories.style_for` has it); else in block RAMs of the shape that needs the
    fewest, with what chooses between those that are not deep enough."""
    if words <= 32 or words * bits < 1024:
        return Cost(lut=round(ROM_LUTS * bits * ceil(words / 16)), ff=bits)
    deep = min(BRAM_SHAPES, key=lambda shape: ceil(words / shape[0]) * ceil(bits / shape[1]))[0]
    lut = round(0.65 * bits * (ceil(words / deep) - 1))
    return Cost(lut=lut, ff=bits, bram=block_rams(words, bits))


#: Words up to which sums are registers, and up to which they are LUT memories, not block RAMs.
SUM_REGISTERS, SUM_LUT_WORDS = 8, 32


def event_sums_cost(outputs: int, lanes: int, slice: int, bits: int) -> Cost:
    """Accumulators of ``bits`` to which events add ``lanes`` weights a cycle, the copy or second
    memory that a step is handed on from, ``slice`` of its ``outputs`` a beat.

    ``python -m benchmarks.calibrate_events`` shows the errors on 19 layers: LUTs within 25 % (7 %
    on average), flip-flops within 10 %.
    """
    words, adders, all_bits = ceil(outputs / lanes), lanes * bits, outputs * bits
    if words <= SUM_REGISTERS:
        chosen = adders * words / 2 if words > 1 else 0  # which of the words
        lut = 30 + adders + chosen + 0.78 * all_bits
        return Cost(lut=round(lut), ff=2 * words * adders + slice * bits + 30)
    if words <= SUM_LUT_WORDS:
        lut = 130 + adders + 0.5 * all_bits
        return Cost(lut=round(lut), ff=round(7.2 * adders) + 75)
    return Cost(
        lut=130 + round(10.5 * adders),
        ff=round(10.3 * adders) + 75,
        bram=2 * block_rams(words, adders),
    )


def least_unrolled_luts(weights: np.ndarray, in_bits: int) -> int:
    """LUTs that a shift-add graph of ``weights`` takes at least, for inputs of ``in_bits``.

    One for each bit of the input and every four nonzero digits of the canonical signed form: a
    third of what the solver reaches on dense random matrices of 1 to 4 bits, up to 784 x 64
    (``tests/plan/test_capacity.py`` has the smaller ones). Not a proof: once equal rows and columns
    are taken out, only a matrix of low rank could do with less.
    """
    from codesign.hdl.adders.solve import signed_digits

    return signed_digits(weights) * in_bits // 4


@dataclass(frozen=True)
class FoldedShape:
    """What the area of a folded matrix-vector unit depends on; widths in bits.

    ``planes`` and ``code_bits``: radix-4 digits of a recoded weight and its stored width.
    """

    pe: int
    simd: int
    nf: int
    sf: int
    in_bits: int
    weight_bits: int
    acc_bits: int
    planes: int
    code_bits: int
    dsp: bool
    block_memory: bool


def folded_cost(s: FoldedShape) -> Cost:
    """A folded matrix-vector unit.

    Linear in the parts that grow: digit rows with their adder tree, weight ROM, frame buffer.
    The factors are a least-squares fit of relative error to yosys' synth_ecp5 on 16 units of
    1 to 64 multipliers, 2 to 8 bits. ``python -m benchmarks.calibrate`` shows the errors: LUTs
    within 25 % (9 % on average), flip-flops within 36 % (low for 8 bits), block RAM within 11 %.
    """
    mults, buffered = s.pe * s.simd, s.nf > 1
    words, width = s.nf * s.sf, mults * s.code_bits
    rows = 2.8 * mults * (s.weight_bits + s.in_bits) if s.dsp else 3.54 * mults * s.planes * (
        s.in_bits + 1
    )  # fmt: skip
    rom_bits = 0 if s.block_memory else width
    lut = rows + ROM_LUTS * rom_bits * ceil(words / 16) + 197
    ff = 1.43 * mults * (s.in_bits + s.weight_bits) + 1.3 * s.pe * s.acc_bits + 1.32 * rom_bits + 75
    if buffered:
        lut += 1.45 * ceil(2 * s.sf / 16) * s.simd * s.in_bits
        ff += 1.96 * s.simd * s.in_bits
    return Cost(
        lut=round(lut),
        ff=round(ff),
        dsp=mults if s.dsp else 0,
        bram=block_rams(words, width) if s.block_memory else 0,
    )


def loading_cost(s: FoldedShape) -> Cost:
    """What a folded unit has beyond :func:`folded_cost` when its weights can be written.

    Two memories with a write port and 32-bit parts, the second one for what accumulators start
    from; ROMs in LUTs become RAM of six LUTs for 16 x 4 bits, as synthesis counts them. Counted
    from the circuit; of what yosys adds on two networks, LUTs are within 6 %, flip-flops 23 %.
    """
    lut, ff = 20.0, 6.0
    starts = s.pe * s.acc_bits
    for words, width in ((s.nf * s.sf, s.pe * s.simd * s.code_bits), (s.nf, starts)):
        parts = ceil(width / 32)
        lut += 0.5 * min(width, 32) * parts + words.bit_length()
        ff += 32 * (parts - 1) + min(width, 32) + 6
    rom_bits = 0 if s.block_memory else s.pe * s.simd * s.code_bits
    lut += (6 / 4 - ROM_LUTS) * rom_bits * ceil(s.nf * s.sf / 16)
    if s.nf > 32 and s.nf * starts >= 1024:
        return Cost(lut=round(lut + starts), ff=round(ff), bram=block_rams(s.nf, starts))
    lut += 6 * ceil(starts / 4) * ceil(s.nf / 16) + starts
    return Cost(lut=round(lut), ff=round(ff + starts))


#: The AXI4-Lite front end and the address map, once a design.
BUS_COST = Cost(lut=80, ff=125)


def fifo_cost(width: int, depth: int) -> Cost:
    """A FIFO of ``depth`` words of ``width`` bits: block RAM when it is deep, LUTs otherwise."""
    pointers = 2 * max(1, depth - 1).bit_length() + 4
    if depth == 1:
        return Cost(lut=4, ff=width + 3)
    if depth * width >= 1024:
        return Cost(
            lut=3 * pointers + width, ff=2 * pointers + width, bram=block_rams(depth, width)
        )
    return Cost(lut=3 * pointers + 2 * width * -(-depth // 16), ff=2 * pointers + 2 * width)
