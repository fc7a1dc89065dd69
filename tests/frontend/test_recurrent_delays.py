"""Delays of each neuron and of each synapse inside recurrent loops, from NIR to the circuit.

The oracle steps NIR's equations in float64, where every number here is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import codesign
from codesign.builddir import BuildDir
from codesign.frontend import import_qonnx
from codesign.frontend.nir import import_nir
from codesign.frontend.spiking import SpikingModel
from codesign.passes import lower
from codesign.plan.loops import frames_ahead, loop_steps
from codesign.plan.partition import partition
from codesign.reference import run
from tests.frontend.nir_models import DT, FRAC, inputs, lif, policy, vector, weights
from tests.frontend.step_runner import run_steps


@dataclass(frozen=True)
class Back:
    """Spikes of layer ``source`` reach layer ``target``, of each neuron ``delays`` steps later."""

    source: int
    target: int
    delays: tuple[int, ...]


@dataclass(frozen=True)
class Recurrent:
    """Layers of so many neurons on two inputs, and what goes back."""

    steps: int
    layers: tuple[int, ...]
    back: tuple[Back, ...]
    resets: bool = True  # whether windows start anew

    def forward(self, n: int) -> np.ndarray:
        return weights(3 + n, self.layers[n], (2, *self.layers)[n]) - 0.125 * n

    def recurrent(self, n: int) -> np.ndarray:
        edge = self.back[n]
        return weights(40 + n, self.layers[edge.target], self.layers[edge.source]) - 0.5

    def graph(self) -> nir.NIRGraph:
        nodes: dict[str, object] = {"input": nir.Input(np.array([2]))}
        order = ["input"]
        for n, size in enumerate(self.layers):
            nodes |= {f"fc{n}": nir.Linear(self.forward(n)), f"lif{n}": lif(size)}
            order += [f"fc{n}", f"lif{n}"]
        nodes["output"] = nir.Output(np.array([self.layers[-1]]))
        edges = list(zip(order, [*order[1:], "output"], strict=True))
        for n, edge in enumerate(self.back):
            nodes |= {f"wait{n}": nir.Delay(DT * vector(*edge.delays))}
            nodes |= {f"back{n}": nir.Linear(self.recurrent(n))}
            edges += [(f"lif{edge.source}", f"wait{n}"), (f"wait{n}", f"back{n}")]
            edges += [(f"back{n}", f"lif{edge.target}")]
        return nir.NIRGraph(nodes, edges, type_check=False)

    def imported(self) -> SpikingModel:
        time = {"steps": self.steps, "dt": DT, "encoding": "direct", "readout": "count",
                "reset_at_window": self.resets}  # fmt: skip
        return import_nir(self.graph(), policy(time=time))

    def spikes(self, x: np.ndarray, *, forget: bool = False) -> np.ndarray:
        """float64 [steps, neurons] of the last layer for currents [steps, 2]. ``forget``: nothing
        that is under way at the end of a window arrives, while membranes go on."""
        v = [np.zeros(size) for size in self.layers]
        fired, last = [[np.zeros(size)] * 99 for size in self.layers], []
        for t, current in enumerate(x):
            if forget and t % self.steps == 0:
                fired = [[*past, *[np.zeros_like(past[0])] * 99] for past in fired]
            for n in range(len(self.layers)):
                current = self.forward(n) @ current
                for place, edge in enumerate(self.back):
                    if edge.target == n:
                        past = fired[edge.source]
                        # a layer before this one has this step's spikes already
                        late = edge.delays if edge.source >= n else [d + 1 for d in edge.delays]
                        heard = np.array([past[-d][c] for c, d in enumerate(late)])
                        current = current + self.recurrent(place) @ heard
                v[n] = np.floor(0.75 * v[n] * 2**FRAC) / 2**FRAC + current
                current = (v[n] > 1).astype(float)
                v[n] = np.where(current > 0, 0, v[n])
                fired[n].append(current)
            last.append(current)
        return np.stack(last)


def drives(net: Recurrent, count: int) -> np.ndarray:
    """Currents [count, steps, 2]; where windows go on, such as let neurons fire at their ends."""
    found = np.stack([inputs(2, seed=seed, steps=net.steps) for seed in range(count)])
    return found if net.resets else abs(found)


def counted(net: Recurrent, x: np.ndarray) -> np.ndarray:
    """Spikes int64 [windows, neurons] by the integers of the circuit."""
    graph = lower(import_qonnx(net.imported().scan).graph)
    return run(graph, {graph.inputs[0]: x})[graph.outputs[0]].reshape(len(x), -1)


def exact(net: Recurrent) -> SpikingModel:
    """The exchange model's spikes, and their counts by the integers of the circuit, are those of
    the equations; of windows that go on, of all of them as one."""
    made, x = net.imported(), drives(net, 4)
    counts = counted(net, x)
    pieces = x if net.resets else x.reshape(1, -1, 2)
    for n, piece in enumerate(pieces):
        wanted = net.spikes(piece)
        assert (run_steps(made.step, piece)[made.step.graph.output[0].name] == wanted).all()
        sums = wanted.reshape(-1, net.steps, net.layers[-1]).sum(1)
        assert (counts[n : n + len(sums)] == sums).all()
    return made


SMALL = Recurrent(4, (3,), (Back(0, 0, (1, 2, 3)),))
SYNAPSES = Recurrent(6, (3,), tuple(Back(0, 0, (d,) * 3) for d in (1, 2, 3)))
TWO = Recurrent(6, (3, 2), (Back(0, 0, (1, 2, 3)), Back(1, 1, (3, 1))))
ACROSS = Recurrent(6, (3, 2), (Back(1, 0, (2, 1)), Back(0, 0, (1, 3, 3))))
LONG = Recurrent(3, (3,), (Back(0, 0, (9, 2, 5)),))
SHORT = Recurrent(2, (3,), (Back(0, 0, (2, 3, 3)), Back(0, 0, (1, 1, 1))))
NETS = {
    "neurons": SMALL,
    "synapses": SYNAPSES,
    "two": TWO,
    "across": ACROSS,
    "long": LONG,
    "short": SHORT,
}
ON = {name: replace(net, resets=False) for name, net in NETS.items()}
ON["one"] = Recurrent(1, (3,), (Back(0, 0, (1, 2, 3)),), resets=False)  # windows of one step
GOALS = [{"smallest": True}, {"target_ii": 40}, {}, {"unrolled": True}]


@pytest.mark.parametrize("name", NETS)
def test_equations(name: str) -> None:
    exact(NETS[name])


@pytest.mark.parametrize("name", ON)
def test_equations_of_windows_that_go_on(name: str) -> None:
    exact(ON[name])


@pytest.mark.parametrize("name", ON)
def test_the_loop_goes_on_as_well(name: str) -> None:
    """Were only the membranes kept from window to window, other spikes would come."""
    net = ON[name]
    x = drives(net, 12)
    forgot = net.spikes(x.reshape(-1, 2), forget=True).reshape(12, net.steps, -1).sum(1)
    assert (counted(net, x) != forgot).any()


@st.composite
def networks(draw: st.DrawFn) -> Recurrent:
    layers = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=2)))
    back = []
    for _ in range(draw(st.integers(1, 3))):
        source = draw(st.integers(0, len(layers) - 1))
        delays = draw(st.tuples(*[st.integers(1, 5)] * layers[source]))
        back.append(Back(source, draw(st.integers(0, source)), delays))
    resets = draw(st.booleans())
    return Recurrent(draw(st.integers(2 if resets else 1, 7)), layers, tuple(back), resets)


@settings(derandomize=True, deadline=None, database=None, max_examples=12)
@given(networks())
def test_random_networks(net: Recurrent) -> None:
    exact(net)


@pytest.mark.parametrize("name", NETS)
def test_the_planner_sees_the_loops(name: str) -> None:
    """All layers between a delay and what it delays, also behind the reshapes of a delay of each
    neuron, whose channels a depthwise convolution lets through."""
    net = NETS[name]
    circuit = partition(lower(import_qonnx(net.imported().scan).graph))
    inside = loop_steps(circuit)
    assert set(inside.values()) == {net.steps}
    outside = [layer.name for layer in circuit.layers if layer.name not in inside]
    assert all(name.startswith(("fc", f"lif{len(net.layers) - 1}_count")) for name in outside)


def proven(net: Recurrent, folder: Path, goal: dict, *, cocotb: bool = False) -> None:
    """Every value of the circuit under stalls; latency and interval are those predicted."""
    made = exact(net)
    design = codesign.generate(made.scan, folder / "build", **goal)
    frames = 50 if net.resets else 20  # qonnx takes frame after frame where states go on
    report = design.verify(drives(net, 20).astype(np.float32), random_frames=frames, cocotb=cocotb)
    assert report.ok and not sum(e.mismatches for e in report.evidence)
    manifest = BuildDir.open(design.path).manifest
    assert (report.latency, report.ii) == (manifest.latency, manifest.ii)


@pytest.mark.parametrize("goal", [{}, {"unrolled": True}], ids=str)
def test_a_circuit(goal: dict, tmp_path: Path) -> None:
    """The fastest folding once put several steps of this loop into a beat; and unrolled
    convolutions, which do wait here, were watched as if they never did."""
    proven(SMALL, tmp_path, goal)


@pytest.mark.slow
def test_a_circuit_that_goes_on(tmp_path: Path) -> None:
    """Bench and native harness: stalls, resets in mid-frame, cycles; the delays of a loop are a
    step longer than the window."""
    proven(Recurrent(2, (3,), (Back(0, 0, (1, 2, 3)),), resets=False), tmp_path, {}, cocotb=True)


def test_frames_begun_ahead() -> None:
    """Nine delays in a row in windows of three steps: what the third gives of a whole frame are
    initial states, and then comes that of the next frame, which needs nothing."""
    circuit = partition(lower(import_qonnx(LONG.imported().scan).graph))
    ahead = frames_ahead(circuit)
    lines = [layer.name for layer in circuit.layers if layer.head.delays]
    assert [ahead[name] for name in lines] == [1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert not {"fc0", "lif0", "lif0_sum0"} & ahead.keys()


def test_steps_begun_ahead_of_frames_that_go_on() -> None:
    """Nine steps of the frames before: three frames of three."""
    ahead = frames_ahead(partition(lower(import_qonnx(ON["long"].imported().scan).graph)))
    lines = [n for name, n in sorted(ahead.items()) if "delay" in name]
    assert sorted(lines) == [1, 1, 2, 2, 2, 3, 3, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("goal", GOALS, ids=str)
@pytest.mark.parametrize("name", NETS)
def test_circuits(name: str, goal: dict, tmp_path: Path) -> None:
    proven(NETS[name], tmp_path, goal)


@pytest.mark.slow
@pytest.mark.parametrize("goal", GOALS, ids=str)
@pytest.mark.parametrize("name", ON)
def test_circuits_that_go_on(name: str, goal: dict, tmp_path: Path) -> None:
    proven(ON[name], tmp_path, goal)


@pytest.mark.slow
def test_frames_that_take_turns(tmp_path: Path) -> None:
    """Every other frame takes 29 and 32 cycles; the manifest has their mean, rounded up, and the
    bench in cocotb finds the same. Both checkers count frames begun ahead."""
    proven(LONG, tmp_path, {"smallest": True}, cocotb=True)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, database=None, max_examples=4)
@given(networks(), st.sampled_from(GOALS))
def test_random_circuits(
    tmp_path_factory: pytest.TempPathFactory, net: Recurrent, goal: dict
) -> None:
    proven(net, tmp_path_factory.mktemp("delays"), goal)
