"""Memories that a bus writes: protocol, and matrix units whose weights are replaced."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl.depthwise import Depthwise
from codesign.hdl.loading.load import DATA_BITS
from codesign.hdl.loading.loaded_memory import LoadedMemory, slots
from codesign.hdl.lockstep import Lockstep
from codesign.hdl.matvec import MatVec
from codesign.hdl.stream import range_shape
from codesign.hdl.timing import drive
from tests.hdl import harness

CASES = settings(max_examples=25, derandomize=True, deadline=None, database=None)


async def access(ctx, port, address, data=None):
    """(data, error) of one request on a load bus."""
    ctx.set(port.request, 1)
    ctx.set(port.write, data is not None)
    ctx.set(port.address, address)
    ctx.set(port.data, data or 0)
    for _ in range(20):
        await ctx.tick()
        if ctx.get(port.ack):
            found = ctx.get(port.read), ctx.get(port.error)
            await ctx.tick()
            ctx.set(port.request, 0)
            await ctx.tick()
            return found
    raise AssertionError(f"no answer at {address:#x}")


def writes(words, width, base=0):
    """(address, data) of every part of every word."""
    mask = (1 << DATA_BITS) - 1
    parts = -(-width // DATA_BITS)
    return [
        (base + n * slots(width) + part, word >> (DATA_BITS * part) & mask)
        for n, word in enumerate(words)
        for part in range(parts)
    ]


def simulate(component, bench):
    m = Module()
    m.submodules.dut = component
    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("width", [1, 31, 32, 33, 70, 129])
@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("style", ["lut", "block"])
def test_memory(width, depth, style):
    rng = np.random.default_rng(width)
    first, other = ([int.from_bytes(rng.bytes(17)) >> (136 - width) for _ in range(depth)]
                    for _ in range(2))  # fmt: skip
    dut = LoadedMemory(first, width, style)

    async def bench(ctx):
        ctx.set(dut.en, 1)
        for words in (first, other):
            for address, data in writes(words, width):
                assert await access(ctx, dut.load, address) == (data, 0)
            for address, word in enumerate(words):
                ctx.set(dut.address, address)
                await ctx.tick()
                assert ctx.get(dut.data) == word
            for address, data in writes(other, width):
                assert (await access(ctx, dut.load, address, data))[1] == 0
        beyond = depth * slots(width)
        for bad in (beyond, beyond + 64, 1 << 20):
            assert (await access(ctx, dut.load, bad, 1))[1] == 1
            assert (await access(ctx, dut.load, bad))[1] == 1
        if dut.slots > dut.parts:
            assert (await access(ctx, dut.load, dut.parts, 1))[1] == 1

    simulate(dut, bench)


def test_parts_out_of_order_change_nothing():
    dut = LoadedMemory([5, 6], 70, "lut")

    async def bench(ctx):
        assert (await access(ctx, dut.load, 2, 1))[1] == 1  # last part first
        assert (await access(ctx, dut.load, 0, 9))[1] == 0
        assert (await access(ctx, dut.load, 2, 9))[1] == 1  # one left out
        assert (await access(ctx, dut.load, 1, 9))[1] == 1  # no longer expected
        assert (await access(ctx, dut.load, 0, 9))[1] == 0
        assert (await access(ctx, dut.load, 5, 9))[1] == 1  # another word's
        assert [await access(ctx, dut.load, a) for a in (0, 1, 2, 4)] == [
            (5, 0),
            (0, 0),
            (0, 0),
            (6, 0),
        ]

    simulate(dut, bench)


def loader(dut, unit, weights, bias):
    """A testbench that writes ``weights`` and ``bias`` and reads them back."""
    width = range_shape(unit.acc_lo, unit.acc_hi).width
    starts = unit.image.start_words(weights, bias, width)
    base = 1 << unit.region_bits
    everything = writes(unit.image.weight_words(weights), unit.image.width)
    everything += writes(starts, width * unit.pe, base)

    async def before(ctx):
        ctx.set(dut.o.ready, 1)
        await ctx.tick()
        for address, data in everything:
            assert (await access(ctx, dut.load, address, data))[1] == 0
        for address, data in everything:
            assert await access(ctx, dut.load, address) == (data, 0)

    return before


RANGES = [(-1, 1), (0, 1), (-2, 1), (-7, 7), (-8, 7), (0, 255), (-127, 127), (-300, 17), (1, 6)]


@CASES
@given(st.data())
def test_matvec_with_other_weights(data):
    def pick(lo, hi):
        return data.draw(st.integers(lo, hi))

    lo, hi = data.draw(st.sampled_from(RANGES))
    n, k = pick(1, 7), pick(1, 9)
    pe, simd = pick(1, n), pick(1, k)
    in_lo = pick(-9, 5)
    in_hi = in_lo + pick(0, 20)
    rng = np.random.default_rng(pick(0, 9999))
    ends = [w * x for w in (lo, hi) for x in (in_lo, in_hi)]
    options = {
        "multiplier": data.draw(st.sampled_from(["lut", "dsp"])),
        "weight_memory": data.draw(st.sampled_from(["auto", "block", "lut"])),
        "max_stages": pick(2, 6),
    }
    trained, other = (rng.integers(lo, hi + 1, (n, k)) for _ in range(2))
    other[0], other[-1] = hi, lo
    bias = rng.integers(-99, 100, (2, n))
    reach = k * min(ends) - 99, k * max(ends) + 99
    x = np.concatenate([[[in_lo] * k, [in_hi] * k], rng.integers(in_lo, in_hi + 1, (4, k))])
    stall = data.draw(st.sampled_from([0.0, 0.4]))
    for weights, own, load in ((trained, bias[0], False), (other, bias[1], True)):
        dut = MatVec(trained, in_lo=in_lo, in_hi=in_hi, bias=bias[0], pe=pe, simd=simd,
                     acc_range=reach, loadable=(lo, hi), **options)  # fmt: skip
        before = loader(dut, dut, weights, own) if load else None
        trace = harness.run(dut, x, n, stall_in=stall, stall_out=stall, before=before)
        assert (trace.frames == x @ weights.T + own).all()
        if stall == 0 and not load:
            assert drive(lambda dut=dut: [dut.timing()], dut.sf, len(x))[1] == trace.given


@pytest.mark.parametrize("kind", ["groups", "depthwise", "pixels"])
def test_other_engines(kind):
    rng = np.random.default_rng(3)
    common = {"in_lo": 0, "in_hi": 3, "acc_range": (-999, 999), "loadable": (-7, 7)}
    trained, other = (rng.integers(-7, 8, (4, 6)) for _ in range(2))
    bias = np.array([1, -2, 3, -4])
    x = rng.integers(0, 4, (3, 24))
    if kind == "groups":
        dut = unit = MatVec(trained, pe=1, simd=3, sets=2, vectors=2, **common)
        parts = x.reshape(3, 2, 2, 6)
        want = np.einsum("fvsk,snk->fvsn", parts, other.reshape(2, 2, 6)) + bias.reshape(2, 2)
    elif kind == "depthwise":
        dut = unit = Depthwise(trained, channels=4, lanes=2, simd=3, vectors=1, **common)
        # for each fold of two channels, the taps of both
        taps = x.reshape(3, 2, 6, 2).transpose(0, 1, 3, 2).reshape(3, 4, 6)
        want = (taps * other).sum(axis=2) + bias
    else:
        units = [MatVec(trained, pe=4, simd=6, vectors=2, **common) for _ in range(2)]
        dut, unit = Lockstep(units), units[0]
        want = x.reshape(3, 4, 6) @ other.T + bias
    want = want.reshape(3, -1)
    trace = harness.run(dut, x, want.shape[1], before=loader(dut, unit, other, bias))
    assert (trace.frames == want).all()


def test_says_what_is_wrong():
    with pytest.raises(ValueError, match="needs the range of its accumulators"):
        MatVec(np.ones((2, 3), np.int64), in_lo=0, in_hi=1, pe=1, simd=1, loadable=(-1, 1))
    with pytest.raises(ValueError, match="exceed the bus' address space"):
        LoadedMemory([0] * 2, 33 << 24, "lut")
