"""NIR graphs as exchange models, against NIR's equations stepped in float64; back again; files."""

from __future__ import annotations

import io

import numpy as np
import pytest

from codesign.errors import UnsupportedModel, UsageError
from codesign.exchange import neurons_of, read_metadata, with_decoder, with_encoder, write_metadata
from codesign.frontend.nir import NirPolicy, export_nir, import_nir, read_nir
from codesign.frontend.spiking.policy import parse
from codesign.spikes.bessel import Bessel, design
from codesign.spikes.coders import Latency
from tests.frontend.step_runner import run_steps

nir = pytest.importorskip("nir")
h5py = pytest.importorskip("h5py")

DT, STEPS, FRAC = 2.0**-10, 24, 16


def policy(**changes: object) -> NirPolicy:
    state = {"bits": 24, "frac": FRAC, "signed": True, "overflow": "sat_step"}
    leak = {"kind": "mul_floor", "frac": 4}
    formats = {
        "parameters": "exact",
        "rounding": "exact",
        "input": {"bits": 2, "frac": 0, "signed": True},
        "weights": {"bits": 8, "frac": 5},
        "state": state,
        "leak": leak,
        "synapse": state,
        "synapse_leak": leak,
    }
    time = {
        "steps": STEPS,
        "dt": DT,
        "encoding": "direct",
        "readout": "count",
        "reset_at_window": True,
    }
    own = {k: changes.pop(k) for k in list(changes) if k in formats}
    given = {
        "preset": "snntorch_no_delay",
        "reset": "value",
        "discretisation": "euler",
        "integrators": "per_step",
        "gain": "weights",
        "flatten": "nir",
        "time": time,
        "formats": {**formats, **own},
    }
    return parse({**given, **changes}, NirPolicy, "test")


def weights(seed: int, *shape: int) -> np.ndarray:
    """Multiples of 1/8, mostly positive."""
    return np.random.default_rng(seed).integers(-4, 10, shape) / 8


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def lif(n: int, **changes: np.ndarray) -> nir.LIF:
    """Decay 3/4, gain 1 at DT."""
    given = {
        "tau": np.full(n, 4 * DT),
        "r": np.full(n, 4.0),
        "v_leak": np.zeros(n),
        "v_threshold": np.full(n, 1.0),
        "v_reset": np.zeros(n),
    }
    return nir.LIF(**{**given, **changes})


def chain(*nodes: object, shape: tuple[int, ...] = (3,)) -> nir.NIRGraph:
    names = [f"n{i}" for i in range(len(nodes))]
    made = {"input": nir.Input(np.array(shape)), **dict(zip(names, nodes, strict=True))}
    made["output"] = nir.Output(np.array([1]))
    order = ["input", *names, "output"]
    return nir.NIRGraph(made, list(zip(order, order[1:], strict=False)), type_check=False)


def inputs(*shape: int, seed: int = 1, steps: int = STEPS) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 2, (steps, *shape)).astype(np.float64)


def outputs(graph: object, x: np.ndarray, under: NirPolicy | None = None) -> np.ndarray:
    made = import_nir(graph, under or policy())
    return run_steps(made.step, x)[made.step.graph.output[0].name]


# --- NIR's equations, stepped -------------------------------------------------------------------


def held(v: np.ndarray) -> np.ndarray:
    """The state's format: rounded down."""
    return np.floor(v * 2**FRAC) / 2**FRAC


