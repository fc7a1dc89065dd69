"""What to look at of a spiking network: spikes and states, of the circuit and of the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from codesign.evidence import Trace
from codesign.ir import Graph, Node
from codesign.neurons.alpha import Alpha
from codesign.neurons.base import Neuron as Model
from codesign.neurons.base import tiled
from codesign.neurons.egru import Egru
from codesign.neurons.lif import Lif
from codesign.neurons.snu import Snu
from codesign.ops.neuron import Neuron, state_name
from codesign.ops.reshape import origin

#: Neurons a raster shows at least, if there are: more while they have no more steps than this.
RASTER, CELLS = 64, 8192
#: Neurons whose states are drawn.
DRAWN = 2
#: Inputs of more bits are numbers, not spikes.
SPIKE_BITS = 2

Codes = Mapping[str, np.ndarray]


def is_membrane(op: Neuron) -> bool:
    """Whether these neurons put out their membranes: integrators, which do not spike."""
    return getattr(op.model, "output", "spikes") == "membrane"


def traces(
    neurons: Sequence[Node], graph: Graph, codes: Codes, shown: int, recorded: Codes
) -> list[Trace]:
    """The spikes that reach the network, those of every layer, and the states of its neurons that
    spike most. ``codes``: int64 [frames, elements] of the model, by tensor; ``recorded``: int64
    [elements] that the circuit had in frame ``shown``."""
    found = list(_inputs(neurons, graph, codes, shown, recorded))
    for node in neurons:
        found += _layer(node, graph, codes, shown, recorded)
    return found


def _inputs(
    neurons: Sequence[Node], graph: Graph, codes: Codes, shown: int, recorded: Codes
) -> Iterator[Trace]:
    """Spikes that reach the network: what synapses read that the circuit is sent, or that an
    encoder in it makes."""
    done: set[str] = set()
    for node in neurons:
        op = node.op
        assert isinstance(op, Neuron)
        name = _source(graph, node, {other.output for other in neurons}, codes)
        if name is None or name in done or name not in recorded:
            continue
        done.add(name)
        model, circuit = (
            np.asarray(x).reshape(op.steps, -1) for x in (codes[name][shown], recorded[name])
        )
        if graph.values[name].format.bits <= SPIKE_BITS:
            yield _picked(name, "input", model, circuit, _busy(model, _rows(op.steps)))


def _source(graph: Graph, node: Node, made: set[str], codes: Codes) -> str | None:
    """The input of steps that feeds ``node`` with no layer of neurons between: the first codes
    on the way back to the model's inputs, or an encoder's; None where there is none."""
    name, found, steps = node.inputs[0], None, graph.out(node).shape[:1]
    while (feeder := graph.producer(name)) is not None and feeder.inputs:
        if feeder.op.kind == "encode":
            break
        name = origin(graph, feeder.inputs[0])
        if name in made:
            return None
        if name in codes and graph.values[name].shape[:1] == steps:
            found = name
    return found


def _layer(node: Node, graph: Graph, codes: Codes, shown: int, recorded: Codes) -> Iterator[Trace]:
    op, name = node.op, graph.out(node).name
    assert isinstance(op, Neuron)
    out = codes[name][shown].reshape(op.steps, -1)
    spikes = not is_membrane(op)
    if spikes and name in recorded:
        yield _picked(name, "spikes", out, recorded[name], _busy(out, _rows(op.steps)))
    picked = _busy(out, DRAWN)
    states = {
        state.name: codes[own][shown].reshape(op.steps, -1)
        for state in op.model.states
        if (own := state_name(node.name, state.name)) in codes
    }
    for state in op.model.states:
        own = state_name(node.name, state.name)
        if state.name not in states or own not in recorded:
            continue
        limit = threshold(op.model, state.name, states)
        before = None
        if (current := node.inputs[0]) in codes:
            x = codes[current][shown].reshape(op.steps, -1)
            before = compared(op.model, state.name, states, x)
        trace = _picked(own, "state", states[state.name], recorded[own], picked)
        yield trace.model_copy(
            update={
                "scale": 2.0**-state.word.frac,
                "threshold": [] if limit is None else limit[:, picked].tolist(),
                "reset": isinstance(op.model, Lif) and not op.model.late and limit is not None,
                "compared": [] if before is None else before[:, picked].tolist(),
                "fired": (out[:, picked] != 0).astype(int).tolist() if spikes else [],
            }
        )


def threshold(model: Model, state: str, after: Codes) -> np.ndarray | None:
    """What ``state`` is compared with in each step, in its codes, int64 [steps, neurons]; None
    where it is not compared, or not with a number. ``after``: the states after each step; the
    first step begins with adaptation 0."""
    shape = after[state].shape
    if isinstance(model, Lif) and state == "v" and model.output == "spikes":
        theta = np.broadcast_to(tiled(model.theta, shape[-1]), shape)
        if model.adaptation is None:
            return theta
        return theta + np.concatenate([np.zeros((1, shape[-1]), np.int64), after["a"][:-1]])
    compared = {Alpha: "v", Egru: "h", Snu: "s"}.get(type(model))
    moved = isinstance(model, Snu) and (model.soft or model.somatic)
    if isinstance(model, Alpha | Egru | Snu) and state == compared and not moved:
        return np.broadcast_to(tiled(model.theta, shape[-1]), shape)
    return None


def compared(model: Model, state: str, after: Codes, x: np.ndarray) -> np.ndarray | None:
    """The membrane that is compared, where a reset in the same step changes it before it is stored:
    int64 [steps, neurons] of the currents ``x`` and the states ``after`` each step, of all of them.
    None elsewhere: nothing changes, or the leak comes after the reset, too."""
    fits = isinstance(model, Lif) and state == "v" and model.output == "spikes"
    if not fits or set(after) != {s.name for s in model.states}:
        return None
    assert isinstance(model, Lif)
    if model.late or model.reset == "none" or model.reset_vs_leak != "after":
        return None
    start = model.begin((1, x.shape[-1]))
    old = {name: np.concatenate([start[name], words[:-1]]) for name, words in after.items()}
    _, new = replace(model, reset="none").step((x,), old)
    return new["v"]


def _rows(steps: int) -> int:
    return max(RASTER, CELLS // steps)


def _busy(spikes: np.ndarray, most: int) -> np.ndarray:
    """Those of ``spikes`` [steps, neurons] with most, at most so many, ascending."""
    order = np.argsort(-np.abs(spikes).sum(axis=0), kind="stable")
    return np.sort(order[:most])


def _picked(
    tensor: str, kind: str, model: np.ndarray, circuit: np.ndarray, which: np.ndarray
) -> Trace:
    return Trace(
        tensor=tensor,
        kind=kind,  # type: ignore[arg-type]
        neurons=which.tolist(),
        of=model.shape[1],
        circuit=circuit.reshape(model.shape)[:, which].tolist(),
        model=model[:, which].tolist(),
    )
