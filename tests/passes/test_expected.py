"""What event-driven layers are planned for: a share of spikes, or those of the recording."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from codesign.boards import get as get_board
from codesign.build import Planned
from codesign.errors import UsageError
from codesign.eventdriven import event_driven
from codesign.frontend import import_qonnx
from codesign.ir import Graph
from codesign.learnstart import starting_rule
from codesign.ops.event_learning import EventLearning
from codesign.ops.event_op import EventOp
from codesign.ops.event_pool import EventPool
from codesign.ops.expected import Expected
from codesign.ops.max_pool import MaxPool
from codesign.passes import EventSynapses, lower, run_passes
from codesign.passes import expected as module
from codesign.passes.expected import expected_spikes
from codesign.plan import Circuit, Goal, partition
from codesign.plan.activity import activity_of, by_data, frame_cycles
from codesign.plan.traffic import traffic_of
from codesign.reference import run
from codesign.reference.events import event_counts
from codesign.train.golden import Golden, save_golden
from tests.spiking.networks import dense_network, event_network, pooled_network


def lowered(model: ModelProto) -> Graph:
    """The network on integer codes."""
    return lower(import_qonnx(model).graph)


def spikes_in(graph: Graph, frames: int, rate: float = 0.3, seed: int = 0) -> np.ndarray:
    """Inputs float32 [frames, steps, ...] of 0 and 1, more of them in early steps."""
    shape = graph.values[graph.inputs[0]].shape
    falling = np.linspace(2 * rate, 0, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    drawn = np.random.default_rng(seed).random((frames, *shape)) < falling
    return np.asarray(drawn, np.float32)


def recording(folder: Path, x: np.ndarray) -> Path:
    """A recording of inputs ``x``."""
    nothing = np.zeros(0, np.int64)
    path = folder / "net.golden.npz"
    save_golden(Golden(x, nothing, np.zeros((0, *x.shape[1:]), np.float32), 1), path)
    return path


def counted(graph: Graph, x: np.ndarray, layer: str) -> np.ndarray:
    """Spikes that ``layer`` reads of frames ``x``: int64 [frames, steps]."""
    node = next(node for node in graph.nodes if node.name == layer)
    (source,) = node.inputs
    codes = run(graph, {graph.inputs[0]: x}, keep=[source])[source]
    return np.asarray((codes != 0).reshape(len(x), codes.shape[1], -1).sum(axis=2))


def test_a_mean_keeps_the_steps_and_is_less_than_a_spike_too_many() -> None:
    counts = np.array([[4, 0, 0, 0, 1], [3, 0, 0, 0, 0], [3, 1, 0, 0, 0]])
    found = Expected.mean_of(counts)
    assert found.spikes == (4, 0, 0, 0, 0) and found.frames == 3  # of 10/3, 1/3, 0, 0, 1/3
    assert (found.mean, found.rounded) == (0.8, 1)
    drawn = np.random.default_rng(1).poisson(0.1, (400, 64))  # ten times as many if each were 1
    assert 0 <= sum(Expected.mean_of(drawn).spikes) - Fraction(int(drawn.sum()), 400) < 1
    assert Expected.mean_of(np.zeros((5, 2), np.int64)).spikes == (0, 0)
    assert "0.8 spikes a step expected, measured on 3 frames" in found.describe()
    assert Expected.evenly(7, 3).describe() == "7 spikes a step expected"


def test_measured_spikes_are_those_of_each_layer(tmp_path: Path) -> None:
    graph = lowered(event_network((24, 12, 6)))
    x = spikes_in(graph, 30)
    found = expected_spikes(graph, "measured", recording(tmp_path, x))
    assert len(found) == 2
    for name, expected in found.items():
        assert expected == Expected.mean_of(counted(graph, x, name)), name
    first = next(iter(found.values()))
    assert first.spikes[0] > 3 * first.spikes[-2] and first.spikes[-1] == 0  # as the steps are


@pytest.mark.parametrize(("at_once", "most"), [(1, 400), (1 << 23, 7)])
def test_few_frames_are_held_and_the_whole_recording_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, most: int
) -> None:
    """One frame at a time gives the same; of a long recording, frames from all over it."""
    graph = lowered(event_network((24, 12, 6)))
    x = spikes_in(graph, 28)
    x[14:] = 0  # sorted, as labels may be
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    monkeypatch.setattr(module, "FRAMES", (1, most))
    found = expected_spikes(graph, "measured", recording(tmp_path, x))
    used = x if most == 400 else x[::4]
    for name, expected in found.items():
        assert expected == Expected.mean_of(counted(graph, used, name))


def test_states_that_go_on_are_counted_from_the_first_frame_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = lowered(dense_network(metadata={"reset_at_window": False}))
    assert any(node.op.carries for node in graph.nodes)
    x = 2 * np.random.default_rng(3).random((45, 7, 6)).astype(np.float32)
    found = expected_spikes(graph, "measured", recording(tmp_path, x))
    (name,) = found
    assert found[name] == Expected.mean_of(counted(graph, x, name))
    monkeypatch.setattr(module, "FRAMES", (1, 20))
    found = expected_spikes(graph, "measured", recording(tmp_path, x))
    assert found[name] == Expected.mean_of(counted(graph, x[:20], name)) and sum(found[name].spikes)


POOLS = [
    ("MaxPool", "behind", {}),
    ("MaxPool", "before", {}),
    ("MaxPool", "behind", {"window": 3, "stride": 1, "pads": 1}),
    ("MaxPool", "behind", {"twice": True}),
    ("AveragePool", "before", {}),
    ("AveragePool", "before", {"twice": True, "shape": (1, 8, 8)}),
]


@pytest.mark.parametrize(("pool", "where", "how"), POOLS)
def test_events_that_pools_hand_on_are_counted(pool: str, where: str, how: dict[str, Any]) -> None:
    """A sum of three is three events: as many as the hardware's model walks through."""
    graph = lowered(pooled_network(pool, where, **how))
    by_events = run_passes(graph, [EventSynapses(expected_spikes(graph, 0.3))])
    x = spikes_in(graph, 12, rate=0.45)
    counts = event_counts(by_events, {graph.inputs[0]: x})
    circuit = partition(by_events)
    traffic = traffic_of(circuit, seen_of(circuit, by_events, x), len(x))
    layers = [layer for layer in circuit.layers if isinstance(layer.head, EventOp)]
    assert len(layers) == len(counts) >= 3
    for layer in layers:
        assert counts[layer.name].ravel().tolist() == traffic[layer.source.name].per_step.tolist()
    assert all(counts[layer.name].sum() > 0 for layer in layers[:-1])


