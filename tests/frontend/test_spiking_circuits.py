"""From a framework to a circuit: convolutional and recurrent networks of snnTorch, and NIR files,
imported, generated and verified; the circuit's spikes are those the framework computes."""

from __future__ import annotations

import numpy as np
import pytest

import codesign
from codesign.frontend.nir import import_nir
from codesign.frontend.snntorch import import_snntorch
from codesign.frontend.spiking import SpikingModel
from tests.frontend import test_nir as n
from tests.frontend import test_snntorch as s
from tests.frontend.step_runner import run_steps

pytestmark = pytest.mark.slow


def circuit(made: SpikingModel, x: np.ndarray, tmp_path, **target: object) -> None:
    """Generate, and compare every spike and state under stalls: on inputs float64
    [windows, steps, ...] that the framework has seen, on corners and at random."""
    design = codesign.generate(made.scan, tmp_path / "build", **(target or {"smallest": True}))
    for given, frames in ((x.astype(np.float32), len(x)), (None, 8)):
        report = design.verify(given, random_frames=8, cocotb=False)
        assert report.ok and not sum(e.mismatches for e in report.evidence)
        assert any(e.frames >= frames for e in report.evidence if "RTL" in e.link)


def snntorch_windows(net, made: SpikingModel, x: np.ndarray) -> None:
    """The exchange model's outputs are snnTorch's, in float64, for inputs [windows, steps, ...]."""
    torch = s.torch
    for module in net:
        if hasattr(module, "mem"):
            module.spike_grad, module.state_quant = s.heaviside, s.floor_states
    fired = 0
    for window in x:
        for module in net:
            if hasattr(module, "mem"):
                module.reset_mem()
        ours, last = run_steps(made.step, window)[made.step.graph.output[0].name], {}
        with torch.no_grad():
            for t, frame in enumerate(window):
                out = s.step_torch(list(net.named_children()), torch.from_numpy(frame[None]), last)
                assert (out[0].numpy() == ours[t]).all(), t
        fired += ours.sum()
    assert fired


def conv_net(pool, cell):
    nn, beta = s.nn, s.torch.tensor(0.75, dtype=s.torch.float64)
    return nn.Sequential(
        s.quantized(nn.Conv2d(1, 4, 3, padding=1), 5),
        s.snn.Leaky(beta, threshold=2.0),
        pool,
        s.quantized(nn.Conv2d(4, 4, 3), 6),
        cell(beta),
        nn.Flatten(),
        s.quantized(nn.Linear(4 * 2 * 2, 3), 8),
        s.snn.Leaky(beta, reset_mechanism="zero"),
    )


def recurrent(beta):
    made = s.snn.RLeaky(beta, conv2d_channels=4, kernel_size=3, threshold=4.0)
    s.quantized(made.recurrent, 7)
    return made


def leaky(beta):
    return s.snn.Leaky(beta, threshold=3.0, reset_delay=False)


@pytest.mark.parametrize("pool, cell", [("MaxPool2d", leaky), ("AvgPool2d", recurrent)])
def test_snntorch_convolutions(pool, cell, tmp_path) -> None:
    net = conv_net(getattr(s.nn, pool)(2), cell)
    made = import_snntorch(net, s.formats(), s.time(4), input_shape=(1, 8, 8))
    x = np.stack([s.inputs(4, 1, 8, 8, seed=seed) for seed in range(3)])
    snntorch_windows(net, made, x)
    circuit(made, x, tmp_path)


WAIT = [2, 2, 2]