def stepped(node: object, currents: np.ndarray, syn: bool = False) -> np.ndarray:
    """What ``node`` puts out: Euler steps, a spike on >, v_reset at once."""
    kind, dt = type(node).__name__, DT
    shape = currents.shape[1:]
    v, i, out = np.zeros(shape), np.zeros(shape), []
    for x in currents:
        if kind.startswith("Cuba"):
            i = held((1 - dt / node.tau_syn) * i) + (dt / node.tau_syn) * node.w_in * x
            v = held((1 - dt / node.tau_mem) * v) + (dt / node.tau_mem) * (node.v_leak + node.r * i)
        elif kind in ("LIF", "LI"):
            v = held((1 - dt / node.tau) * v) + (dt / node.tau) * (node.v_leak + node.r * x)
        elif kind in ("IF", "I"):
            v = v + node.r * x
        else:
            out.append((x > node.threshold).astype(float))
            continue
        if kind in ("I", "LI", "CubaLI"):
            out.append(v)
            continue
        z = v > node.v_threshold
        out.append(z.astype(float))
        v = np.where(z, node.v_reset, v)
    return np.stack(out)


W = weights(2, 4, 3)
NODES = {
    "IF": nir.IF(r=vector(1, 1, 2, 0.5), v_threshold=vector(1, 2, 1, 3), v_reset=np.zeros(4)),
    "I": nir.I(r=vector(1, 0.5, 0.25, 2)),
    "LIF": lif(4, v_threshold=vector(0.5, 1, 1.5, 2), v_leak=vector(0, 1, 0.5, -1)),
    "LIF reset": lif(4, v_reset=vector(0, 0.25, -0.5, 0.125)),
    "LIF gain": lif(4, r=vector(2, 4, 8, 1)),
    "LI": nir.LI(tau=np.full(4, 4 * DT), r=np.full(4, 4.0), v_leak=vector(0, 1, 0, -2)),
    "CubaLIF": nir.CubaLIF(
        tau_syn=np.full(4, 2 * DT),
        tau_mem=np.full(4, 4 * DT),
        r=vector(4, 4, 2, 4),
        v_leak=np.zeros(4),
        v_threshold=vector(0.5, 1, 1, 2),
        w_in=np.full(4, 2.0),
    ),
    "CubaLI": nir.CubaLI(
        tau_syn=np.full(4, 2 * DT),
        tau_mem=np.full(4, 4 * DT),
        r=np.full(4, 4.0),
        v_leak=np.zeros(4),
        w_in=np.full(4, 2.0),
    ),
    "Threshold": nir.Threshold(vector(0, 0.5, 1, -1)),
}


@pytest.mark.parametrize("name", NODES)
def test_neurons(name: str) -> None:
    node, x = NODES[name], inputs(3)
    found = outputs(chain(nir.Linear(W), node), x)
    assert (found == stepped(node, x @ W.T)).all()
    assert found.any() and not found.all()


@pytest.mark.parametrize("gain", ["weights", "threshold"])
def test_gain(gain: str) -> None:
    """The factor of the input, in the weights or as its inverse in threshold and reset: the same
    spikes, as long as both are exact."""
    node, x = lif(4, r=vector(2, 8, 8, 2), v_reset=vector(0, 0.5, 0, 0)), inputs(3)
    found = outputs(chain(nir.Linear(W), node), x, policy(gain=gain))
    assert (found == stepped(node, x @ W.T)).all()


def test_gain_without_weights_before() -> None:
    node = lif(3, r=vector(2, 8, 4))
    x = inputs(3)
    assert (outputs(chain(node), x) == stepped(node, x)).all()


