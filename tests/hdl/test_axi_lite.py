"""AXI4-Lite: handshakes in any order under random stalls, errors, and the map behind it."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from codesign.hdl.loading.axi_lite import OKAY, SLVERR, AxiLite, port_members
from codesign.hdl.loading.load import load_signature
from codesign.hdl.loading.load_map import IDENTITY, VERSION, LoadMap, Region, map_bits, place
from codesign.hdl.loading.loaded_memory import LoadedMemory
from codesign.hdl.stream import Component
from tests.hdl.test_load import simulate

FULL = 15


class Words(Component):
    """A bus of ``depth`` words that answers after a while; others are errors."""

    def __init__(self, depth, delay):
        self._depth, self._delay = depth, delay
        super().__init__({"bus": In(load_signature(8))})

    def elaborate(self, platform):
        from amaranth.hdl import Array, Signal

        m = Module()
        words = Array(Signal(32, name=f"word{n}") for n in range(self._depth))
        wait = Signal(8)
        m.d.sync += self.bus.ack.eq(0)
        with m.If(self.bus.request & ~self.bus.ack):
            m.d.sync += wait.eq(wait + 1)
            with m.If(wait == self._delay):
                m.d.sync += [wait.eq(0), self.bus.ack.eq(1)]
                m.d.sync += self.bus.error.eq(self.bus.address >= self._depth)
                m.d.sync += self.bus.read.eq(words[self.bus.address])
                with m.If(self.bus.write & (self.bus.address < self._depth)):
                    m.d.sync += words[self.bus.address].eq(self.bus.data)
        return m


class Slave(Component):
    """The front end with words behind it."""

    def __init__(self, delay=0):
        self._delay = delay
        super().__init__(port_members(10))

    def elaborate(self, platform):
        m = Module()
        m.submodules.axil = axil = AxiLite(10)
        m.submodules.words = words = Words(16, self._delay)
        wiring.connect(m, axil.bus, words.bus)
        for name, member in port_members(10).items():
            own, inner = getattr(self, name), getattr(axil, name)
            m.d.comb += inner.eq(own) if member.flow is In else own.eq(inner)
        return m


class Channel:
    """Sends what is in its queue, waiting at random; keeps to the protocol."""

    def __init__(self, dut, name, fields, rng, pause):
        self.valid, self.ready = getattr(dut, f"{name}valid"), getattr(dut, f"{name}ready")
        self.fields = [getattr(dut, name + field) for field in fields]
        self.queue, self.rng, self.pause, self.up = [], rng, pause, False

    def drive(self, ctx):
        if not self.up and self.queue and self.rng.random() >= self.pause:
            self.up = True
            for field, value in zip(self.fields, self.queue[0], strict=True):
                ctx.set(field, value)
        ctx.set(self.valid, self.up)

    def sample(self, ctx):
        if self.up and ctx.get(self.ready):
            self.queue.pop(0)
            self.up = False


class Answers:
    """Takes answers, waiting at random; they may not change while they wait."""

    def __init__(self, dut, name, fields, rng, pause):
        self.valid, self.ready = getattr(dut, f"{name}valid"), getattr(dut, f"{name}ready")
        self.fields = [getattr(dut, name + field) for field in fields]
        self.got, self.rng, self.pause, self.held = [], rng, pause, None

    def drive(self, ctx):
        ctx.set(self.ready, self.rng.random() >= self.pause)

    def sample(self, ctx):
        if not ctx.get(self.valid):
            assert self.held is None, "an answer was withdrawn"
            return
        now = tuple(ctx.get(field) for field in self.fields)
        assert self.held in (None, now), "an answer changed"
        self.held = now
        if ctx.get(self.ready):
            self.got.append(now)
            self.held = None


def channels(dut, rng, pause):
    sent = [
        Channel(dut, "aw", ["addr", "prot"], rng, pause),
        Channel(dut, "w", ["data", "strb"], rng, pause),
        Channel(dut, "ar", ["addr", "prot"], rng, pause),
    ]
    got = [Answers(dut, "b", ["resp"], rng, pause), Answers(dut, "r", ["data", "resp"], rng, pause)]
    return sent, got


async def settle(ctx, sent, got, wanted, limit=5000):
    """Run until every queue is empty and as many answers as wanted came."""
    for _ in range(limit):
        for one in (*sent, *got):
            one.drive(ctx)
        for one in (*sent, *got):
            one.sample(ctx)
        await ctx.tick()
        if [len(a.got) for a in got] == wanted:
            return
    raise AssertionError(f"answers {[len(a.got) for a in got]} of {wanted}")


@pytest.mark.parametrize("pause", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("delay", [0, 3])
@pytest.mark.parametrize("seed", range(3))
def test_random_traffic(pause, delay, seed):
    rng, dut = random.Random(seed), Slave(delay)
    writes = [(rng.randrange(0, 24) * 4, rng.getrandbits(32), rng.choice([FULL, FULL, FULL, 0, 3]))
              for _ in range(40)]  # fmt: skip
    memory, answers = [0] * 16, []
    for address, data, strobes in writes:
        good = address < 64 and strobes == FULL
        answers.append((OKAY if good else SLVERR,))
        if good:
            memory[address // 4] = data

    async def bench(ctx):
        sent, got = channels(dut, rng, pause)
        sent[0].queue = [(address, 0) for address, _, _ in writes]
        sent[1].queue = [(data, strobes) for _, data, strobes in writes]
        await settle(ctx, sent, got, [len(writes), 0])
        assert got[0].got == answers
        order = [rng.randrange(0, 20) for _ in range(40)]
        sent[2].queue = [(n * 4, 0) for n in order] + [(2, 0)]
        sent[0].queue = [(4 * 63, 0)] * 5  # writes that fail, meanwhile
        sent[1].queue = [(1, FULL)] * 5
        await settle(ctx, sent, got, [len(writes) + 5, len(order) + 1])
        want = [(memory[n], OKAY) if n < 16 else (0, SLVERR) for n in order]
        assert got[1].got == [*want, (0, SLVERR)]
        assert got[0].got[len(writes) :] == [(SLVERR,)] * 5

    simulate(dut, bench)


@pytest.mark.parametrize("first", ["aw", "w"])
def test_address_and_data_in_either_order(first):
    dut = Slave()

    async def bench(ctx):
        rng = random.Random(0)
        sent, got = channels(dut, rng, 0.0)
        address, data = sent[0], sent[1]
        early, late = (address, data) if first == "aw" else (data, address)
        early.queue = [(8, 0) if early is address else (77, FULL)]
        for _ in range(10):
            await settle(ctx, sent, got, [0, 0])
        assert not early.queue and not got[0].got
        late.queue = [(8, 0) if late is address else (77, FULL)]
        await settle(ctx, sent, got, [1, 0])
        sent[2].queue = [(8, 0)]
        await settle(ctx, sent, got, [1, 1])
        assert got[1].got == [(77, OKAY)]

    simulate(dut, bench)


def test_reads_and_writes_take_turns():
    dut = Slave()

    async def bench(ctx):
        sent, got = channels(dut, random.Random(0), 0.0)
        sent[0].queue, sent[1].queue = [(0, 0)] * 50, [(n, FULL) for n in range(50)]
        sent[2].queue = [(0, 0)] * 50
        for _ in range(120):
            for one in (*sent, *got):
                one.drive(ctx)
            for one in (*sent, *got):
                one.sample(ctx)
            await ctx.tick()
        assert min(len(a.got) for a in got) >= 10
        assert abs(len(got[0].got) - len(got[1].got)) <= 2

    simulate(dut, bench)


def test_regions_do_not_overlap():
    regions = place({"a": 3, "b": 7, "c": 7, "d": 0})
    used = [set(range(r.base, r.base + (1 << r.bits))) for r in regions.values()]
    assert all(r.base % (1 << r.bits) == 0 and r.base >= 4 for r in regions.values())
    assert sum(map(len, used)) == len(set().union(*used))
    assert max(set().union(*used)) < 1 << map_bits(regions)


class Mapped(Component):
    """A map with two memories behind it."""

    def __init__(self):
        self.map = LoadMap({"a": Region(8, 3), "b": Region(16, 2)})
        self._memories = {"a": LoadedMemory([1, 2, 3], 40, "lut"), "b": LoadedMemory([9], 8, "lut")}
        super().__init__({"bus": In(load_signature(self.map.address_bits)), "busy": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.map = self.map
        wiring.connect(m, wiring.flipped(self.bus), self.map.bus)
        m.d.comb += self.map.busy.eq(self.busy)
        for name, memory in self._memories.items():
            m.submodules[name] = memory
            wiring.connect(m, getattr(self.map, f"load_{name}"), memory.load)
        return m


def test_map():
    from tests.hdl.test_load import access

    dut = Mapped()

    async def bench(ctx):
        assert [await access(ctx, dut.bus, a) for a in range(3)] == [
            (IDENTITY, 0),
            (VERSION, 0),
            (0, 0),
        ]
        for bad in (3, 4, 7, 17, 20, 31):
            assert (await access(ctx, dut.bus, bad))[1] == 1, bad
        for bad in (0, 1, 2, 3):
            assert (await access(ctx, dut.bus, bad, 5))[1] == 1
        assert [(await access(ctx, dut.bus, a))[0] for a in (8, 10, 12, 16)] == [1, 2, 3, 9]
        assert (await access(ctx, dut.bus, 10, 7))[1] == 0
        ctx.set(dut.busy, 1)
        assert await access(ctx, dut.bus, 2) == (1, 0)
        assert (await access(ctx, dut.bus, 11, 7))[1] == 1  # a frame is in flight
        assert (await access(ctx, dut.bus, 16))[1] == 1
        ctx.set(dut.busy, 0)
        assert (await access(ctx, dut.bus, 11, 8))[1] == 0
        assert [(await access(ctx, dut.bus, a))[0] for a in (10, 11)] == [7, 8]

    simulate(dut, bench)


def test_wrong_sizes():
    with pytest.raises(ValueError, match="3 bits or more, got 2"):
        AxiLite(2)
