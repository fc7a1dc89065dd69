"""Forks, FIFOs and joins as a graph: exact codes, cycles equal to the model, deadlock visible."""

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out

from codesign.hdl import events
from codesign.hdl.fifo import Fifo
from codesign.hdl.fork import Fork
from codesign.hdl.matvec import MatVec
from codesign.hdl.network import End, Link, Network
from codesign.hdl.stream import Component, beat, range_shape, stream_signature
from codesign.hdl.timing import Join
from tests.hdl import harness

SHAPE = range_shape(0, 7)


class Adder(Component):
    """Sum of codes and of accumulators up to ``high``, for this test only."""

    def __init__(self, lanes: int, high: int) -> None:
        self._lanes = lanes
        super().__init__(
            {
                "i0": In(stream_signature(SHAPE, lanes)),
                "i1": In(stream_signature(range_shape(0, high), lanes)),
                "o": Out(stream_signature(range_shape(0, high + 7), lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, both = Signal(), Signal()
        m.d.comb += [
            ce.eq(~self.o.valid | self.o.ready),
            both.eq(self.i0.valid & self.i1.valid),
            self.i0.ready.eq(ce & both),
            self.i1.ready.eq(ce & both),
        ]
        with m.If(ce):
            m.d.sync += [self.o.valid.eq(both), self.o.payload.last.eq(self.i1.payload.last)]
            for lane in range(self._lanes):
                total = self.i0.payload.data[lane] + self.i1.payload.data[lane]
                m.d.sync += self.o.payload.data[lane].eq(total)
        return m


WEIGHTS = np.random.default_rng(1).integers(0, 8, (6, 6))


def residual(depth: int, lanes: int = 2):
    """``x + W x``: the straight branch through a FIFO, the other through a folded matrix."""
    matvec = MatVec(WEIGHTS, in_lo=0, in_hi=7, pe=lanes, simd=lanes)
    shape = beat(SHAPE, lanes)
    parts = {"fork": Fork(shape, 2), "matvec": matvec, "fifo": Fifo(shape, depth)}
    parts["add"] = Adder(lanes, matvec.acc_hi)
    links = [
        Link(End("fork", "o0"), End("fifo", "i")),
        Link(End("fork", "o1"), End("matvec", "i")),
        Link(End("fifo", "o"), End("add", "i0")),
        Link(End("matvec", "o"), End("add", "i1")),
    ]
    return Network(parts, links, {"i": End("fork", "i")}, {"o": End("add", "o")})


def modelled(network: Network, beats: int) -> tuple[list[int], list[int]]:
    """Input and output transfer cycles of :func:`residual` by the event models."""
    models = {n: p.timing() for n, p in network.parts.items() if n != "add"}
    models["add"] = Join(1, ["i0", "i1"])
    source, sink = events.Source(beats), events.Sink()
    first = events.link(source, models["fork"])
    for out, into, target in (("o0", "i", "fifo"), ("o1", "i", "matvec")):
        events.link(models["fork"], models[target], out, into)
    events.link(models["fifo"], models["add"], "o", "i0")
    events.link(models["matvec"], models["add"], "o", "i1")
    last = events.link(models["add"], sink)
    events.simulate([source, *models.values(), sink])
    return first.taken.at, last.taken.at


@pytest.mark.parametrize("depth", [3, 4, 5, 7, 12])
@pytest.mark.parametrize("lanes", [2, 3])
def test_residual_is_exact_and_timed_as_modelled(depth, lanes):
    x = np.random.default_rng(2).integers(0, 8, (6, 6))
    network = residual(depth, lanes)
    trace = harness.run(network, x, 6)
    assert (trace.frames == x + x @ WEIGHTS.T).all()
    assert modelled(residual(depth, lanes), 6 * len(x) // lanes) == (trace.taken, trace.given)


@pytest.mark.parametrize("stalls", [(0.4, 0.0), (0.0, 0.6), (0.3, 0.3)])
def test_residual_under_stalls(stalls):
    x = np.random.default_rng(2).integers(0, 8, (8, 6))
    trace = harness.run(residual(4), x, 6, stall_in=stalls[0], stall_out=stalls[1], seed=3)
    assert (trace.frames == x + x @ WEIGHTS.T).all()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_fifo_too_short_deadlocks_in_model_and_circuit_alike(depth):
    x = np.random.default_rng(2).integers(0, 8, (3, 6))
    expected = modelled(residual(depth), 9)[1]
    if len(expected) == 9:
        assert harness.run(residual(depth), x, 6).given == expected
    else:
        with pytest.raises(AssertionError, match=f"{len(expected)} of 9 beats"):
            harness.run(residual(depth), x, 6, timeout=300)


@pytest.mark.parametrize("depth", [1, 2, 3, 8, 33])
def test_fifo_under_stalls(depth):
    x = np.random.default_rng(depth).integers(0, 8, (20, 4))
    for stalls in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.2, 0.4)):
        fifo = Fifo(beat(SHAPE, 2), depth)
        trace = harness.run(fifo, x, 4, stall_in=stalls[0], stall_out=stalls[1], seed=1)
        assert (trace.frames == x).all()


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="one place"):
        Fifo(beat(SHAPE, 1), 0)
    with pytest.raises(ValueError, match="two outputs"):
        Fork(beat(SHAPE, 1), 1)