def test_layers() -> None:
    """Affine, Conv2d, pools, Scale, Flatten, against the layers of torch."""
    torch = pytest.importorskip("torch")
    run, w, b = torch.nn.functional, weights(3, 4, 1, 3, 2), weights(4, 4)
    scale, last = (
        np.broadcast_to(vector(1, 0.5, 2, 0.25).reshape(4, 1, 1), (4, 2, 3)),
        weights(5, 2, 12),
    )
    graph = chain(
        nir.Conv2d(None, w, (2, 1), (1, 0), (1, 1), 2, b),
        nir.SumPool2d(np.array([2, 2]), np.array([2, 1]), np.array([0, 0])),
        nir.Scale(np.array(scale)),
        nir.AvgPool2d(np.array([2, 1]), np.array([1, 1]), np.array([0, 0])),
        nir.Flatten(np.array([4, 1, 3]), 0, -1),
        nir.Affine(last, vector(0.5, -1)),
        shape=(2, 8, 5),
    )
    x = inputs(2, 8, 5)
    y = run.conv2d(
        torch.from_numpy(x), torch.from_numpy(w), torch.from_numpy(b), (2, 1), (1, 0), groups=2
    )
    y = run.avg_pool2d(y, 2, (2, 1), divisor_override=1) * torch.from_numpy(scale.copy())
    y = run.avg_pool2d(y, (2, 1), 1).flatten(1).numpy() @ last.T + vector(0.5, -1)
    # each layer multiplies: 5 + 5 + 1 + 5 fraction bits in 24 of the sum
    small = {"bits": 6, "frac": 3}
    assert (outputs(graph, x, policy(weights=small)) == y).all()


def test_conv1d() -> None:
    torch = pytest.importorskip("torch")
    w, x = weights(6, 3, 2, 3), inputs(2, 9)
    graph = chain(nir.Conv1d(9, w, 1, "same", 2, 1, np.zeros(3)), shape=(2, 9))
    y = torch.nn.functional.conv1d(
        torch.from_numpy(x), torch.from_numpy(w), padding="same", dilation=2
    )
    assert (outputs(graph, x) == y.numpy()).all()


def recurrent(nested: bool) -> nir.NIRGraph:
    """Neurons that feed back on themselves, flat or in a subgraph as snnTorch writes it."""
    inner = {"lif": lif(4), "w_rec": nir.Affine(weights(8, 4, 4) - 0.5, vector(0.125, 0, 0, -0.25))}
    loop = [("lif", "w_rec"), ("w_rec", "lif")]
    nodes = {"input": nir.Input(np.array([3])), "fc": nir.Linear(W)}
    if nested:
        ends = {"input": nir.Input(np.array([4])), "output": nir.Output(np.array([4]))}
        edges = [*loop, ("input", "lif"), ("lif", "output")]
        nodes["rnn"] = nir.NIRGraph({**inner, **ends}, edges, type_check=False)
        edges = [("input", "fc"), ("fc", "rnn"), ("rnn", "output")]
    else:
        nodes |= inner
        edges = [("input", "fc"), ("fc", "lif"), ("lif", "output"), *loop]
    nodes["output"] = nir.Output(np.array([4]))
    return nir.NIRGraph(nodes, edges, type_check=False)


@pytest.mark.parametrize("nested", [False, True])
def test_recurrent(nested: bool) -> None:
    graph, x = recurrent(nested), inputs(3)
    rec = (graph.nodes["rnn"] if nested else graph).nodes["w_rec"]
    v, z, wanted = np.zeros(4), np.zeros(4), []
    for current in x @ W.T:
        v = held(0.75 * v) + current + rec.weight @ z + rec.bias
        z = (v > 1).astype(float)
        v = np.where(z > 0, 0, v)
        wanted.append(z)
    assert (outputs(graph, x) == np.stack(wanted)).all()
    assert np.stack(wanted).any()


def test_delay() -> None:
    node, x = lif(4), inputs(3)
    graph = chain(nir.Delay(np.full(3, 3 * DT)), nir.Linear(W), node)
    late = np.concatenate([np.zeros((3, 3)), x[:-3]])
    assert (outputs(graph, x) == stepped(node, late @ W.T)).all()


def late(x: np.ndarray, steps: list[int]) -> np.ndarray:
    """Column c as it was ``steps[c]`` steps before."""
    return np.stack([np.r_[np.zeros(d), x[: len(x) - d, c]] for c, d in enumerate(steps)], 1)


