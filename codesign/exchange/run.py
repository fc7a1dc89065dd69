"""A spiking model run by qonnx, which executes one step at a time."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from codesign.errors import UsageError
from codesign.exchange.domain import check_version, is_neuron
from codesign.exchange.metadata import read_metadata
from codesign.exchange.scan import to_step
from codesign.exchange.step import shape_of, states_of


@dataclass(frozen=True)
class Run:
    """``outputs`` of every step and ``states`` after every step: float32 [batch, steps, ...], by
    name. ``last``: the states after the last step, [batch, ...]."""

    outputs: dict[str, np.ndarray]
    states: dict[str, np.ndarray]
    last: dict[str, np.ndarray]


def run_steps(
    model: ModelProto,
    inputs: Mapping[str, np.ndarray],
    states: Mapping[str, np.ndarray] | None = None,
) -> Run:
    """Run ``model``, in one-step or Scan form, on ``inputs`` float32 [batch, steps, ...].

    It starts from the initial states, or goes on from ``states`` (the ``last`` of another run).
    As many steps are made as the inputs have. Raises :class:`UsageError` for other shapes or
    names, and :class:`UnsupportedModel` for values that are no codes.
    """
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    check_version(model)
    scans = any(n.op_type == "Scan" for n in model.graph.node)
    step = to_step(model) if scans and not any(map(is_neuron, model.graph.node)) else model
    read_metadata(step)
    kept = states_of(step.graph)
    begin = {s.name: s.initial for s in kept}
    now = dict(begin if states is None else states)
    steps = _check(step, inputs, begin, now)
    ports = [o.name for o in step.graph.output if o.name not in {s.after for s in kept}]
    wrapped = ModelWrapper(step).transform(InferShapes())
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in ports}
    seen: dict[str, list[np.ndarray]] = {s.name: [] for s in kept}
    for t in range(steps):
        given = {name: np.asarray(x[:, t], np.float32) for name, x in inputs.items()}
        with warnings.catch_warnings():  # qonnx's, about shapes, which are checked above
            warnings.simplefilter("ignore")
            made = execute_onnx(wrapped, {**given, **now})
        now = {s.name: made[s.after] for s in kept}
        for name in ports:
            outputs[name].append(made[name])
        for name, value in now.items():
            seen[name].append(value)
    return Run(_stacked(outputs), _stacked(seen), now)


def _check(
    step: ModelProto,
    inputs: Mapping[str, np.ndarray],
    begin: Mapping[str, np.ndarray],
    now: Mapping[str, np.ndarray],
) -> int:
    """The number of steps in ``inputs``."""
    if {n: a.shape for n, a in now.items()} != {n: a.shape for n, a in begin.items()}:
        raise UsageError(f"the states must be {', '.join(begin) or 'none'}, in their own shapes")
    wanted = {p.name: shape_of(p) for p in step.graph.input if p.name not in begin}
    if set(inputs) != set(wanted):
        raise UsageError(f"inputs {', '.join(inputs)} were given", hint=f"give {', '.join(wanted)}")
    counts = set()
    for name, shape in wanted.items():
        found = np.shape(inputs[name])
        if len(found) != len(shape) + 1 or (found[0], *found[2:]) != shape:
            text = ", ".join(map(str, (shape[0], "steps", *shape[1:])))
            raise UsageError(f"input '{name}' has shape {found}", hint=f"give ({text})")
        counts.add(found[1])
    if len(counts) != 1 or not min(counts):
        raise UsageError("the inputs have no steps, or different numbers of them")
    return int(counts.pop())


def _stacked(found: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack(values, axis=1) for name, values in found.items()}
