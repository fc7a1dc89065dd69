"""The integer model, qonnx and onnxruntime agree on every bit of every step."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import UnsupportedModel
from codesign.exchange import (
    decompose,
    execute,
    inline,
    neurons_of,
    read_neuron,
    recompose,
    run_steps,
    states_of,
    to_scan,
    to_step,
    with_functions,
)
from codesign.exchange.wire import to_wire
from codesign.neurons import Lif
from tests.exchange.neurons import (
    CHANNELS,
    constants,
    fields,
    layer,
    neurons,
    node_of,
)

STEPS = 5


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def inputs_of(model: Lif, seed: int, batch: int = 2) -> np.ndarray:
    """Codes [batch, steps, channels] of all sizes that lose no bits where none may be lost."""
    rng = np.random.default_rng(seed)
    limit = rng.choice([3, 100, 1 << 14, (1 << 24) - 1], (batch, STEPS, CHANNELS))
    codes = rng.integers(-limit, limit + 1)
    if model.rounding == "exact":
        frac = model.synapse.word.frac if model.synapse else model.word.frac
        codes &= -1 << max(0, model.input_frac - frac)
    return codes


def reference(model: Lif, codes: np.ndarray) -> dict[str, np.ndarray] | None:
    """Outputs and states of every step as they are on the wires; None where bits are lost."""
    try:
        out, states = model.run(codes)
    except ValueError:
        return None
    found = {"L": to_wire(out, model.out.frac)}
    for state in model.states:
        found[f"L.{state.name}"] = to_wire(states[state.name], state.word.frac)
    return found


@given(neurons(), st.integers(0, 99))
@settings(derandomize=True, deadline=None, database=None, max_examples=40)
def test_three_executions(model: Lif, seed: int) -> None:
    codes = inputs_of(model, seed)
    x = to_wire(codes, model.input_frac)
    wanted = reference(model, codes)
    step = layer(model)
    scan = to_scan(step)
    inlined = session(inline(scan))
    functions = session(with_functions(scan))
    if wanted is None:  # then nobody computes
        with pytest.raises(UnsupportedModel, match="bits would be lost"):
            run_steps(step, {"x": x})
        for runner in (inlined, functions):
            with pytest.raises(Exception, match="out of"):
                runner.run(None, {"x": x})
        return
    run = run_steps(step, {"x": x})
    assert set(run.outputs) | set(run.states) == set(wanted)
    for name, values in (run.outputs | run.states).items():
        np.testing.assert_array_equal(values, wanted[name], err_msg=name)
    for runner in (inlined, functions):
        np.testing.assert_array_equal(runner.run(["L"], {"x": x})[0], wanted["L"])
    one, now = session(inline(step)), {k: v.copy() for k, v in _initial(step).items()}
    for t in range(STEPS):
        names = ["L", *(f"{name}_next" for name in now)]
        got = dict(zip(names, one.run(names, {"x": x[:, t], **now}), strict=True))
        now = {name: got[f"{name}_next"] for name in now}
        np.testing.assert_array_equal(got["L"], wanted["L"][:, t])
        for name, value in now.items():
            np.testing.assert_array_equal(value, wanted[name][:, t], err_msg=name)


def _initial(step: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {s.name: s.initial for s in states_of(step.graph)}


@given(neurons())
@settings(derandomize=True, deadline=None, database=None, max_examples=30)
def test_round_trips(model: Lif) -> None:
    """Node to model, decomposed to node, Scan to step: nothing is lost."""
    made = node_of(model)
    assert fields(read_neuron(made.node, constants(made))) == fields(model)
    step = layer(model)
    scan = to_scan(step)
    assert to_step(scan) == step
    for form in (step, scan):
        assert recompose(decompose(form)) == form
        apart = inline(form)
        assert {n.domain for n in apart.graph.node} == {""} and not apart.functions
        assert recompose(apart).graph == form.graph
    assert fields(neurons_of(recompose(inline(step)))["L"].neuron) == fields(model)


@given(neurons(), st.integers(0, 99))
@settings(derandomize=True, deadline=None, database=None, max_examples=60)
def test_one_step_from_the_corners(model: Lif, seed: int) -> None:
    """From any states, the smallest and largest above all, also those no run leads to."""
    rng = np.random.default_rng(seed)
    shape = (8, CHANNELS)
    x = rng.choice([0, 1, -1, (1 << 24) - 1, 1 - (1 << 24), int(rng.integers(999))], shape)
    if model.rounding == "exact":
        frac = model.synapse.word.frac if model.synapse else model.word.frac
        x &= -1 << max(0, model.input_frac - frac)
    old = {}
    for s in model.states:
        middle = int(rng.integers(s.word.lo, s.word.hi + 1))
        old[s.name] = rng.choice([s.word.lo, s.word.hi, 0, middle], shape)
    feeds = {"x": to_wire(x, model.input_frac)}
    feeds |= {f"L.{s.name}": to_wire(old[s.name], s.word.frac) for s in model.states}
    runner = session(inline(layer(model, batch=8)))
    try:
        out, new = model.step((x,), old)
    except ValueError:
        with pytest.raises(Exception, match="out of"):
            runner.run(None, feeds)
        return
    made = node_of(model)
    wanted = {"L": to_wire(out, model.out.frac)}
    wanted |= {f"L.{s.name}_next": to_wire(new[s.name], s.word.frac) for s in model.states}
    got = dict(zip(wanted, runner.run(list(wanted), feeds), strict=True))
    executed = execute(made.node, constants(made) | feeds)
    for name, values in wanted.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)
        np.testing.assert_array_equal(executed[name], values, err_msg=name)
