"""Cycles between frames: those of frames in a row, whatever the last one of a run does."""

from __future__ import annotations

from itertools import pairwise

import pytest

from codesign import boards
from codesign.frontend import import_qonnx
from codesign.passes import lower
from codesign.plan import Goal, partition, plan_design
from codesign.plan.dataflow import dataflow
from codesign.plan.schedule import exit_lanes, interval, measure, simulate_flow
from tests.cnn_models import Net


def test_the_last_frame_does_not_count() -> None:
    """Windows after a slow layer do the end of a frame sooner when none follows; the harness then
    measured less than the manifest said (corpus seed 150: 445.6 and 448)."""
    net = Net((2, 4, 4), seed=3)
    x = net.quant(net.conv(net.quant("x", 2, 0.25), 2, 2, (1, 1)), 2, 0.25)
    x = net.quant(net.conv(x, 2, 1, (3, 3), pads=[1] * 4), 2, 0.25)
    x = net.conv(x, 1, 2, (3, 3), pads=[1] * 4)
    circuit = partition(lower(import_qonnx(net.model(x)).graph))
    board, first = boards.get("ulx3s"), circuit.layers[0].name
    slow = plan_design(circuit, Goal("smallest"), board)[first]
    plans = {**plan_design(circuit, Goal("ii", 16), board), first: slow}
    flow, beats = (
        dataflow(circuit, plans),
        -(-circuit.target.elements // exit_lanes(circuit, plans)),
    )
    for frames in (4, 5, 20, 64):
        run = simulate_flow(circuit, plans, flow, frames)
        apart = [b - a for a, b in pairwise(run.left[beats - 1 :: beats])]
        assert apart[1:-1] == [64] * (frames - 3) and apart[-1] == 61
        assert interval(run.left, beats, frames) == 64
    assert measure(circuit, plans, flow).ii == 64


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([5, 9], 4),
        ([5, 9, 10], 4),
        ([5, 8, 12, 13], 4),
        ([5, 8, 12, 16, 17], 4),
        ([0, 3, 7, 10, 14, 17, 21, 22], 3.5),
    ],
)
def test_an_even_part_of_the_later_frames(ends: list[int], expected: float) -> None:
    assert interval(ends, 1, len(ends)) == expected
