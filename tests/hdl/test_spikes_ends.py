"""Encoders and decoders at the ends of what they take: wide and signed codes, one step and many,
frames in which nothing or everything spikes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.spikes.build_encoder import encoder_of
from codesign.hdl.spikes.decode_bessel import BesselDecoder
from codesign.hdl.spikes.decode_bits import BitwiseDecoder
from codesign.hdl.spikes.decode_count import CountDecoder
from codesign.hdl.spikes.decode_first import FirstSpikeDecoder
from codesign.hdl.spikes.decode_left import StepsLeftDecoder
from codesign.hdl.spikes.decode_membrane import MembraneDecoder
from codesign.spikes import coders, decoders
from codesign.spikes.bessel import Bessel, Sections, design
from tests.hdl.test_spikes_coding import check

FEW = settings(derandomize=True, deadline=None, database=None, max_examples=15)
STALLS = st.sampled_from([(0.0, 0.0), (0.3, 0.4)])
SIGNED = {"direct": coders.Direct, "delta": coders.Delta}


@st.composite
def wide(draw: st.DrawFn) -> coders.Encoder:
    """Any encoder for codes of 1, 12 or 16 bits, with one step where that says something."""
    kind = draw(st.sampled_from(["rate", "latency", "direct", "delta", *coders.Count.forms]))
    steps = draw(st.sampled_from([1, 2, 7]))
    if kind in coders.Count.forms:
        bits = {"binary": 1 if steps == 1 else 3, "ternary": 3, "bitwise": 12}[kind]
        least = {"binary": (1 << bits) - 1, "ternary": 4, "bitwise": bits}[kind]
        return coders.Count(max(steps, least), bits, 0, form=kind)
    bits, signed = draw(st.sampled_from([12, 16])), draw(st.booleans())
    if kind == "rate":
        return coders.Rate(steps, draw(st.sampled_from([1, bits])), 0, seed=(1 << 31) - 1)
    top = (1 << bits) - 1
    low = draw(st.sampled_from([1, top // 2, top]))
    if kind == "latency":
        return coders.Latency(steps, bits, 0, low=low)
    more = {"low": low} if kind == "delta" else {}
    return SIGNED[kind](steps, bits, 0, signed=signed, **more)


@FEW
@given(wide(), st.integers(1, 3), st.integers(1, 2), STALLS)
def test_encoders_take_every_code(encoder, beats, lanes, stalls):
    """The first frame all least, the second all greatest codes, the third in turn."""
    elements, (lo, hi) = beats * lanes, encoder.span
    shape = (4, encoder.steps, elements) if encoder.over_time else (4, elements)
    codes = np.random.default_rng(beats).integers(lo, hi + 1, shape)
    codes[0], codes[1], codes[2], codes[2, ::2] = lo, hi, lo, hi
    part = encoder_of(encoder, encoder.span, elements=elements, lanes=lanes)
    check(part, codes, encoder.encode(codes), stalls)


DECODERS = {
    "count": (CountDecoder, decoders.count),
    "membrane": (MembraneDecoder, decoders.membrane),
    "bitwise": (BitwiseDecoder, decoders.bitwise),
    "first": (FirstSpikeDecoder, decoders.first_spike),
    "left": (StepsLeftDecoder, decoders.steps_left),
}


@FEW
@given(
    st.sampled_from(sorted(DECODERS)), st.sampled_from([1, 2, 12]), st.booleans(),
    st.integers(1, 3), STALLS,
)  # fmt: skip
def test_decoders_take_silence_and_every_spike(kind, steps, signed, elements, stalls):
    component, says = DECODERS[kind]
    spikes = kind in ("first", "left")
    lo, hi = (0, 1) if spikes else (-2048, 2047) if signed else (0, 4095)
    codes = np.random.default_rng(steps).integers(lo, hi + 1, (4, steps, elements))
    codes[0], codes[1], codes[2] = 0, hi, lo
    sizes = {"elements": elements, "steps": steps, "lanes": 1}
    part = component(levels=1, **sizes) if spikes else component(lo=lo, hi=hi, **sizes)
    check(part, codes, says(codes), stalls)


NEARLY_INTEGRATES = Sections(np.array([[7, 3, 2, -9, 3]]), 3, 1)


@FEW
@given(
    st.sampled_from([design(2, 0.25, 12, 8), design(6, 0.3, 14, 4), NEARLY_INTEGRATES]),
    st.sampled_from([1, 2, 9]), st.sampled_from([1, 4, 12]), st.booleans(), STALLS,
)  # fmt: skip
def test_bessel_takes_every_code(sections, steps, bits, signed, stalls):
    """What makes the filter swing farthest: each step at that end of the range which the response
    after it asks for."""
    decoder = Bessel(steps, bits, 0, signed, sections)
    lo, hi = decoder.span
    impulse = np.zeros((steps, 1), np.int64)
    impulse[0] = 1
    response = sections.apply(impulse << 8)[::-1]
    codes = np.random.default_rng(steps).integers(lo, hi + 1, (5, steps, 2))
    codes[0], codes[1], codes[2] = 0, hi, lo
    codes[3], codes[4] = np.where(response > 0, hi, lo), np.where(response > 0, lo, hi)
    part = BesselDecoder(sections, lo=lo, hi=hi, elements=2, steps=steps, lanes=1)
    out = decoder.decode(codes)
    assert part.lo <= out.min() and out.max() <= part.hi
    check(part, codes, out, stalls)


LONG = [
    coders.Rate(1 << 12, 12, 0, seed=7),
    coders.Latency(1 << 12, 12, 0, low=0),
    coders.Count(4095, 12, 0, form="binary"),
    coders.Count(2048, 12, 0, form="ternary"),
    coders.Delta(1 << 11, 12, 0, low=3, signed=True),
]


@pytest.mark.slow
@pytest.mark.parametrize("encoder", LONG, ids=lambda e: f"{type(e).__name__}{e.steps}")
def test_long_windows(encoder):
    lo, hi = encoder.span
    shape = (2, encoder.steps, 1) if encoder.over_time else (2, 1)
    codes = np.random.default_rng(1).integers(lo, hi + 1, shape)
    codes[0, ..., 0] = codes[0, ..., 0] if encoder.over_time else lo
    part = encoder_of(encoder, encoder.span, elements=1, lanes=1)
    check(part, codes, encoder.encode(codes), (0.0, 0.0))


@pytest.mark.slow
def test_the_longest_window():
    """65,536 steps, the most there are: counted, smoothed, and kept."""
    steps = 1 << 16
    x = np.ones((1, steps, 1), np.int64)
    sizes = {"elements": 1, "steps": steps, "lanes": 1}
    check(CountDecoder(lo=0, hi=1, **sizes), x, decoders.count(x), (0.0, 0.0))
    smooth = Bessel(steps, 1, 0, False, design(2, 0.25, 12, 8))
    part = BesselDecoder(smooth.sections, lo=0, hi=1, **sizes)
    check(part, x, smooth.decode(x), (0.0, 0.0), timeout=4 * steps)
