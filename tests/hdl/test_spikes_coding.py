"""Encoders and decoders: every code as the integer definition says, cycles as modelled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.spikes.decode_bessel import BesselDecoder
from codesign.hdl.spikes.decode_bits import BitwiseDecoder
from codesign.hdl.spikes.decode_count import CountDecoder
from codesign.hdl.spikes.decode_first import EarliestDecoder, FirstSpikeDecoder
from codesign.hdl.spikes.decode_left import StepsLeftDecoder
from codesign.hdl.spikes.decode_membrane import MembraneDecoder
from codesign.hdl.spikes.encode_counts import CountEncoder
from codesign.hdl.spikes.encode_delta import DeltaEncoder
from codesign.hdl.spikes.encode_direct import DirectEncoder
from codesign.hdl.spikes.encode_latency import LatencyEncoder
from codesign.hdl.spikes.encode_rate import RateEncoder
from codesign.spikes import decoders, encoders
from codesign.spikes.bessel import Sections, design
from tests.hdl import harness
from tests.hdl import spike_harness as bench

FEW = settings(derandomize=True, deadline=None, database=None, max_examples=12)
SIZES = {
    "beats": st.integers(1, 4),
    "lanes": st.integers(1, 3),
    "steps": st.integers(1, 6),
    "stalls": st.sampled_from([(0.0, 0.0), (0.0, 0.0), (0.5, 0.0), (0.0, 0.6), (0.3, 0.3)]),
}


def check(part, x, expected, stalls, timeout=100_000):
    """Frames [F, ...] through ``part``: codes and, without stalls, cycles."""
    frames = len(x)
    flat, wanted = x.reshape(frames, -1), expected.reshape(frames, -1)
    trace = harness.run(
        part, flat, wanted.shape[1], stall_in=stalls[0], stall_out=stalls[1], timeout=timeout
    )
    assert (trace.frames == wanted).all()
    if stalls == (0.0, 0.0):
        beats = flat.size // harness.layout_of(part.i)[0]
        taken, given = bench.modelled(part.timing(), beats)
        assert trace.taken == taken[: len(trace.taken)]
        assert trace.given == given


@FEW
@given(kind=st.sampled_from(["direct", "latency", "rate", "binary", "ternary", "bitwise"]), **SIZES)
def test_encoders_that_replay(kind, beats, lanes, steps, stalls):
    elements = beats * lanes
    rng = np.random.default_rng(elements)
    size = {"elements": elements, "steps": steps, "lanes": lanes}
    bits, seed = int(rng.integers(1, 10)), int(rng.integers(1 << 40))
    codes = rng.integers(0, 1 << bits, (3, elements))
    if kind == "direct":
        codes = rng.integers(-9, 6, (3, elements))
        part, want = DirectEncoder(lo=-9, hi=5, **size), encoders.direct(codes, steps)
    elif kind == "latency":
        low = int(rng.integers(1 << bits))
        part = LatencyEncoder(bits=bits, low=low, **size)
        want = encoders.latency(codes, steps, bits, low)
    elif kind == "rate":
        part = RateEncoder(bits=bits, seed=seed, **size)
        want = encoders.rate(codes, steps, bits, seed)
    else:
        hi = (1 << steps) - 1 if kind == "bitwise" else steps
        lo = -steps if kind == "ternary" else 0
        codes = rng.integers(lo, hi + 1, (3, elements))
        part = CountEncoder(kind, lo=lo, hi=hi, **size)
        want = getattr(encoders, kind)(codes, steps)
    check(part, codes, want, stalls)


@FEW
@given(low=st.sampled_from([0, 1, 3]), signed=st.booleans(), **SIZES)
def test_delta(low, signed, beats, lanes, steps, stalls):
    lo, hi = (-8, 7) if signed else (0, 9)
    x = np.random.default_rng(beats).integers(lo, hi + 1, (3, steps, beats * lanes))
    part = DeltaEncoder(lo=lo, hi=hi, low=low, features=beats * lanes, steps=steps, lanes=lanes)
    check(part, x, encoders.delta(x, low), stalls)


@FEW
@given(kind=st.sampled_from(["count", "membrane", "bitwise", "first", "left", "earliest"]), **SIZES)
def test_decoders(kind, beats, lanes, steps, stalls):
    elements = beats * lanes
    rng = np.random.default_rng(elements)
    size = {"elements": elements, "steps": steps, "lanes": lanes}
    x = rng.integers(1, 3, (3, steps, elements)) * (rng.random((3, steps, elements)) < 0.2)
    if kind in ("count", "membrane", "bitwise"):
        x = rng.integers(-7, 4, (3, steps, elements))
        decoder = {"count": CountDecoder, "membrane": MembraneDecoder, "bitwise": BitwiseDecoder}
        part = decoder[kind](lo=-7, hi=3, **size)
        want = getattr(decoders, kind)(x)
    elif kind == "first":
        part, want = FirstSpikeDecoder(levels=2, **size), decoders.first_spike(x)
    elif kind == "left":
        part, want = StepsLeftDecoder(levels=2, **size), decoders.steps_left(x)
        weights = np.arange(steps, 0, -1)[:, None]
        assert (want == ((x != 0) * weights).max(axis=1)).all()
    else:
        part, want = EarliestDecoder(levels=2, **size), decoders.bitwise(x)
    check(part, x, want, stalls)


@FEW
@given(order=st.sampled_from([2, 4]), guard=st.integers(0, 6), **SIZES)
def test_bessel(order, guard, beats, lanes, steps, stalls):
    sections = design(order, 0.3, 10, guard)
    x = np.random.default_rng(steps).integers(-2, 4, (3, 3 * steps, beats * lanes))
    part = BesselDecoder(
        sections, lo=-2, hi=3, elements=beats * lanes, steps=3 * steps, lanes=lanes
    )
    check(part, x, sections.apply(x), stalls)


def test_bessel_at_the_ends_of_its_ranges():
    """Every train of eight steps through a section that nearly integrates."""
    sections = Sections(np.array([[7, 3, 2, -9, 3]]), 3, 1)
    x = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1).T[:, :, None]
    part = BesselDecoder(sections, lo=-1, hi=1, elements=1, steps=8, lanes=1)
    check(part, x, sections.apply(x), (0.0, 0.0))


def test_rate_draws_the_same_with_any_lanes():
    codes = np.random.default_rng(0).integers(0, 256, (1, 12))
    want = encoders.rate(codes, 5, 8, 77)
    for lanes in (1, 2, 3, 4, 6, 12):
        part = RateEncoder(bits=8, seed=77, elements=12, steps=5, lanes=lanes)
        assert (harness.run(part, codes, 60).frames == want.reshape(1, -1)).all()


def test_rate_of_spikes_is_the_code():
    codes = np.arange(256)
    rate = encoders.rate(codes, 400, 8, 1).mean(axis=0)
    assert np.abs(rate - codes / 256).max() < 0.09  # 3.6 standard deviations of 400 draws


def test_numbers_that_cannot_be_said():
    size = {"elements": 2, "steps": 3, "lanes": 1}
    with pytest.raises(ValueError, match="3 binary steps reach 3, numbers reach 4"):
        CountEncoder("binary", lo=0, hi=4, **size)
    with pytest.raises(ValueError, match="3 bitwise steps reach 7, numbers reach 8"):
        CountEncoder("bitwise", lo=0, hi=8, **size)
    with pytest.raises(ValueError, match="only ternary"):
        CountEncoder("binary", lo=-1, hi=1, **size)
    with pytest.raises(ValueError, match="1 to 16 bits"):
        RateEncoder(bits=17, seed=1, **size)
    with pytest.raises(ValueError, match="lanes do not divide"):
        DirectEncoder(lo=0, hi=1, elements=3, steps=1, lanes=2)
    with pytest.raises(ValueError, match="at least one step"):
        CountDecoder(lo=0, hi=1, elements=3, steps=0, lanes=1)
