"""Classifiers that learn in hardware: their classes and weights are those of the integers, and
the weights can be read and written over AXI4-Lite."""

import random

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from codesign.hdl.learning import LearningAxi, LearningNetwork, RivalSignal
from codesign.hdl.loading.axi_lite import OKAY, SLVERR
from codesign.learning import LearningLayer, LearningNet, Rival
from codesign.learning.rival import random_signs
from tests.hdl import spike_harness as bench
from tests.learning.examples import digits, digits_net, lif, tess


class Bus:
    """One access after the other over AXI4-Lite."""

    def __init__(self, ctx, dut):
        self.ctx, self.dut = ctx, dut

    async def _send(self, channel, **fields):
        for name, value in fields.items():
            self.ctx.set(getattr(self.dut, f"s_axil_{channel}{name}"), value)
        self.ctx.set(getattr(self.dut, f"s_axil_{channel}valid"), 1)
        while not self.ctx.get(getattr(self.dut, f"s_axil_{channel}ready")):
            await self.ctx.tick()
        await self.ctx.tick()
        self.ctx.set(getattr(self.dut, f"s_axil_{channel}valid"), 0)

    async def _answer(self, channel):
        self.ctx.set(getattr(self.dut, f"s_axil_{channel}ready"), 1)
        while not self.ctx.get(getattr(self.dut, f"s_axil_{channel}valid")):
            await self.ctx.tick()
        found = self.ctx.get(getattr(self.dut, f"s_axil_{channel}resp"))
        data = self.ctx.get(self.dut.s_axil_rdata) if channel == "r" else 0
        await self.ctx.tick()
        self.ctx.set(getattr(self.dut, f"s_axil_{channel}ready"), 0)
        return found, data

    async def write(self, address, data):
        """The response."""
        await self._send("aw", addr=address)
        await self._send("w", data=data, strb=15)
        return (await self._answer("b"))[0]

    async def read(self, address):
        """(response, data)."""
        await self._send("ar", addr=address)
        return await self._answer("r")


def small_net(seed=0, hidden=4):
    """6-4-3 neurons and weights to begin with."""
    rng = np.random.default_rng(seed)
    layers = (
        LearningLayer(lif(5), tess(5, 2), 6, hidden),
        LearningLayer(lif(5), tess(5, 1), hidden, 3),
    )
    signals = (Rival(random_signs(hidden, 3, seed), 2), Rival(np.eye(3, dtype=np.int64), 2))
    return LearningNet(layers, signals), [
        rng.integers(-8, 24, (n.inputs, n.outputs)) for n in layers
    ]


def memory_words(part, weights):
    """What the memory of a layer holds: rows of all inputs for each group of lanes."""
    bits, lanes = part.rule.weight.bits, part.lanes
    rows = weights.reshape(len(weights), -1, lanes).transpose(1, 0, 2).reshape(-1, lanes)
    return [sum((int(c) & ((1 << bits) - 1)) << (n * bits) for n, c in enumerate(r)) for r in rows]


async def send(ctx, dut, x, frames, rng, stalls, classes):
    """Events and targets in; classes out."""
    events = bench.event_words(x, dut.i.payload.shape())
    at, sent, cycle = 0, 0, 0
    offered = [False, False]
    while len(classes) < len(x):
        assert cycle < 400_000, f"{at} events, {sent} frames, {len(classes)} classes"
        cycle += 1
        offered[0] = offered[0] or (at < len(events) and rng.random() >= stalls)
        offered[1] = offered[1] or (sent < len(frames) and rng.random() >= stalls)
        ctx.set(dut.i.valid, offered[0])
        if offered[0]:
            ctx.set(dut.i.payload.as_value(), events[at])
        ctx.set(dut.frame.valid, offered[1])
        if offered[1]:
            target, learn = frames[sent]
            ctx.set(dut.frame.payload.target, int(target))
            ctx.set(dut.frame.payload.learn, int(learn))
        ctx.set(dut.o.ready, rng.random() >= stalls)
        if offered[0] and ctx.get(dut.i.ready):
            at, offered[0] = at + 1, False
        if offered[1] and ctx.get(dut.frame.ready):
            sent, offered[1] = sent + 1, False
        if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
            classes.append(ctx.get(dut.o.payload))
        await ctx.tick()
    for port in (dut.i.valid, dut.frame.valid, dut.o.ready):
        ctx.set(port, 0)
    return cycle


def simulate(dut, scenario):
    """Runs the coroutine ``scenario(ctx)``."""
    m = Module()
    m.submodules.dut = dut
    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(scenario)
    sim.run()


