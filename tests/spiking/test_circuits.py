"""Spiking networks as circuits: every spike and every word of state, at every step."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from codesign.api import Design, generate
from codesign.builddir import BuildDir
from codesign.evidence import VerifyReport
from codesign.neurons import Adaptation, Alpha, Leak, Neuron, Synapse, Word
from codesign.ops.delay import Delay
from codesign.plan.activity import frame_cycles
from codesign.plan.stored import load_plans
from codesign.train.golden import Golden, save_golden
from codesign.verify import verify
from codesign.verify.cycles import seen_by_events
from codesign.verify.subject import Subject
from tests.neurons.units import random_egru, random_snu
from tests.spiking.networks import (
    Network,
    conv_network,
    delayed_network,
    dense_network,
    event_network,
    finished,
    lif,
    recurrent_conv_network,
    recurrent_network,
    unit_network,
)

CURRENT = Synapse(Word(10, 6, True, "wrap"), Leak("shift_floor", [2]), "new", False)
RISING = Adaptation(Word(9, 6, False, "sat_step"), Leak("mul_floor", [60], 6), [9])
ALPHA = Alpha(
    Word(12, 5, True, "sat_step"), Word(11, 5, True, "wrap"),
    Leak("mul_floor", [56, 60, 48, 52], 6), Leak("shift_floor", [1]), [20], 3, [4, 6, 9, 12],
    "gt", "subtract", 6, "half_even", "floor", "spikes",
)  # fmt: skip
GOES_ON = {"reset_at_window": False}
NETWORKS: dict[str, Any] = {
    "dense": dense_network,
    "current_based": lambda: dense_network(synapse=CURRENT, reset="zero"),
    "adaptive": lambda: dense_network(adaptation=RISING),
    "refractory": lambda: dense_network(refractory=2, refractory_mode="hold"),
    "levels": lambda: dense_network(spike_levels=3, reset_timing="same"),
    "recurrent": recurrent_network,
    "conv": conv_network,
    "depthwise": lambda: conv_network((2, 6, 5), 4, depthwise=True),
    "conv_mean": lambda: conv_network((2, 6, 6), 3, pads=0, pool="AveragePool"),
    "conv_global": lambda: conv_network((2, 4, 4), 3, pool="GlobalAveragePool"),
    "conv_padded": lambda: conv_network((1, 4, 4), kernel=2, pads=2, pool=""),
    "conv_line": lambda: conv_network((2, 9), 3, kernel=4, pads=0),
    "conv_recurrent": recurrent_conv_network,
    "goes_on": lambda: dense_network(metadata=GOES_ON),
    "recurrent_goes_on": lambda: recurrent_network(metadata=GOES_ON),
    "conv_recurrent_goes_on": lambda: recurrent_conv_network(metadata=GOES_ON),
    "single_steps_go_on": lambda: recurrent_network(steps=1, metadata=GOES_ON),
    "delays_go_on": lambda: delayed_network(metadata=GOES_ON),
    "membrane": lambda: dense_network(
        (6, 4), metadata={"readout": "membrane"}, output="membrane", reset="none"
    ),
    "first_spike": lambda: dense_network(metadata={"readout": "first_spike"}, theta=[12]),
    "snu": lambda: unit_network(a_unit("snu")),
    "ssnu": lambda: unit_network(a_unit("ssnu")),
    "egru": lambda: unit_network(a_unit("egru")),
    "alpha": lambda: unit_network(ALPHA),
    "alpha_zero": lambda: unit_network(replace(ALPHA, reset="zero", output="membrane")),
}


def a_unit(kind: str) -> Neuron:
    """A unit as found by chance, with all that its kind may have."""
    rng = np.random.default_rng(5)
    if kind == "egru":
        return random_egru(rng)
    return random_snu(rng, soft=kind == "ssnu", somatic=True, axonic=True)


def states_compared(design: Design) -> set[str]:
    """The states among the tensors that the simulator was compared on."""
    report = design.verify(random_frames=200, cocotb=False)
    assert report.ok, report
    links = [e for e in report.evidence if e.link == "reference = RTL"]
    assert any(e.link == "qonnx = reference" for e in report.evidence)
    return {tensor for e in links for tensor in e.tensors if "." in tensor}


#: What the quick suite builds; the neurons themselves are tested in tests/hdl/test_neurons.py.
QUICK = {"conv", "current_based", "recurrent", "recurrent_goes_on"}


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS],
)
def test_all_executions_agree(name: str, tmp_path: Path) -> None:
    design = generate(NETWORKS[name](), tmp_path / "build", target_ii=100)
    manifest = BuildDir.open(design.path).manifest
    # qonnx takes frame after frame where states go on, a fifth of a second each
    frames = 20 if manifest.frames_depend else 200
    report = design.verify(random_frames=frames, cocotb=False)
    assert report.ok, report
    assert report.ii is not None  # a mean where windows that flush do not fall into step
    assert (report.latency, ceil(report.ii)) == (manifest.latency, manifest.ii)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv", "depthwise", "conv_line"])
def test_unrolled_convolutions_agree(name: str, tmp_path: Path) -> None:
    design = generate(NETWORKS[name](), tmp_path / "build", unrolled=True)
    manifest = BuildDir.open(design.path).manifest
    report = design.verify(random_frames=200, cocotb=False)
    assert report.ok and report.ii is not None
    assert (report.latency, ceil(report.ii)) == (manifest.latency, manifest.ii)


def test_a_convolution_needs_no_layers_beside_it(tmp_path: Path) -> None:
    """Its bias starts its sums; the host turns the input; the order of the file's Flatten is that
    of the dense weights."""
    model = conv_network((2, 4, 4), channels=3, steps=2)
    design = generate(model, tmp_path / "build", target_ii=100)
    layers = [layer.op for layer in BuildDir.open(design.path).manifest.layers]
    chain = ["convolve", "neuron", "max_pool", "matvec", "neuron", "sum_pool"]
    assert layers == chain


def test_every_state_is_compared(tmp_path: Path) -> None:
    model = dense_network(synapse=CURRENT, refractory=2, refractory_mode="silent")
    found = states_compared(generate(model, tmp_path / "build", target_ii=100))
    assert found == {f"lif{k}.{state}" for k in (0, 1) for state in "visr"}


@pytest.mark.parametrize("target", [60, pytest.param(400, marks=pytest.mark.slow)])
def test_events_cost_what_the_data_say(target: int, tmp_path: Path) -> None:
    """Codes equal, and the cycles of these very spikes predicted exactly."""
    design = generate(event_network(), tmp_path / "build", target_ii=target, activity=0.2)
    report = design.verify(random_frames=40, cocotb=False)
    assert report.ok, report
    cycles = [e for e in report.evidence if e.link == "cycles predicted = measured"]
    assert cycles and all(e.frames >= 4 for e in cycles)
    activity = BuildDir.open(design.path).manifest.activity
    assert activity is not None and activity.silent_ii < activity.dense_ii
    events = report.events
    assert events is not None and [e.expected for e in events.layers] == [5, 3]
    assert all(0 < e.seen <= most for e, most in zip(events.layers, (24, 12), strict=True))
    _measured_frames_are_as_predicted(design, report)
    spiking = report.spiking
    assert spiking is not None and spiking.most_spikes == 5 * (24 + 12)
    sent, *others = [t for t in spiking.traces if t.kind != "state"]
    assert (sent.kind, sent.of, len(sent.model)) == ("input", 24, 5) and np.any(sent.model)
    assert sent.circuit == sent.model and {t.kind for t in others} == {"spikes"}


def _measured_frames_are_as_predicted(design: Design, report: VerifyReport) -> None:
    """Each frame sent again and again: the cycles of the report are measured, and those that the
    event model says; the silent one's are those of the manifest."""
    subject = Subject.open(BuildDir.open(design.path))
    activity, plans = subject.manifest.activity, load_plans(subject.build, subject.circuit)
    assert report.spiking is not None and activity is not None
    *frames, silent = report.spiking.cycles
    assert (silent.kind, silent.spikes, silent.interval) == ("silent", 0, activity.silent_ii)
    (sent,) = (t for t in report.spiking.traces if t.kind == "input")
    codes = np.array(sent.model).reshape(1, -1)  # every input is traced
    seen = seen_by_events(subject.circuit.graph, subject.circuit, codes, set())
    again = {name: array.repeat(6, axis=0) for name, array in seen.items()}
    latency, interval = frame_cycles(subject.circuit, *plans, again)
    found = frames[report.spiking.shown]
    assert (found.cycles, found.interval) == (latency, float(interval))
    assert found.spikes == sum(np.count_nonzero(array) for array in seen.values())


