"""NIR graphs and policies that the tests of NIR share."""

from __future__ import annotations

import nir
import numpy as np

from codesign.frontend.nir import NirPolicy, import_nir
from codesign.frontend.spiking.policy import parse
from tests.frontend.step_runner import run_steps

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