def test_a_delay_for_each_neuron() -> None:
    """Before weights, and between neurons, where no weights could take the choice."""
    node, other, x = lif(4), lif(4, v_threshold=np.full(4, 0.5)), inputs(3)
    first, then = [3, 1, 3], [2, 2, 1, 7]
    graph = chain(
        nir.Delay(DT * vector(*first)), nir.Linear(W), node, nir.Delay(DT * vector(*then)), other
    )
    middle = stepped(node, late(x, first) @ W.T)
    wanted = stepped(other, late(middle, then))
    assert (outputs(graph, x) == wanted).all()
    assert wanted.any()


def test_a_delay_for_each_synapse() -> None:
    """As Linear layers of their own, each after its delay: what arrives is added up."""
    node, x, delays = lif(4), inputs(3), (1, 2, 5)
    own = np.random.default_rng(3).integers(0, 3, W.shape)
    nodes = {"input": nir.Input(np.array([3])), "lif": node, "output": nir.Output(np.array([4]))}
    edges, wanted = [("lif", "output")], np.zeros((STEPS, 4))
    for k, steps in enumerate(delays):
        nodes[f"d{k}"], nodes[f"w{k}"] = (
            nir.Delay(np.full(3, steps * DT)),
            nir.Linear(W * (own == k)),
        )
        edges += [("input", f"d{k}"), (f"d{k}", f"w{k}"), (f"w{k}", "lif")]
        wanted += late(x, [steps] * 3) @ (W * (own == k)).T
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    assert (outputs(graph, x) == stepped(node, wanted)).all()


def test_a_loop_through_delays_of_its_own() -> None:
    """Each neuron hears itself after a time of its own."""
    graph, delays = recurrent(False), [2, 1, 4, 2]
    graph.nodes["wait"] = nir.Delay(DT * vector(*delays))
    graph.edges = [e for e in graph.edges if e != ("lif", "w_rec")]
    graph.edges += [("lif", "wait"), ("wait", "w_rec")]
    rec, x = graph.nodes["w_rec"], inputs(3)
    v, spikes = np.zeros(4), [np.zeros(4)] * 4
    for current in x @ W.T:
        heard = np.array([spikes[-d][c] for c, d in enumerate(delays)])
        v = held(0.75 * v) + current + rec.weight @ heard + rec.bias
        spikes.append((v > 1).astype(float))
        v = np.where(spikes[-1] > 0, 0, v)
    assert (outputs(graph, x) == np.stack(spikes[4:])).all()


def test_a_loop_through_a_delay_needs_no_other() -> None:
    graph = recurrent(False)
    graph.nodes["wait"] = nir.Delay(np.full(4, 2 * DT))
    graph.edges = [e for e in graph.edges if e != ("lif", "w_rec")]
    graph.edges += [("lif", "wait"), ("wait", "w_rec")]
    rec, x = graph.nodes["w_rec"], inputs(3)
    v, spikes = np.zeros(4), [np.zeros(4)] * 2
    for current in x @ W.T:
        v = held(0.75 * v) + current + rec.weight @ spikes[-2] + rec.bias
        spikes.append((v > 1).astype(float))
        v = np.where(spikes[-1] > 0, 0, v)
    assert (outputs(graph, x) == np.stack(spikes[2:])).all()


# --- presets and policies -----------------------------------------------------------------------


def test_presets_differ() -> None:
    """The same graph, one neuron and 24 steps: what a preset decides is visible."""
    graph, x = (
        chain(nir.Linear(W), lif(4, v_threshold=vector(0.125, 0.25, 0.5, 0.75))),
        inputs(3, steps=100),
    )
    found = {}
    for preset in ("snntorch_default", "snntorch_no_delay", "hls4ml"):
        overflow = "wrap" if preset == "hls4ml" else "sat_step"
        state = {"bits": 24, "frac": FRAC, "signed": True, "overflow": overflow}
        found[preset] = outputs(
            graph, x, policy(preset=preset, state=state, reset="subtract")
        ).tobytes()
    assert len(set(found.values())) == 3


