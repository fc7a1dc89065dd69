"""Packing: against a plain big-integer model, for every width and sign."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import UsageError
from codesign.manifest import Port
from codesign.sim import packing


def make_port(elements: int, lanes: int, bits: int, signed: bool, data_bits: int = 0) -> Port:
    return Port(
        tensor="t", elements=elements, lanes=lanes, bits=bits, signed=signed, lo=0, hi=0,
        data_bits=data_bits or lanes * bits,
    )  # fmt: skip


def as_integers(beats: np.ndarray) -> list[int]:
    flat = beats.reshape(-1, beats.shape[-1])
    return [sum(int(w) << (32 * k) for k, w in enumerate(row)) for row in flat]


def slow_pack(codes: np.ndarray, port: Port) -> list[int]:
    beats = []
    for frame in codes.tolist():
        for b in range(port.beats):
            lanes = frame[b * port.lanes : (b + 1) * port.lanes]
            beats.append(
                sum((c & ((1 << port.bits) - 1)) << (k * port.bits) for k, c in enumerate(lanes))
            )
    return beats


@st.composite
def cases(draw: st.DrawFn) -> tuple[Port, np.ndarray]:
    bits, signed = draw(st.integers(1, 64)), draw(st.booleans())
    lanes, elements = draw(st.integers(1, 70)), draw(st.integers(1, 90))
    low = -(1 << (bits - 1)) if signed else 0
    high = min((1 << (bits - 1)) - 1 if signed else (1 << bits) - 1, 2**63 - 1)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    codes = rng.integers(low, high, (3, elements), endpoint=True)
    codes[0, 0], codes[-1, -1] = low, high
    return make_port(elements, lanes, bits, signed), codes


@settings(max_examples=150, deadline=None)
@given(cases())
def test_packs_like_the_slow_model_and_back(case: tuple[Port, np.ndarray]) -> None:
    port, codes = case
    packed = packing.pack(codes, port)
    assert as_integers(packed) == slow_pack(codes, port)
    np.testing.assert_array_equal(packing.unpack(packed, port), codes)
    width = port.lanes * port.bits
    digits = packing.as_bitstrings(packed, width)
    assert [int(s, 2) for s in digits] == as_integers(packed)
    assert {len(s) for s in digits} == {width}
    got = [
        packing.code_in(digits[f * port.beats + e // port.lanes], e % port.lanes, port)
        for f in range(3)
        for e in range(port.elements)
    ]
    assert got == codes.ravel().tolist()


@settings(max_examples=50, deadline=None)
@given(cases())
def test_padding_does_not_reach_the_codes(case: tuple[Port, np.ndarray]) -> None:
    port, codes = case
    masks = packing.mask(port)
    noise = np.random.default_rng(1).integers(0, 2**32, (3, *masks.shape), dtype=np.uint32)
    packed = (packing.pack(codes, port) & masks) | (noise & ~masks)
    np.testing.assert_array_equal(packing.unpack(packed, port), codes)


def test_last_sits_above_the_data_of_the_final_beat() -> None:
    port = make_port(5, 2, 16, False)
    packed = packing.pack(np.zeros((2, 5), int), port, last=True)
    assert packed.shape == (2, 3, 2)
    assert packed[:, :, 1].tolist() == [[0, 0, 1], [0, 0, 1]]
    assert packing.mask(port, last=True)[:, 1].tolist() == [1, 1, 1]
    assert packing.mask(port)[:, 0].tolist() == [0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF]


def test_thousands_of_lanes_and_axi_rounding() -> None:
    port = make_port(2000, 2000, 3, True, data_bits=6000)
    codes = np.random.default_rng(0).integers(-4, 4, (4, 2000))
    assert packing.pack(codes, port).shape == (4, 1, 188)
    np.testing.assert_array_equal(packing.unpack(packing.pack(codes, port), port), codes)


def test_ten_thousand_mnist_frames_take_less_than_a_few_seconds() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (10_000, 784))
    for lanes in (1, 16, 784):
        port = make_port(784, lanes, 8, False)
        start = time.perf_counter()
        packed = packing.pack(codes, port)
        assert time.perf_counter() - start < 3
        np.testing.assert_array_equal(packing.unpack(packed, port), codes)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.array([[0, 0, 16]]), "code 16 at frame 0, index 2 does not fit 4 unsigned bits"),
        (np.array([[0, -1, 1]]), "code -1 at frame 0, index 1 does not fit 4 unsigned bits"),
        (np.zeros((2, 4), int), r"shape \(2, 4\), expected \(frames, 3\)"),
        (np.zeros((2, 3)), "codes must be integers, got float64"),
    ],
)
def test_refuses_what_does_not_fit(codes: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        packing.pack(codes, make_port(3, 1, 4, False))
