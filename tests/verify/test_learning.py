"""Designs that learn: whole training runs proven, faults found, what cannot learn refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codesign.api import Design, describe_failure, generate
from codesign.builddir import BuildDir
from codesign.errors import UnsupportedModel, UsageError
from codesign.frontend import import_qonnx
from codesign.ir import Graph, Node
from codesign.ir.serialize import load_graph, save_graph
from codesign.learnfile import LearnFile, read_learning
from codesign.learning import LearningLayer, Rival
from codesign.learning.header import with_header
from codesign.learnstart import starting_rule
from codesign.neurons import Leak
from codesign.ops.event_learning import EventLearning
from codesign.passes import lower
from codesign.reference.learning import addresses, from_words, to_words
from codesign.train.spiking.lessons import save_lessons
from codesign.verify.learning import Pupil, compared
from codesign.verify.lessons import random_lessons, read_lessons
from tests.spiking import networks

SIZES, STEPS = (6, 4, 3), 3


def rule_of(model: Any, **changes: Any) -> LearnFile:
    """A starting rule, with fields of every layer replaced; weights change a lot in few frames."""
    data = starting_rule(lower(import_qonnx(model).graph)).model_dump()
    for layer in data["layers"].values():
        layer.update({"rate_shift": 3, "margin": 4, **changes})
    return LearnFile.model_validate(data)


@pytest.fixture(scope="module")
def design(tmp_path_factory: pytest.TempPathFactory) -> Design:
    """6-4-3 neurons, 3 steps; both layers learn."""
    model = networks.event_network(SIZES, STEPS)
    return generate(model, tmp_path_factory.mktemp("learning") / "build", learn=rule_of(model))


def test_training_runs_are_proven(design: Design) -> None:
    report = design.verify(random_frames=150, cocotb=False)
    links = {e.link for e in report.evidence}
    assert {
        "qonnx = reference",
        "model = layers before they learn",
        "reference = RTL",
        "weights over AXI4-Lite",
        "cycles predicted = measured",
    } <= links
    found = report.learning
    assert found is not None and found.frames == 120 and found.test_frames == 30
    assert found.weights == 6 * 4 + 4 * 3 and found.weights_changed > 10
    assert found.words > 1000 and len(found.curve) == 20
    assert found.cycles_passing < found.cycles_learning
    events = report.events
    assert events is not None and events.origin == "for a share of spikes"
    first, second = events.layers
    assert (first.expected, second.expected) == (2, 1) and 0.5 < first.seen < 4
    assert 0 < second.seen <= 4
    assert sum(e.link == "cycles predicted = measured" for e in report.evidence) == 3


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Design:
    """2-3 neurons, 3 steps, whose input comes as address events: two steps of them are header."""
    model = networks.event_network((2, 3), STEPS)
    path = tmp_path_factory.mktemp("events") / "build"
    return generate(model, path, learn=rule_of(model), input="events")


def test_training_runs_of_events_are_proven(events: Design) -> None:
    manifest = BuildDir(events.path).manifest
    port = manifest.input
    assert port.events is not None and port.events.steps == 2 + STEPS and port.data_bits == 8
    assert [layer.simd for layer in manifest.layers if layer.style == "event"] == [0]
    report = events.verify(random_frames=40, cocotb=False)
    assert report.ok and report.learning is not None and report.learning.weights_changed
    found = [e.note for e in report.evidence if e.link == "cycles predicted = measured"]
    assert len(found) == 3 and len(set(found)) == 3


def test_another_header_of_events_is_found(events: Design) -> None:
    """Other targets, or no learning, in the reference than on the wire."""
    pupil, frames = run_of(events)
    lessons = random_lessons(60, pupil.shape, pupil.classes, 5)
    x, y = lessons.x, lessons.y
    for other in (pupil.frames(x, (y + 1) % 3, True), pupil.frames(x, y, False)):
        codes, weights = compared(pupil, frames, pupil.reference(other), "another header")
        assert codes.mismatches and weights.mismatches


def test_a_header_without_a_class_is_refused(events: Design) -> None:
    pupil, frames = run_of(events)
    frames = frames.reshape(len(frames), *pupil.circuit.source.shape)
    frames[7, 0, 1] = frames[7, 1, 0] = 1  # both bits of the target: 3
    with pytest.raises(ValueError, match=r"target of frame 7 is 3, not a class of 0\.\.2"):
        pupil.reference(frames)
    with pytest.raises(ValueError, match="'learn' of frame 1 is 2, not 0 or 1"):
        with_header(frames[:3, 2:], np.array([0, 2, 1]), np.zeros(3, np.int64), 3)


def run_of(design: Design, root: Path | None = None) -> tuple[Pupil, np.ndarray]:
    """A design (with the model in ``root``) and frames of which most learn."""
    pupil = Pupil.open(BuildDir(design.path if root is None else root))
    lessons = random_lessons(60, pupil.shape, pupil.classes, 5)
    return pupil, pupil.frames(lessons.x, lessons.y, True)


def other_rule(graph: Graph, layer: int, **changes: Any) -> Graph:
    """``graph`` where the rule of a learning layer has other fields."""
    nodes, seen = [], 0
    for node in graph.nodes:
        if isinstance(node.op, EventLearning):
            if seen == layer:
                rule = replace(node.op.layer.rule, **changes)
                op = replace(node.op, layer=replace(node.op.layer, rule=rule))
                node = Node(node.name, op, node.inputs, node.outputs)
            seen += 1
        nodes.append(node)
    return graph.with_nodes(nodes)


FAULTS: dict[str, tuple[int, dict[str, Any]]] = {
    "leak of the inputs' traces": (0, {"pre_leak": Leak("mul_floor", np.array([5]), 3)}),
    "leak of the outputs' traces": (0, {"post_leak": Leak("mul_floor", np.array([3]), 3)}),
    "rounding": (0, {"rounding": "floor"}),
    "rate": (1, {"rate_shift": 4}),
    "shift of G": (0, {"pre_shift": 1}),
    "shift of H": (0, {"post_shift": 3}),
    "no H at all": (0, {"post_shift": None}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_another_rule_is_found(design: Design, tmp_path: Path, fault: str) -> None:
    """One shift or one rounding of the reference is another than the circuit's."""
    layer, changes = FAULTS[fault]
    shutil.copytree(design.path, tmp_path / "build")
    save_graph(
        other_rule(load_graph(design.path / "model"), layer, **changes), tmp_path / "build/model"
    )
    pupil, frames = run_of(design, tmp_path / "build")
    codes, weights = compared(pupil, frames, pupil.reference(frames), fault)
    assert codes.mismatches and weights.mismatches
    assert codes.first is not None and weights.first is not None