def test_no_policy_lists_the_presets() -> None:
    with pytest.raises(UsageError) as caught:
        import_nir(chain(lif(3)), None)
    for says in (
        "xylo: fires on >=, resets in the same step, leak shift_min1, overflow sat_change",
        "snntorch_default: fires on >, resets in the next step",
        "16 bit states",
    ):
        assert says in str(caught.value)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"preset": "loihi"}, "preset 'loihi' has sat_narrow, the policy says state overflow"),
        ({"preset": "xylo", "reset": "none"}, "preset 'xylo' has 16"),
        ({"preset": "tinyodin"}, "preset 'tinyodin' has 12"),
        ({"preset": "norse"}, "field 'preset'"),
        ({"dt": 1}, "field 'dt'"),
    ],
)
def test_policies_that_do_not_fit(change: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        import_nir(chain(lif(3)), policy(**change))


def test_nearest_reports_changes() -> None:
    graph = chain(nir.Linear(W + 0.01), lif(4, tau=np.full(4, 3.9 * DT), r=np.full(4, 3.9)))
    with pytest.raises(UnsupportedModel, match=r"weight .* is no multiple of 2\^-5: the nearest"):
        import_nir(graph, policy())
    changes = import_nir(graph, policy(parameters="nearest")).changes
    assert [c.what for c in changes] == ["weight", "decay"]
    assert changes[0].largest == pytest.approx(0.01)


def odd_branch() -> nir.NIRGraph:
    graph = recurrent(False)
    graph.edges = [e for e in graph.edges if e != ("lif", "output")] + [("w_rec", "output")]
    return graph


REFUSED = [
    (chain(lif(3, tau=np.full(3, DT / 2))), "dt is 2 times its time constant"),
    (chain(lif(3, tau=np.full(3, -1.0))), "a time constant of -1"),
    (chain(lif(3, tau=np.full(3, np.nan))), "a parameter is not finite"),
    (chain(nir.AvgPool2d(3, 1, 0), shape=(1, 5, 5)), "an average of 9 elements"),
    (chain(nir.Delay(np.full(3, 1.5 * DT))), "is no multiple of dt.*nearest is 0.00195"),
    (chain(nir.Delay(vector(DT, DT, 2 * DT))), "different delays before the output"),
    (chain(nir.Delay(vector(DT, DT, 0)), lif(3)), "a delay of 0 s is no multiple"),
    (chain(nir.Linear(weights(1, 2, 2, 3))), "weights of shape"),
    (chain(nir.Linear(weights(1, 2, 4))), r"it takes \(4,\), a value of shape \(3,\)"),
    (chain(lif(3, v_threshold=np.full(3, 0.3))), "threshold 0.3 is no multiple"),
    (chain(lif(3), shape=(3, 2)), "a parameter of shape"),
    (odd_branch(), "leads both back and forward"),
    (
        nir.NIRGraph({"input": nir.Input(np.array([3]))}, [], type_check=False),
        "0 nodes of type Out",
    ),
]


@pytest.mark.parametrize("graph, says", REFUSED)
def test_refused(graph: object, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=says):
        import_nir(graph, policy())


# --- files --------------------------------------------------------------------------------------


def test_a_file(tmp_path) -> None:
    path, x = tmp_path / "net.nir", inputs(3)
    nir.write(path, recurrent(True))
    assert (outputs(str(path), x) == outputs(recurrent(True), x)).all()


def write_bad(path, change) -> None:
    nir.write(path, chain(nir.Linear(W), lif(4)))
    with h5py.File(path, "r+") as file:
        change(file)


def unknown_type(file) -> None:
    del file["node/nodes/n1/type"]
    file["node/nodes/n1/type"] = "Izhi\x1b[31mkevich"


def external(file) -> None:
    del file["node/nodes/n0/weight"]
    file["node/nodes/n0/weight"] = h5py.ExternalLink("/etc/passwd", "x")


def cycle(file) -> None:
    file["node/nodes/again"] = file["node"]


def bomb(file) -> None:
    file.create_dataset("node/nodes/n0/big", (1 << 28,), "f8", chunks=True, fillvalue=1)


def lost(file) -> None:
    del file["node/nodes/n1/tau"]


def no_edges(file) -> None:
    del file["node/edges"]


BAD = [
    (unknown_type, UnsupportedModel, r"type 'Izhi\\x1b\[31mkevich'"),
    (external, UsageError, "'weight' is a link to elsewhere"),
    (cycle, UsageError, "nested more than"),
    (bomb, UsageError, "hold more than"),
    (lost, UsageError, r"node 'n1' \(LIF\): TypeError"),
    (no_edges, UsageError, "KeyError: 'edges'"),
]


@pytest.mark.parametrize("change, error, says", BAD)
def test_bad_files(change, error, says: str, tmp_path) -> None:
    path = tmp_path / "bad.nir"
    write_bad(path, change)
    with pytest.raises(error, match=says) as caught:
        read_nir(path)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"not hdf5", b"\x89HDF\r\n\x1a\n" + b"\0" * 40])
