"""Rate coding: spikes at random, more the larger the code, from a generator keyed by counters."""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from codesign.hdl.memories import Counter
from codesign.hdl.spikes.replay import Replay
from codesign.spikes import encoders
from codesign.spikes.encoders import FIRST_FACTOR, SECOND_FACTOR, key

#: Adder levels between two registers of a product.
LEVELS_PER_STAGE = 2


class RateEncoder(Replay):
    """Codes of ``bits`` bits to a spike wherever they exceed the top ``bits`` of
    ``mix(step * elements + element, seed)`` (:func:`codesign.spikes.encoders.rate`).

    Each lane computes the hash of its own counter, so any number of lanes draws the same."""

    def __init__(self, *, bits: int, seed: int, elements: int, steps: int, lanes: int) -> None:
        if not 1 <= bits <= 16:
            raise ValueError(f"a rate code has 1 to 16 bits, got {bits}")
        self._bits, self._seed = bits, seed
        self.extra = product_stages(FIRST_FACTOR) + product_stages(SECOND_FACTOR)
        super().__init__(
            lo=0,
            hi=(1 << bits) - 1,
            out_lo=0,
            out_hi=1,
            elements=elements,
            steps=steps,
            lanes=lanes,
        )

    def _begin(self, m: Module, ce: Value, issue: Value) -> None:
        base = Signal(32, name="counter")
        place = Counter(m, "counter_beat", self.steps * self._beats, issue)
        with m.If(issue):
            m.d.sync += base.eq(Mux(place.last, 0, base + self.lanes))
        self._drawn = [self._hash(m, ce, (base + n)[:32], n) for n in range(self.lanes)]

    def _hash(self, m: Module, ce: Value, counter: Value, lane: int) -> Value:
        """The top bits of ``mix``; the last shift of the finalizer does not reach them."""
        keyed = Signal(32, name=f"keyed{lane}")
        m.d.comb += keyed.eq(counter ^ key(self._seed))
        v = Signal(32, name=f"start{lane}", reset_less=True)
        with m.If(ce):
            m.d.sync += v.eq(keyed ^ (keyed >> 16))
        first = product(m, ce, v, FIRST_FACTOR, f"first{lane}")
        between = Signal(32, name=f"between{lane}")
        m.d.comb += between.eq(first ^ (first >> 15))
        return product(m, ce, between, SECOND_FACTOR, f"second{lane}")[32 - self._bits :]

    def reference(self, codes: np.ndarray) -> np.ndarray:
        return encoders.rate(codes, self.steps, self._bits, self._seed)

    def _make(self, m: Module, codes: list[Value], step: Counter) -> list[Value]:
        return [c > d for c, d in zip(codes, self._drawn, strict=True)]


def signed_digits(constant: int) -> list[tuple[int, int]]:
    """(shift, sign) of the fewest powers of two that add up to ``constant`` modulo 2**32."""
    digits, shift = [], 0
    while constant and shift < 32:
        if constant & 1:
            sign = 2 - (constant & 3)
            digits.append((shift, sign))
            constant -= sign
        constant, shift = constant >> 1, shift + 1
    return digits


def product_stages(constant: int) -> int:
    """Registers of :func:`product`."""
    return -(-(len(signed_digits(constant)) - 1).bit_length() // LEVELS_PER_STAGE)


def product(m: Module, ce: Value, value: Value, constant: int, name: str) -> Value:
    """``value * constant`` modulo 2**32 by shifts and additions in a tree."""
    terms: list[tuple[Value, int]] = []
    for shift, sign in signed_digits(constant):
        terms.append((Cat(Const(0, shift), value)[:32], sign))
    level = 0
    while len(terms) > 1:
        merged = []
        for n in range(0, len(terms) - 1, 2):
            (a, s), (b, r) = terms[n], terms[n + 1]
            total = Signal(32, name=f"{name}_{level}_{n}", reset_less=True)
            m.d.comb += total.eq(a + b if s == r else a - b)
            merged.append((total, s))
        terms = merged + terms[len(merged) * 2 :]
        level += 1
        if level % LEVELS_PER_STAGE == 0 or len(terms) == 1:
            terms = [(_held(m, ce, v, f"{name}_at{level}_{n}"), s)
                     for n, (v, s) in enumerate(terms)]  # fmt: skip
    value, sign = terms[0]
    return value if sign > 0 else (-value)[:32]


def _held(m: Module, ce: Value, value: Value, name: str) -> Value:
    register = Signal(32, name=name, reset_less=True)
    with m.If(ce):
        m.d.sync += register.eq(value)
    return register
