"""Address events through the whole flow: as the input, and from pooling to layers."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codesign.api import Design, generate
from codesign.builddir import BuildDir
from codesign.errors import UsageError
from codesign.manifest import Manifest
from codesign.verify.vectors import load_inputs
from tests.spiking.networks import (
    Network,
    dense_network,
    event_network,
    finished,
    lif,
    pooled_network,
)

OPTIONS: dict[str, Any] = {"target_ii": 400, "activity": 0.2}


def proven(design: Design, frames: int = 40, **options: Any) -> Manifest:
    """The manifest, once every code is equal and the cycles are as predicted."""
    report = design.verify(random_frames=frames, cocotb=False, **options)
    cycles = [e for e in report.evidence if e.link == "cycles predicted = measured"]
    assert cycles and not any(e.mismatches for e in cycles)
    assert any("stalls" in e.vectors for e in report.evidence)
    return BuildDir.open(design.path).manifest


@pytest.mark.slow
def test_the_input_comes_as_events(tmp_path: Path) -> None:
    """Less work than to send all of it: nothing scans; the layers' results are the same."""
    design = generate(event_network(), tmp_path / "events", input="events", **OPTIONS)
    manifest = proven(design)
    events = manifest.input.events
    assert events is not None and (events.steps, events.levels) == (5, 1)
    assert manifest.input.data_bits == 8  # 5 bits of 24 addresses, the end of a step
    assert [layer.simd for layer in manifest.layers if layer.style == "event"][0] == 0
    scan = generate(event_network(), tmp_path / "dense", **OPTIONS)
    assert BuildDir.open(scan.path).manifest.taps == manifest.taps


@pytest.mark.slow
def test_benches_send_events(tmp_path: Path) -> None:
    """cocotb: exactness, stalls, gaps, reset in mid-frame, latency and interval."""
    design = generate(event_network(), tmp_path / "events", input="events", **OPTIONS)
    report = design.verify(random_frames=20)
    assert report.benches and all(bench.passed for bench in report.benches)


@pytest.mark.slow
def test_counts_travel_with_the_events(tmp_path: Path) -> None:
    """An input of several levels."""
    net = Network((8,))
    at = net.quant("x", "xq", 0, 2, signed=False)
    at = net.neuron(lif(), "lif", net.dense(at, (8, 4), "fc", frac=6, bits=5), (1, 4))
    design = generate(finished(net, at, (4,), 3), tmp_path / "b", input="events", **OPTIONS)
    events = proven(design).input.events
    assert events is not None and events.levels == 3


POOLS = {
    "or": ("MaxPool", "behind", {}),
    "or_before": ("MaxPool", "before", {"depthwise": True}),
    "or_overlaps": ("MaxPool", "behind", {"window": 3, "stride": 1, "pads": 1}),
    "mean": ("AveragePool", "behind", {}),
    "mean_before": ("AveragePool", "before", {}),
    "mean_twice": ("AveragePool", "before", {"twice": True, "shape": (1, 8, 8)}),
    "or_twice": ("MaxPool", "behind", {"twice": True}),
}


@pytest.mark.slow  # the quick suite has one pool in tests/ops/test_every_op.py
@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("input", ["events", "dense"])
def test_pooling_works_on_events(name: str, input: str, tmp_path: Path) -> None:
    pool, where, how = POOLS[name]
    design = generate(pooled_network(pool, where, **how), tmp_path / "b", input=input, **OPTIONS)
    manifest = proven(design)
    kinds = [layer.op for layer in manifest.layers]
    at = kinds.index("event_pool")
    assert kinds.count("event_pool") == 1 + ("twice" in name)
    # What reads a pool takes its events as they come: no scan between.
    assert manifest.layers[at + 1].simd == 0
    assert manifest.layers[at + 1].op in ("event_conv", "event_dense", "event_pool")
    assert (manifest.layers[0].simd == 0) == (input == "events")


@pytest.mark.slow
def test_who_takes_no_events_gets_them_packed(tmp_path: Path) -> None:
    """The input is read by an event-driven layer and, past its neurons, by one that is not."""
    net = Network((12,))
    x = net.quant("x", "xq", 0, 1, signed=False)
    inner = net.neuron(lif(), "lif0", net.dense(x, (12, 6), "fc0", frac=6), (1, 6))
    total = net.node(
        "Add",
        [net.dense(inner, (6, 4), "fc1", frac=6), net.dense(x, (12, 4), "past", frac=6)],
        "total",
    )
    out = net.neuron(lif(), "lif1", total, (1, 4))
    design = generate(finished(net, out, (4,), 3), tmp_path / "b", input="events", **OPTIONS)
    kinds = [layer.op for layer in proven(design).layers]
    assert kinds.count("event_dense") == 1 and kinds.count("matvec") == 2