def test_no_hdf5(data: bytes, tmp_path) -> None:
    path = tmp_path / "x.nir"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="no well-formed NIR file"):
        read_nir(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_nir(tmp_path / "missing.nir")


def test_truncated_files(tmp_path) -> None:
    """Every prefix of a file is one clear error, or the whole graph."""
    path = tmp_path / "x.nir"
    nir.write(path, chain(nir.Linear(W), lif(4)))
    whole = path.read_bytes()
    for size in range(0, len(whole), 997):
        path.write_bytes(whole[:size])
        with pytest.raises((UsageError, UnsupportedModel)):
            read_nir(path)


# --- and back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NODES)
def test_round_trip_of_neurons(name: str) -> None:
    again(chain(nir.Linear(W), NODES[name]), inputs(3))


@pytest.mark.parametrize("nested", [False, True])
def test_round_trip_of_loops(nested: bool) -> None:
    again(recurrent(nested), inputs(3))


def test_round_trip_of_layers() -> None:
    graph = chain(
        nir.Conv2d(None, weights(3, 4, 1, 3, 3), (1, 1), "same", (1, 1), 2, weights(4, 4)),
        nir.LIF(*(np.full((4, 6, 5), n) for n in (4 * DT, 4.0, 0.0, 1.0, 0.0))),
        nir.SumPool2d(np.array([2, 2]), np.array([2, 1]), np.array([0, 0])),
        nir.Delay(np.full((4, 3, 4), 2 * DT)),
        nir.Scale(np.full((4, 3, 4), 0.5)),
        nir.Flatten(np.array([4, 3, 4]), 0, -1),
        nir.Affine(weights(5, 2, 48), vector(0.5, -1)),
        lif(2),
        shape=(2, 6, 5),
    )
    graph.edges.remove(("n2", "n3"))  # a delay of sums would be refused
    graph.edges = [("n1", "n3") if e == ("n1", "n2") else e for e in graph.edges]
    graph.edges = [("n3", "n2") if e == ("n3", "n4") else e for e in graph.edges] + [("n2", "n4")]
    graph.nodes["n3"] = nir.Delay(np.full((4, 6, 5), 2 * DT))
    kinds = again(graph, inputs(2, 6, 5))
    assert {"Conv2d", "SumPool2d", "Delay", "Scale", "Flatten", "Affine"} <= kinds


def again(graph: object, x: np.ndarray) -> set[str]:
    """NIR to ours to NIR to ours: the same spikes and the same neurons, through a file."""
    given = policy(integrators="per_second", parameters="nearest")
    if any(isinstance(n, nir.IF | nir.I) for n in graph.nodes.values()):
        for node in graph.nodes.values():
            if isinstance(node, nir.IF | nir.I):
                node = type(node)(**{**vars_of(node), "r": node.r / DT})
                graph.nodes["n1"] = node
    first = import_nir(graph, given)
    exported = export_nir(first.scan)
    file = io.BytesIO()
    nir.write(file, exported.graph)
    second = import_nir(exported.graph, given)
    result = second.step.graph.output[0].name
    assert (run_steps(second.step, x)[result] == outputs(graph, x, given)).all()
    ours, theirs = neurons_of(first.step), neurons_of(second.step)
    for a, b in zip(ours.values(), theirs.values(), strict=True):
        assert a.attributes == b.attributes
        for key, values in a.neuron.parameters().items():
            assert (values == b.neuron.parameters()[key]).all(), key
    assert not second.changes
    return {type(n).__name__ for n in exported.graph.nodes.values()}


def vars_of(node: object) -> dict[str, np.ndarray]:
    names = ("r", "v_threshold", "v_reset")
    return {n: getattr(node, n) for n in names if hasattr(node, n)}


def test_export_warns() -> None:
    """All that NIR cannot say is named."""
    under = policy(preset="snntorch_default", reset="subtract")
    warnings = "\n".join(export_nir(import_nir(chain(nir.Linear(W), lif(4)), under).step).warnings)
    for says in (
        "fires on > and resets in the next step",
        "resets to v_reset, not by 'subtract'",
        "8 bits in steps of 0.03125",
        "v 24 bits, 16 of fraction, sat_step",
        "dt 0.0009765625 s, 24 steps",
        "leak is mul_floor with 4 bits",
    ):
        assert says in warnings


def test_export_leaves_out_encoder_and_decoder() -> None:
    made = import_nir(chain(nir.Linear(W), lif(4)), policy(preset="snntorch_default")).scan
    plain = export_nir(made)
    said = read_metadata(made)
    write_metadata(made, said.model_copy(update={"encoding": "latency", "readout": "bessel"}))
    smooth = with_decoder(made, Bessel(said.steps, 1, 0, False, design(2, 0.3, 10, 4)))
    whole = export_nir(with_encoder(smooth, Latency(said.steps, 4, 4, low=1)))
    assert set(whole.graph.nodes) == set(plain.graph.nodes)
    assert [w.split(":")[0] for w in whole.warnings[:2]] == [
        "NIR has no LatencyEncoder", "NIR has no BesselDecoder",
    ]  # fmt: skip


def test_the_documentation_names_all() -> None:
    """Every preset, primitive and field of a policy has its line in docs/SPIKING.md."""
    from pathlib import Path

    from codesign.frontend.nir.read import PRIMITIVES
    from codesign.frontend.spiking import Formats
    from codesign.neurons.presets import PRESETS

    text = (Path(__file__).parents[2] / "docs" / "SPIKING.md").read_text()
    names = (*PRESETS, *PRIMITIVES, *NirPolicy.model_fields, *Formats.model_fields)
    assert [n for n in names if f"`{n}`" not in text and n != "formats"] == []


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["snntorch_default", "snntorch_no_delay", "spiker"])
def test_a_circuit(preset: str, tmp_path) -> None:
    """From a NIR file with a loop to a circuit that computes every spike and state of it."""
    import codesign

    state = {"bits": 24, "frac": FRAC, "signed": True, "overflow": "sat_step"}
    leak = {"kind": "mul_floor", "frac": 4}
    if preset == "spiker":
        state, leak = {**state, "overflow": "sat_add"}, {"kind": "shift_floor", "frac": 0}
    nir.write(tmp_path / "net.nir", recurrent(True))
    made = import_nir(tmp_path / "net.nir", policy(preset=preset, state=state, leak=leak))
    design = codesign.generate(made.scan, tmp_path / "build", smallest=True)
    report = design.verify(random_frames=50, cocotb=False)
    assert report.ok
