"""NIR graphs as exchange models, against NIR's equations stepped in float64."""

from __future__ import annotations

import nir
import numpy as np
import pytest

from codesign.errors import UnsupportedModel, UsageError
from codesign.frontend.nir import NirPolicy, import_nir
from tests.frontend.nir_models import (
    DT,
    FRAC,
    NODES,
    STEPS,
    W,
    chain,
    inputs,
    lif,
    outputs,
    policy,
    recurrent,
    vector,
    weights,
)


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