def test_another_order_is_found(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces that see a spike a step late."""
    pupil, frames = run_of(design)
    forward = LearningLayer.forward

    def late(self: LearningLayer, state: Any, x: np.ndarray) -> Any:
        return replace(forward(self, state, x), pre=self.rule.decay(state.pre, state.x))

    monkeypatch.setattr(LearningLayer, "forward", late)
    codes, weights = compared(pupil, frames, pupil.reference(frames), "late traces")
    assert codes.mismatches and weights.mismatches


def test_another_margin_is_found(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    pupil, frames = run_of(design)
    step = Rival.step
    monkeypatch.setattr(Rival, "step", lambda self, *a: step(replace(self, margin=0), *a))
    codes, _ = compared(pupil, frames, pupil.reference(frames), "margin")
    assert codes.mismatches


def test_missing_and_surplus_words_are_found(design: Design) -> None:
    pupil, frames = run_of(design)
    found = pupil.reference(frames)
    assert not any(e.mismatches for e in compared(pupil, frames, found, "as it is"))
    for name, log in found.logs.items():
        for other in (log[:-1], np.concatenate([log, log[-1:]])):
            changed = replace(found, logs={**found.logs, name: other})
            (codes, _) = compared(pupil, frames, changed, name)
            assert codes.mismatches == 1, name


def test_a_weight_that_differs_is_named(design: Design) -> None:
    pupil, frames = run_of(design)
    found = pupil.reference(frames)
    name = pupil.manifest.learning[1].layer
    other = {**found.weights, name: found.weights[name] + np.eye(4, 3, dtype=np.int64)}
    _, weights = compared(pupil, frames, replace(found, weights=other), "weights")
    assert weights.mismatches == 3 and weights.first is not None
    assert weights.first.tensor == f"{name}.weights" and weights.first.index == 0


def test_a_circuit_with_another_rule_fails_to_verify(tmp_path: Path) -> None:
    model = networks.event_network(SIZES[:1] + SIZES[2:], STEPS)
    made = generate(model, tmp_path / "a", learn=rule_of(model))
    other = generate(model, tmp_path / "b", learn=rule_of(model, rate_shift=4))
    shutil.copy(other.path / "rtl/codesign_top.v", made.path / "rtl/codesign_top.v")
    from codesign.verify import verify

    report = verify(BuildDir(made.path), random_frames=40, cocotb=False)
    assert not report.ok and "mismatches" in describe_failure(report)


def test_words_of_the_bus_are_the_weights(design: Design) -> None:
    rng = np.random.default_rng(0)
    for region in BuildDir(design.path).manifest.learning:
        most = 1 << (region.weight_bits - 1)
        weights = rng.integers(-most, most, (region.inputs, region.outputs))
        words = to_words(region, weights)
        assert len(words) == len(addresses(region))
        assert (from_words(region, words) == weights).all()


# What is refused.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("classes"), "field 'classes'"),
        (lambda d: d["layers"]["lif0"].pop("rounding"), "rounding': Field required"),
        (lambda d: d["layers"]["lif0"].update(extra=1), "extra': Extra inputs"),
        (lambda d: d["layers"]["lif0"]["pre"].update(overflow="wrap"), "pre.overflow"),
        (lambda d: d.update(version=2), "field 'version'"),
    ],
)
def test_every_field_of_a_rule_must_stand_there(tmp_path: Path, change: Any, message: str) -> None:
    data = rule_of(networks.event_network(SIZES, STEPS)).model_dump()
    change(data)
    path = tmp_path / "rule.json"
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match=message):
        read_learning(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": {"bits": 8, "frac": 12, "overflow": "sat_step"}}, "give weight more bits"),
        ({"weight": {"bits": 8, "frac": 4, "overflow": "sat_step"}}, "at least 6"),
        ({"signs": {"kind": "random"}}, "'seed' stands with kind 'random'"),
        ({"signs": {"kind": "identity"}}, "identity needs an output a class"),
        ({"pre": {"bits": 3, "frac": 3, "overflow": "sat_step"}}, "does not fit 0..7"),
        ({"current_rounding": "model"}, "give current_rounding"),
        ({"signal_bits": 2}, "give signal_bits more bits"),
    ],
)
def test_rules_that_do_not_fit_are_refused(tmp_path: Path, changes: Any, message: str) -> None:
    model = networks.event_network(SIZES, STEPS)
    rule = rule_of(model, **changes)
    with pytest.raises(UsageError) as caught:
        generate(model, tmp_path / "build", learn=rule)
    assert message in str(caught.value) and "layer 'lif0'" in str(caught.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: networks.event_network(SIZES, STEPS, spike_levels=3), "one spike level"),
        (
            lambda: networks.event_network(SIZES, STEPS, reset="zero", reset_timing="same"),
            "reset_timing 'next'",
        ),
        (lambda: networks.dense_network(SIZES, STEPS), "learn read spikes"),
        (lambda: networks.conv_network(), "learn read spikes"),
    ],
)
def test_networks_that_cannot_learn_are_refused(tmp_path: Path, model: Any, message: str) -> None:
    rule = rule_of(networks.event_network(SIZES, STEPS))
    with pytest.raises((UnsupportedModel, UsageError), match=message):
        generate(model(), tmp_path / "build", learn=rule)


def late_network(loop: bool) -> Any:
    """6-4-3 neurons; the last layer reads its own spikes of the step before too (``loop``), or
    those of the layer before it a step late."""
    net = networks.Network((6,))
    drive = net.dense(net.quant("x", "xq", 0, 1, signed=False), (6, 4), "fc0", frac=6)
    first = net.neuron(networks.lif(), "lif0", drive, (1, 4))
    seen = net.state("seen", (1, 3 if loop else 4))
    if loop:
        drive = net.dense(first, (4, 3), "fc1", frac=6)
        drive = net.node("Add", [drive, net.dense(seen, (3, 3), "again", frac=6)], "total")
    else:
        drive = net.dense(seen, (4, 3), "fc1", frac=6)
    at = net.neuron(networks.lif(), "lif1", drive, (1, 3))
    net.node("Identity", [at if loop else first], "seen_next")
    return networks.finished(net, at, (3,), STEPS)


@pytest.mark.parametrize(
    ("loop", "where", "what"),
    [(True, "layer 'lif1'", "a recurrent layer"), (False, "node 'seen_step_delay'", "a delay")],
)
@pytest.mark.parametrize("named", [("lif0",), ("lif1",), ("lif0", "lif1")])
def test_what_is_recurrent_or_late_is_refused_by_name(
    tmp_path: Path, loop: bool, where: str, what: str, named: tuple[str, ...]
) -> None:
    """Also where only the layer before it is to learn; and there is no rule to begin with."""
    rule = rule_of(networks.event_network(SIZES, STEPS), signs={"kind": "random", "seed": 1})
    rule = rule.model_copy(update={"layers": {n: rule.layers[n] for n in named}})
    with pytest.raises(UnsupportedModel, match=f"networks with {what} do not learn") as caught:
        generate(late_network(loop), tmp_path / "build", learn=rule)
    assert where in str(caught.value) and not (tmp_path / "build").exists()
    with pytest.raises(UnsupportedModel, match=f"networks with {what} do not learn"):
        starting_rule(lower(import_qonnx(late_network(loop)).graph))


def test_weights_are_written_by_learning_or_by_the_bus(tmp_path: Path) -> None:
    """Layers that learn have their weights on AXI4-Lite anyway."""
    model = networks.event_network(SIZES, STEPS)
    message = "--runtime-weights and --learn exclude each other"
    with pytest.raises(UsageError, match=message):
        generate(model, tmp_path / "build", learn=rule_of(model), runtime_weights=True)
    assert not (tmp_path / "build").exists()


def test_unknown_layers_and_gaps_are_refused(tmp_path: Path) -> None:
    model = networks.event_network(SIZES, STEPS)
    rule = rule_of(model)
    first, last = rule.layers.values()
    odd = rule.model_copy(update={"layers": {"nobody": first}})
    with pytest.raises(UsageError, match="'nobody', the network has lif0, lif1"):
        generate(model, tmp_path / "build", learn=odd)
    gap = rule.model_copy(update={"layers": {"lif1": last}})
    with pytest.raises(UnsupportedModel, match="'lif0' does not learn, a layer behind it does"):
        generate(model, tmp_path / "build", learn=gap)


def test_bad_lessons_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    good = {"frames": np.zeros((20, 3, 6), np.uint8), "labels": np.zeros(20, np.int64)}
    for change, message in (
        ({"labels": np.full(20, 3)}, "label 0 is 3, the network has classes 0..2"),
        ({"frames": np.full((20, 3, 6), 2)}, "spikes are 0 and 1"),
        ({"frames": np.zeros((20, 4, 6))}, r"takes \(samples, 3, 6\)"),
        ({"frames": np.array(["a"])}, "hold numbers"),
        ({"test_frames": good["frames"]}, "array 'test_labels' is missing"),
    ):
        np.savez(path, **{**good, **change})
        with pytest.raises(UsageError, match=message):
            read_lessons(path, (3, 6), 3)
    path.write_text("no archive")
    with pytest.raises(UsageError, match="npz"):
        read_lessons(path, (3, 6), 3)
    with pytest.raises(UsageError, match="cannot read"):
        read_lessons(tmp_path / "none.npz", (3, 6), 3)


def event_lessons() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """20 labelled frames, the last silent, and 10 to test with, 3 steps of 6 inputs: as frames, and
    as events."""
    rng = np.random.default_rng(0)
    dense: dict[str, np.ndarray] = {}
    events: dict[str, np.ndarray] = {}
    for prefix, count in (("", 20), ("test_", 10)):
        x = rng.integers(0, 2, (count, 3, 6))
        x[19:] = 0
        labels = {f"{prefix}labels": rng.integers(0, 3, count)}
        dense |= {f"{prefix}frames": x, **labels}
        names = (prefix + name for name in ("frame", "time", "address"))
        events |= {**dict(zip(names, np.nonzero(x), strict=True)), **labels}
    return dense, events


def test_lessons_of_events_are_those_of_frames(tmp_path: Path) -> None:
    dense, events = event_lessons()
    found = []
    for name, arrays in (("frames.npz", dense), ("events.npz", events)):
        np.savez(tmp_path / name, **arrays)  # type: ignore[arg-type]
        found.append(read_lessons(tmp_path / name, (3, 6), 3))
    for name in ("x", "y", "test_x", "test_y"):
        assert (getattr(found[0], name) == getattr(found[1], name)).all(), name
    alone = {name: a for name, a in events.items() if not name.startswith("test_")}
    np.savez(tmp_path / "alone.npz", **alone, frames=20)  # type: ignore[arg-type]
    cut = read_lessons(tmp_path / "alone.npz", (3, 6), 3)
    assert (len(cut.x), len(cut.test_x)) == (16, 4)


def test_events_of_a_camera_become_lessons(tmp_path: Path) -> None:
    """Ticks become steps; written as frames and as address events they are the same lessons."""
    rng = np.random.default_rng(1)
    t = np.sort(rng.integers(0, 90, (50, 12)), axis=1)
    camera = {"t": t.reshape(-1), "x": rng.integers(0, 6, 600), "start": np.arange(51) * 12}
    np.savez(tmp_path / "camera.npz", **camera, label=rng.integers(0, 3, 50), size=6, duration=90)
    found = []
    for name, events in (("frames.npz", False), ("events.npz", True)):
        counts = save_lessons(
            "events", tmp_path / name, steps=3, encoding="auto", seed=0,
            data=tmp_path / "camera.npz", events=events,
        )  # fmt: skip
        assert counts == {"frames": 40, "test_frames": 10}
        with np.load(tmp_path / name) as file:
            assert ("address" in file.files) == events and ("frames" in file.files) != events
        found.append(read_lessons(tmp_path / name, (3, 6), 3))
    for name in ("x", "y", "test_x", "test_y"):
        assert (getattr(found[0], name) == getattr(found[1], name)).all(), name


def test_bad_lessons_of_events_are_refused(tmp_path: Path) -> None:
    _, good = event_lessons()
    swapped = good["time"].copy()
    swapped[:2] = swapped[1::-1] + [1, 0]
    for change, message in (
        ({"address": good["address"] + 5}, r"frame 0, event \d: address .* lies outside 0..5"),
        ({"time": good["time"] + 1}, r"time step 3 lies outside 0..2"),
        ({"time": swapped}, "stands after"),
        ({"address": 0 * good["address"]}, "is the same as the one before"),
        ({"frame": good["frame"][::-1]}, "sort the events by frame"),
        ({"frame": good["frame"] + 2}, "frames that are not 0..19"),
        ({"frames": np.array(21)}, "21 frames of events, but 20 labels"),
        ({"count": good["address"] + 2}, "lies outside 1..1"),
        ({"polarity": good["address"]}, "has polarity"),
        ({"test_time": good["test_time"] + 3}, r"arrays test_\.\.\.: frame 0, event 0: time step"),
        ({"labels": np.full(20, 3)}, "label 0 is 3, the network has classes 0..2"),
        ({"labels": np.array(3)}, "not one for each frame"),
    ):
        np.savez(tmp_path / "data.npz", **{**good, **change})
        with pytest.raises(UsageError, match=message):
            read_lessons(tmp_path / "data.npz", (3, 6), 3)
    for name, message in (("labels", "'labels' is missing"), ("test_time", "lacks time")):
        np.savez(tmp_path / "data.npz", **{n: a for n, a in good.items() if n != name})
        with pytest.raises(UsageError, match=message):
            read_lessons(tmp_path / "data.npz", (3, 6), 3)


def test_options_of_other_designs_are_refused(design: Design, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give labelled frames with --data"):
        design.verify(np.zeros((1, 3, 6)))