@pytest.mark.slow
def test_the_frames_that_were_measured_are_those_seen(tmp_path: Path) -> None:
    """Planned for what it then gets: no layer's mean is a spike a frame off."""
    onnx.save(event_network(), tmp_path / "net.onnx")
    x = (np.random.default_rng(2).random((50, 5, 24)) < 0.1).astype(np.float32)
    save_golden(Golden(x, np.zeros(0, np.int64), x[:0], 1), tmp_path / "net.golden.npz")
    how = {"target_ii": 200, "activity": "measured"}
    design = generate(tmp_path / "net.onnx", tmp_path / "build", **how)
    report = design.verify(x, cocotb=False)
    assert report.ok and report.events is not None and report.events.frames == 50
    assert report.events.origin == "measured on 50 recorded frames"
    for layer in report.events.layers:
        assert 0 <= layer.expected - layer.seen < 1 / 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["again", "depthwise"])
def test_convolved_events_cost_what_the_data_say(kind: str, tmp_path: Path) -> None:
    model = conv_network((2, 5, 4), 4, pool="", **{kind: True})
    design = generate(model, tmp_path / "build", target_ii=600, activity=0.2)
    layers = BuildDir.open(design.path).manifest.layers
    assert [layer.op for layer in layers].count("event_conv") == 1
    report = design.verify(random_frames=60, cocotb=False)
    assert report.ok, report
    cycles = [e for e in report.evidence if e.link == "cycles predicted = measured"]
    assert cycles and all(e.frames >= 4 for e in cycles)