async def load(bus, part, region, weights):
    """Writes all words of a layer."""
    memory = part.memory
    for n, word in enumerate(memory_words(part, weights)):
        for k in range(memory.parts):
            address = (region.base + n * memory.slots + k) * 4
            assert await bus.write(address, word >> (32 * k) & 0xFFFFFFFF) == OKAY


async def dump(bus, part, region):
    """Reads all words of a layer."""
    memory, found = part.memory, []
    for n in range(memory.depth):
        word = 0
        for k in range(memory.parts):
            response, data = await bus.read((region.base + n * memory.slots + k) * 4)
            assert response == OKAY
            word |= data << (32 * k)
        found.append(word)
    return found


async def settled(bus):
    """Until the status says that no frame is in flight."""
    while (await bus.read(8))[1] & 1:
        pass


@pytest.mark.parametrize("stalls", [0.0, 0.4])
def test_a_network_learns_over_the_bus(stalls):
    """Weights are written; frames learn, only classify, and learn again; weights are read."""
    net, start = small_net()
    rng = np.random.default_rng(1)
    x = (rng.random((8, 4, 6)) < 0.4).astype(np.int64)
    frames = [(int(rng.integers(3)), int(n not in (3, 4, 6))) for n in range(8)]
    part = LearningNetwork(net, [np.zeros_like(w) for w in start], steps=4, lanes=[2, 3])
    dut = LearningAxi(part)
    weights, expected = start, []
    for frame, (target, learn) in zip(x, frames, strict=True):
        weights, found = net.frame(weights, frame, target if learn else None)
        expected.append(found)
    assert any((a != b).any() for a, b in zip(weights, start, strict=True))
    classes, seen = [], {}

    async def scenario(ctx):
        bus = Bus(ctx, dut)
        regions = list(dut.map.regions.values())
        for layer, region, first in zip(part.layers, regions, start, strict=True):
            await load(bus, layer, region, first)
        await send(ctx, dut, x, frames, random.Random(2), stalls, classes)
        await settled(bus)
        for n, (layer, region) in enumerate(zip(part.layers, regions, strict=True)):
            seen[n] = await dump(bus, layer, region)

    simulate(dut, scenario)
    assert classes == expected
    for n, layer in enumerate(part.layers):
        assert seen[n] == memory_words(layer, weights[n])


def test_weights_are_refused_while_a_frame_is_in_flight():
    net, start = small_net()
    dut = LearningAxi(LearningNetwork(net, start, steps=4, lanes=[4, 1]))
    answers = []

    async def scenario(ctx):
        bus = Bus(ctx, dut)
        base = dut.map.regions["layer0"].base * 4
        answers.append(await bus.write(base, 1))
        ctx.set(dut.frame.valid, 1)
        while not ctx.get(dut.frame.ready):
            await ctx.tick()
        await ctx.tick()
        ctx.set(dut.frame.valid, 0)
        answers.append(await bus.write(base, 2))
        answers.append((await bus.read(base))[0])
        answers.append((await bus.read(8))[1])

    simulate(dut, scenario)
    assert answers == [OKAY, SLVERR, SLVERR, 1]


def test_signals_are_checked():
    with pytest.raises(ValueError, match="2 lanes do not divide 3 outputs"):
        RivalSignal(Rival(np.eye(3, dtype=int), 0), steps=1, lanes=2, bits=2)
    with pytest.raises(ValueError, match="do not fit 2 bits"):
        RivalSignal(Rival(np.array([[1, -1]]), 0), steps=1, lanes=1, bits=2)


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [0, 16])
def test_digits_are_learned_in_hardware(hidden):
    """A training run on digits, frame after frame: every class on the way, and every weight."""
    net, start = digits_net(hidden)
    x, y = digits()
    x, y = x[:40], y[:40]
    weights, _, expected = net.train(start, x, y)
    part = LearningNetwork(net, start, steps=8, lanes=[8, 10] if hidden else [10])
    dut = LearningAxi(part)
    classes, seen = [], {}

    async def scenario(ctx):
        await send(ctx, dut, x, [(int(t), 1) for t in y], random.Random(3), 0.1, classes)
        bus = Bus(ctx, dut)
        await settled(bus)
        for n, layer in enumerate(part.layers):
            seen[n] = await dump(bus, layer, dut.map.regions[f"layer{n}"])

    simulate(dut, scenario)
    assert classes == expected.tolist()
    for n, layer in enumerate(part.layers):
        assert seen[n] == memory_words(layer, weights[n])