def nir_network() -> n.nir.NIRGraph:
    """Two convolutions, both pools, current-based neurons, a loop through a delay."""
    nir, dt = n.nir, n.DT
    whole = np.ones((4, 6, 6))
    cuba = nir.CubaLIF(
        tau_syn=2 * dt * whole, tau_mem=4 * dt * whole, r=4 * whole, v_leak=0 * whole,
        v_threshold=whole, v_reset=0 * whole, w_in=2 * whole,
    )  # fmt: skip
    square = np.array([2, 2])
    nodes = {
        "input": nir.Input(np.array([1, 6, 6])),
        "conv": nir.Conv2d((6, 6), n.weights(1, 4, 1, 3, 3), 1, 1, 1, 1, np.zeros(4)),
        "cuba": cuba,
        "sum": nir.SumPool2d(square, square, np.array([0, 0])),
        "conv2": nir.Conv2d((3, 3), n.weights(2, 4, 4, 2, 2) - 0.25, 1, 0, 1, 1, np.zeros(4)),
        "lif": nir.LIF(*(np.full((4, 2, 2), c) for c in (4 * dt, 4.0, 0.0, 1.0, 0.0))),
        "average": nir.AvgPool2d(square, square, np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([4, 1, 1])}, 0, -1),
        "fc": nir.Affine(n.weights(3, 3, 4), n.vector(0.5, -0.25, 0)),
        "last": n.lif(3),
        "wait": nir.Delay(dt * n.vector(*WAIT)),
        "back": nir.Linear(n.weights(4, 3, 3) - 0.5),
        "output": nir.Output(np.array([3])),
    }
    order = ["input", "conv", "cuba", "sum", "conv2", "lif", "average", "flat", "fc", "last"]
    edges = [*zip(order, [*order[1:], "output"], strict=True)]
    edges += [("last", "wait"), ("wait", "back"), ("back", "last")]
    return nir.NIRGraph(nodes, edges, type_check=False)


def nir_stepped(graph, x: np.ndarray) -> np.ndarray:
    """The graph's layers by torch, its neurons by NIR's equations in Euler steps, float64."""
    node, t64, run = graph.nodes, s.torch.from_numpy, s.nn.functional
    maps = run.conv2d(t64(x), t64(node["conv"].weight), padding=1).numpy()
    maps = n.stepped(node["cuba"], maps)
    maps = run.avg_pool2d(t64(maps), 2, divisor_override=1)
    maps = n.stepped(node["lif"], run.conv2d(maps, t64(node["conv2"].weight)).numpy())
    flat = run.avg_pool2d(t64(maps), 2).numpy().reshape(len(x), -1)
    v, spikes = np.zeros(3), [np.zeros(3)] * 2
    for current in flat @ node["fc"].weight.T + node["fc"].bias:
        heard = np.array([spikes[-d][c] for c, d in enumerate(WAIT)])
        v = n.held(0.75 * v) + current + node["back"].weight @ heard
        spikes.append((v > 1).astype(float))
        v = np.where(spikes[-1] > 0, 0, v)
    return np.stack(spikes[2:])


def test_nir_convolutions(tmp_path) -> None:
    graph = nir_network()
    n.nir.write(tmp_path / "net.nir", graph)
    time = {"steps": 6, "dt": n.DT, "encoding": "direct", "readout": "count",
            "reset_at_window": True}  # fmt: skip
    made = import_nir(tmp_path / "net.nir", n.policy(time=time))
    x = np.stack([n.inputs(1, 6, 6, seed=seed, steps=6) for seed in range(3)])
    for window in x:
        wanted = nir_stepped(graph, window)
        assert wanted.any()
        assert (run_steps(made.step, window)[made.step.graph.output[0].name] == wanted).all()
    circuit(made, x, tmp_path)


def test_nir_delays_outside_of_loops(tmp_path) -> None:
    """Nothing leaves the circuit before its frame has come: a delay of each neuron before the
    weights, and one between neurons."""
    first, then = [1, 3, 1], [2, 1, 2, 1]
    nodes = [n.lif(4), n.lif(4, v_threshold=np.full(4, 0.5))]
    graph = n.chain(
        n.nir.Delay(n.DT * n.vector(*first)), n.nir.Linear(n.W), nodes[0],
        n.nir.Delay(n.DT * n.vector(*then)), nodes[1],
    )  # fmt: skip
    time = {"steps": 6, "dt": n.DT, "encoding": "direct", "readout": "count",
            "reset_at_window": True}  # fmt: skip
    made = import_nir(graph, n.policy(time=time))
    x = np.stack([n.inputs(3, seed=seed, steps=6) for seed in range(6)])
    for window in x:
        middle = n.stepped(nodes[0], n.late(window, first) @ n.W.T)
        wanted = n.stepped(nodes[1], n.late(middle, then))
        assert (run_steps(made.step, window)[made.step.graph.output[0].name] == wanted).all()
    circuit(made, x, tmp_path)
