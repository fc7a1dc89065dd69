"""Area formulas for a LUT4 family with two-bit carry cells (ECP5). Calibrated by measurement.

A carry cell (CCU2C) adds two bits and occupies two LUTs, so an n-bit adder costs about n LUTs.
"""

from __future__ import annotations

from math import ceil, gcd

import numpy as np

from codesign.builddir import Cost


def adder(bits: float) -> float:
    """LUTs of an adder with a ``bits``-bit result."""
    return 2 * ceil((bits + 1) / 2)


def mux(inputs: int) -> float:
    """LUT4s per bit of an ``inputs``-way multiplexer."""
    return max(0.0, 0.7 * (inputs - 1))


def rom(depth: int, bits: int) -> float:
    """LUT4s of a ``depth`` x ``bits`` ROM: sixteen words a LUT."""
    return 0.0 if depth <= 1 else bits * max(1, ceil(depth / 16)) * 1.1


def weight_bits(weights: np.ndarray) -> int:
    """Two's complement bits of the widest weight."""
    lo, hi = int(weights.min(initial=0)), int(weights.max(initial=0))
    return max(hi.bit_length(), (-lo - 1).bit_length() if lo < 0 else 0) + int(lo < 0)


def lut_multiplier(a: int, b: int) -> float:
    """LUTs of an a x b multiplier built from partial product rows."""
    small, large = sorted((a, b))
    if small <= 1:
        return large
    rows = ceil(small / 2)
    return rows * (large + 2) * 1.3 + (rows - 1) * adder(large + 2)


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


#: Block memory of an ECP5 (DP16KD): 16 kbit usable here as 512 x 36 or 1024 x 18.
BRAM_WORDS, BRAM_BITS = 512, 36


def folded_cost(
    weights: np.ndarray,
    nf: int,
    sf: int,
    pe: int,
    simd: int,
    in_bits: int,
    acc_bits: int,
    multiplier: str,
) -> Cost:
    """A folded matrix-vector unit: multipliers, adder trees, accumulators, memories, control."""
    w_bits = weight_bits(weights)
    product = w_bits + in_bits
    tree = sum(adder(product + level + 1) * ceil(simd / 2 ** (level + 1)) for level in range(20)
               if simd > 2**level)  # fmt: skip
    mult = 0.0 if multiplier == "dsp" else simd * lut_multiplier(w_bits, in_bits)
    lut = pe * (mult + tree + (adder(acc_bits) if sf > 1 else 0))
    ff = pe * (simd * product + acc_bits * 2) + simd * in_bits
    words, width = nf * sf, pe * simd * w_bits
    bram = 0
    if words > 64:
        bram = ceil(words / BRAM_WORDS) * ceil(width / BRAM_BITS)
    else:
        lut += rom(words, width)
        ff += width
    buffer = 0 if nf == 1 else 2 * sf * simd * in_bits
    lut += buffer / 8 + 40
    return Cost(
        lut=round(lut), ff=round(ff + 40), dsp=pe * simd if multiplier == "dsp" else 0, bram=bram
    )
