"""Delays outside of loops wait for their frame; a loop's own does not."""

from __future__ import annotations

import numpy as np

from codesign.exchange import Metadata
from codesign.frontend import import_qonnx
from codesign.frontend.xylo import Xylo, import_xylo
from codesign.ir import Graph
from codesign.ops.delay import Delay
from codesign.passes import lower
from codesign.plan.loops import frames_ahead
from codesign.plan.partition import partition
from codesign.reference import run
from tests.frontend import xylo_network as x
from tests.spiking.networks import Network, finished, lif


def lowered(**changes: object) -> tuple[Graph, Graph]:
    """Before and after: hidden neurons that hear each other, and readouts that hear them."""
    time = Metadata(steps=4, dt=1e-3, encoding="events", readout="count", reset_at_window=True)
    made = import_xylo(Xylo(**{**x.parameters(1), **changes}), time)
    graph = import_qonnx(made.scan).graph
    return graph, lower(graph)


def test_a_loop_and_what_hears_it() -> None:
    before, after = lowered()
    (loop,) = (n for n in before.nodes if isinstance(n.op, Delay))
    assert not loop.op.waits and len(before.consumers(loop.output)) == 2
    first, second = (n for n in after.nodes if isinstance(n.op, Delay))
    assert (first.op.waits, second.op.waits) == (False, True)
    assert first.inputs == second.inputs and first.output != second.output
    for delay in (first, second):
        assert len(after.consumers(delay.output)) == 1
    codes = np.random.default_rng(1).integers(0, 3, (2, 4, x.INPUTS))
    results = [run(g, {g.inputs[0]: codes})[g.outputs[0]] for g in (before, after)]
    assert (results[0] == results[1]).all()


def test_no_loop() -> None:
    """Nothing heard back: the only delay stands in no loop."""
    _, after = lowered(weights_rec=np.zeros((x.HIDDEN, x.HIDDEN, 1)))
    (only,) = (n for n in after.nodes if isinstance(n.op, Delay))
    assert only.op.waits


def test_what_hears_a_chain_of_delays_in_a_loop() -> None:
    """Each double waits for what its own double gives: the first step of none is offered early."""
    net = Network((3,))
    drive = net.dense(net.quant("x", "xq", 2, 4), (3, 4), "fc", frac=4)
    seen = [net.state(f"seen{d}", (1, 4)) for d in range(3)]
    back = net.node("Add", [drive, net.dense(seen[2], (4, 4), "again", frac=6)], "total")
    net.node("Identity", [net.neuron(lif(), "lif", back, (1, 4))], "seen0_next")
    for d in (1, 2):
        net.node("Identity", [seen[d - 1]], f"seen{d}_next")
    out = net.neuron(lif(), "out", net.dense(seen[2], (4, 3), "late", frac=6), (1, 3))
    before = import_qonnx(finished(net, out, (3,), 2, reset_at_window=False)).graph
    after = lower(before)
    delays = {n.output: n for n in after.nodes if isinstance(n.op, Delay)}
    assert sorted(n.op.waits for n in delays.values()) == [False] * 3 + [True] * 3
    for node in delays.values():
        source = delays.get(node.inputs[0])
        assert source is None or source.op.waits == node.op.waits
    ahead = frames_ahead(partition(after))
    assert not ahead.keys() & {"late", "out"}
    codes = np.random.default_rng(1).integers(-8, 8, (5, 2, 3))
    results = [run(g, {g.inputs[0]: codes})[g.outputs[0]] for g in (before, after)]
    assert (results[0] == results[1]).all()