def seen_of(circuit: Circuit, graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    """What the event-driven layers receive."""
    sources = {layer.nodes[0].name: layer.source for layer in by_data(circuit)}
    found = run(graph, {graph.inputs[0]: x}, keep=[v.name for v in sources.values()])
    return {node: found[v.name].reshape(-1, *v.shape) for node, v in sources.items()}


def planned(graph: Graph, expected: dict[str, Expected], ii: int) -> Planned:
    """The design for ``ii`` cycles a frame."""
    circuit = partition(run_passes(graph, [EventSynapses(expected)]))
    return Planned.of(circuit, Goal("ii", ii), get_board("ulx3s"), None)


def test_layers_whose_spikes_differ_get_other_lanes_and_frames_fewer_cycles(
    tmp_path: Path,
) -> None:
    """Few inputs spike, many hidden neurons do: one share for both is wrong for both."""
    graph = lowered(event_network((64, 24, 24), theta=[1]))
    x = spikes_in(graph, 10, rate=0.05)
    first, second = measured = expected_spikes(graph, "measured", recording(tmp_path, x))
    few, many = (measured[name].mean for name in (first, second))
    assert few < 64 * 0.08 and many > 24 * 0.25
    share = (few + many) / (64 + 24)  # the true share of both together
    ours = planned(graph, measured, 100)
    theirs = planned(graph, expected_spikes(graph, share), 100)
    assert ours.plans[first].pe < theirs.plans[first].pe
    assert ours.plans[second].pe > theirs.plans[second].pe
    cycles = []
    for design in (ours, theirs):
        seen = seen_of(design.circuit, design.circuit.graph, x)
        cycles.append(frame_cycles(design.circuit, design.plans, design.flow, seen)[1])
    assert cycles[0] <= 100 and cycles[0] < 0.8 * cycles[1]


def test_the_manifest_says_what_was_expected_and_why(tmp_path: Path) -> None:
    graph = lowered(event_network((24, 12, 6)))
    measured = expected_spikes(graph, "measured", recording(tmp_path, spikes_in(graph, 30)))
    design = planned(graph, measured, 200)
    found = activity_of(design.circuit, design.plans, design.flow)
    assert found is not None and (found.origin, found.frames) == ("measured", 30)
    assert found.expected == {name: one.mean for name, one in measured.items()}
    assert found.describe() == "measured on 30 recorded frames"
    given = planned(graph, expected_spikes(graph, 0.25), 200)
    found = activity_of(given.circuit, given.plans, given.flow)
    assert found is not None and (found.origin, found.frames) == ("share", 0)
    assert list(found.expected.values()) == [6, 3]


def test_layers_that_learn_are_planned_for_what_the_model_makes(tmp_path: Path) -> None:
    """The first layer learns, the one behind it does not: both are measured before learning."""
    graph = lowered(event_network((12, 8, 4)))
    x = spikes_in(graph, 30)
    rule = starting_rule(graph)
    rule = rule.model_copy(update={"layers": dict(list(rule.layers.items())[:1])})
    golden = recording(tmp_path, x)
    plain = expected_spikes(graph, "measured", golden)
    learns = event_driven(graph, "measured", rule, golden)
    heads = [n.op for n in learns.nodes if isinstance(n.op, EventLearning | EventOp)]
    assert [type(op).__name__ for op in heads] == ["EventLearning", "EventDense"]
    assert [op.expected for op in heads] == list(plain.values())
    share = event_driven(graph, None, rule)
    (op,) = (n.op for n in share.nodes if isinstance(n.op, EventLearning))
    assert op.expected == Expected.evenly(3, 5)  # a fifth of 12, as ever


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    graph = lowered(event_network((24, 12, 6)))
    with pytest.raises(UsageError, match="nothing is recorded") as caught:
        expected_spikes(graph, "measured")
    assert "--activity 0.05" in caught.value.hint and "golden" in caught.value.hint
    x = spikes_in(graph, 4)
    with pytest.raises(UsageError, match=r"recorded are inputs \(4, 5, 23\).*\(frames, 5, 24\)"):
        expected_spikes(graph, "measured", recording(tmp_path, x[..., :23]))
    with pytest.raises(UsageError, match=r"recorded are inputs \(0, 5, 24\)"):
        expected_spikes(graph, "measured", recording(tmp_path, x[:0]))
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(UsageError, match="not a file of recorded results"):
        expected_spikes(graph, "measured", tmp_path / "bad.npz")
    for wrong in ("guess", -0.1, 1.5):
        with pytest.raises(UsageError, match="share of inputs that spike") as caught:
            expected_spikes(graph, wrong)  # type: ignore[arg-type]
        assert "'measured'" in caught.value.hint
    with pytest.raises(UsageError, match="no dense layer or convolution"):
        expected_spikes(lowered(dense_network((6, 4))), "measured", recording(tmp_path, x))


def test_expected_spikes_are_stored_with_the_graph(tmp_path: Path) -> None:
    from codesign.ir.serialize import load_graph, save_graph

    graph = lowered(event_network((24, 12, 6)))
    measured = expected_spikes(graph, "measured", recording(tmp_path, spikes_in(graph, 30)))
    made = replace(run_passes(graph, [EventSynapses(measured)]), name="net")
    save_graph(made, tmp_path / "g")
    again = load_graph(tmp_path / "g")
    found = {n.name: n.op.expected for n in again.nodes if isinstance(n.op, EventOp)}
    assert found == measured


def test_a_number_of_an_earlier_version_is_no_list_for_the_steps() -> None:
    """Else a stored graph of it would fail where it is used, by an error of Python's."""
    with pytest.raises(ValueError, match="no list for the steps: 12"):
        EventPool(expected=12, pool=MaxPool((2, 2), (2, 2)))