@pytest.mark.slow
def test_a_convolution_with_ones_pools(tmp_path: Path) -> None:
    """As NIR has sums."""
    net = Network((2, 4, 4))
    at = net.quant("x", "xq", 0, 1, signed=False)
    ones = net.quant(net.constant("ones", np.ones((2, 1, 2, 2), np.float32)), "onesq", 0, 2)
    at = net.node("Conv", [at, ones], "sum", kernel_shape=[2, 2], strides=[2, 2], group=2)
    at, size = net.conv(at, (2, 2, 2), "conv", 3, 3, 1, frac=6)
    at = net.node("Flatten", [net.spiking(at, size, "lif0")], "flat", axis=1)
    at = net.dense(at, (prod(size), 3), "fc", frac=6)
    model = finished(net, net.neuron(lif(), "out", at, (1, 3)), (3,), 3)
    design = generate(model, tmp_path / "b", input="events", **OPTIONS)
    assert [layer.op for layer in proven(design).layers][0] == "event_pool"


@pytest.mark.slow
def test_silence_costs_a_pooled_network_little(tmp_path: Path) -> None:
    """With pooling on events nothing goes through the map: a silent step before the neurons is
    the end of a step."""
    design = generate(
        pooled_network("MaxPool", "before", shape=(1, 8, 8)),
        tmp_path / "b",
        input="events",
        **OPTIONS,
    )
    layers = {layer.op: layer for layer in BuildDir.open(design.path).manifest.layers}
    assert layers["event_pool"].ii <= 3 * (1 + 13)  # 13 of 64 spikes expected, an end each step


def test_events_need_a_layer_that_takes_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot come as events.*takes none") as error:
        generate(event_network(), tmp_path / "b", target_ii=60, input="events")
    assert "--activity" in error.value.hint
    with pytest.raises(UsageError, match="no dense layer|cannot come as events"):
        generate(dense_network(), tmp_path / "b", input="events", **OPTIONS)
    with pytest.raises(UsageError, match="'dense' or 'events', got 'aer'"):
        generate(event_network(), tmp_path / "b", input="aer", **OPTIONS)


def test_a_users_events_are_sent_and_checked(tmp_path: Path) -> None:
    design = generate(event_network(), tmp_path / "b", input="events", **OPTIONS)
    rng = np.random.default_rng(3)
    spikes = rng.random((6, 5, 24)) < 0.2
    spikes[-1] = False  # a silent frame at the end
    frame, time, address = np.nonzero(spikes)
    good = {"frame": frame, "time": time, "address": address, "frames": np.int64(6)}

    def given(name: str, **changes: Any) -> Path:
        path = tmp_path / f"{name}.npz"
        np.savez(path, **{**good, **changes})
        return path

    report = design.verify(load_inputs(given("good")), cocotb=False)  # type: ignore[arg-type]
    assert {e.vectors.split(",")[0] for e in report.evidence} == {"user events"}
    assert {e.frames for e in report.evidence if e.link == "reference = RTL"} == {6}
    assert any(e.link == "cycles predicted = measured" for e in report.evidence)
    assert any("stalls" in e.vectors for e in report.evidence)
    # One frame has no interval, but everything else.
    first = {name: good[name][frame == 0] for name in ("frame", "time", "address")}
    np.savez(tmp_path / "one.npz", **first)
    alone = design.verify(load_inputs(tmp_path / "one.npz"), cocotb=False)  # type: ignore[arg-type]
    assert alone.ok and alone.spiking is not None
    assert [p.kind for p in alone.spiking.cycles] == ["frame", "silent"]
    swapped = address.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    twice = address.copy()
    twice[1] = twice[0]
    far = address.copy()
    far[2] = 24
    wrong = {
        "unsorted": ({"address": swapped}, "frame 0, event 1 .* stands after event 0"),
        "twice": ({"address": twice}, "frame 0, event 1 .* is the same as the one before"),
        "far": ({"address": far}, "frame 0, event 2: address 24 lies outside 0..23"),
        "late": ({"time": time + 5}, "frame 0, event 0: time step 5 lies outside 0..4"),
        "loud": ({"count": np.full_like(frame, 2)}, "frame 0, event 0: count 2 lies outside 1..1"),
        "mixed": ({"frame": frame[::-1]}, "of frame .* stands after one of frame"),
        "many": ({"frames": np.int64(10**9)}, "1000000000 frames of 120 elements are more"),
        "few": ({"frames": np.int64(2)}, "frames that are not 0..1"),
        "short": ({"time": time[:-1]}, "different lengths"),
        "real": ({"time": time * 0.5}, "'time' is a vector of integers"),
        "odd": ({"polarity": time}, "has polarity"),
    }
    for name, (changes, message) in wrong.items():
        with pytest.raises(UsageError, match=message):
            design.verify(load_inputs(given(name, **changes)), cocotb=False)  # type: ignore[arg-type]