def test_another_neuron_in_the_circuit_is_found(tmp_path: Path) -> None:
    """The Verilog of a network that differs in one choice: the comparison names the layer."""
    design = generate(dense_network(), tmp_path / "right", target_ii=100)
    other = generate(dense_network(compare="ge"), tmp_path / "wrong", target_ii=100)
    (design.path / "rtl" / "codesign_top.v").write_bytes(
        (other.path / "rtl" / "codesign_top.v").read_bytes()
    )
    report = verify(BuildDir.open(design.path), random_frames=200, cocotb=False)
    wrong = [e for e in report.evidence if e.mismatches]
    assert wrong and all(e.link == "reference = RTL" for e in wrong)
    assert wrong[0].first is not None and wrong[0].first.tensor.startswith("lif0")


@pytest.mark.parametrize("name", ["recurrent", pytest.param("delayed", marks=pytest.mark.slow)])
def test_a_circuit_whose_delays_begin_anew_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the membranes go on in the circuit: the first step of the second frame is wrong."""
    build = Delay.build

    def anew(op: Delay, *args: Any) -> Any:
        return build(replace(op, persistent=False), *args)

    monkeypatch.setattr(Delay, "build", anew)
    make = {"recurrent": recurrent_network, "delayed": delayed_network}[name]
    design = generate(make(metadata=GOES_ON), tmp_path / "build", target_ii=100)
    report = verify(BuildDir.open(design.path), random_frames=20, cocotb=False)
    wrong = [e.first for e in report.evidence if e.first is not None]
    assert wrong and (wrong[0].tensor, wrong[0].frame) == ("seen_step_before", 1)


def test_a_bias_beside_events_has_the_range_of_the_sums(tmp_path: Path) -> None:
    """Least sum and least bias need not meet in one output: the port is as wide as they do."""
    net = Network((8,))
    sums = net.dense(net.quant("x", "xq", 0, 1, signed=False), (8, 4), "fc", frac=6, bits=5)
    bias = net.constant("b", np.float32([-12, 9, 30, -40]) * np.float32(2.0**-6))
    out = net.neuron(lif(), "lif", net.node("Add", [sums, bias], "biased"), (1, 4))
    design = generate(finished(net, out, (4,), 3), tmp_path / "b", target_ii=60, activity=0.2)
    assert [tap.port.tensor for tap in BuildDir.open(design.path).manifest.taps][-2] == "lif_step"
