"""Which layers become event-driven, and that they compute what they did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codesign.errors import UsageError
from codesign.frontend import import_qonnx
from codesign.ir import Graph
from codesign.ops.expected import Expected
from codesign.passes import EventSynapses, lower, run_passes
from codesign.passes.expected import expected_spikes
from codesign.plan import partition
from codesign.reference import run
from tests.spiking.networks import dense_network, event_network, pooled_network


def forms(graph: Graph) -> list[str]:
    """The layers of the circuit, without neurons and what comes after the last of them."""
    kinds = ["+".join(node.op.kind for node in x.nodes) for x in partition(graph).layers]
    return [kind for kind in kinds if kind.startswith(("event", "max", "sum_pool+"))]


@pytest.mark.parametrize(
    ("pool", "where", "how", "found"),
    [
        ("MaxPool", "behind", {}, ["event_conv", "event_pool", "event_dense"]),
        ("MaxPool", "before", {}, ["event_pool", "event_conv", "event_dense"]),
        ("AveragePool", "behind", {}, ["event_conv", "event_pool", "event_dense"]),
        ("AveragePool", "before", {"depthwise": True}, ["event_pool", "event_conv", "event_dense"]),
        (
            "MaxPool",
            "behind",
            {"twice": True},
            ["event_conv", "event_pool", "event_pool", "event_dense"],
        ),
    ],
)
def test_pools_before_synapses_work_on_events(
    pool: str, where: str, how: dict[str, Any], found: list[str]
) -> None:
    before = lower(import_qonnx(pooled_network(pool, where, **how)).graph)
    expected = expected_spikes(before, 0.25)
    after = run_passes(before, [EventSynapses(expected)])
    assert forms(after) == found
    x = np.random.default_rng(1).integers(0, 2, (20, *before.values[before.inputs[0]].shape))
    given = {before.inputs[0]: x.astype(np.float32)}
    keep = [name for name in after.values if name in before.values]
    ours, theirs = (run(graph, given, keep=keep) for graph in (before, after))
    assert all((ours[name] == theirs[name]).all() for name in keep)


def test_what_a_pool_makes_is_what_its_reader_is_planned_for() -> None:
    graph = lower(import_qonnx(pooled_network("AveragePool", "before")).graph)
    expected = expected_spikes(graph, 0.25)
    eight = Expected.evenly(8, 3)
    assert (expected["pool0"], expected["conv0"]) == (eight, eight)  # of 32: each in one window
    graph = lower(import_qonnx(pooled_network("MaxPool", "before")).graph)
    expected = expected_spikes(graph, 0.25)
    # Of 8 windows, 1 - 0.75**4 of them.
    assert (expected["pool0"], expected["conv0"]) == (eight, Expected.evenly(6, 3))


def test_counts_are_not_pooled_by_their_largest() -> None:
    """Only 0 and 1 have a largest that is any of them: the pool of counts stays dense."""
    model = pooled_network("MaxPool", "behind", spike_levels=3, reset_timing="same")
    graph = lower(import_qonnx(model).graph)
    after = run_passes(graph, [EventSynapses(expected_spikes(graph, 0.25))])
    assert forms(after) == ["event_conv", "max_pool", "event_dense"]


def test_activity_is_a_share_of_spikes_between_layers() -> None:
    graph = lower(import_qonnx(event_network()).graph)
    with pytest.raises(UsageError, match="share of inputs that spike in a step, got 0"):
        expected_spikes(graph, 0)
    model = dense_network((6, 4))
    with pytest.raises(UsageError, match="no dense layer or convolution"):
        expected_spikes(lower(import_qonnx(model, name="a").graph), 0.5)
