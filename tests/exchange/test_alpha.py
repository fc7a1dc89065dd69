"""Alpha neurons: the integer model, qonnx and onnxruntime agree on every bit of every step."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from codesign.exchange import (
    StepBuilder,
    decompose,
    inline,
    neurons_of,
    recompose,
    run_steps,
    to_scan,
    with_functions,
)
from codesign.exchange.wire import to_wire
from codesign.neurons import Alpha, Leak, Word
from tests.exchange.neurons import META

CHANNELS = 3


def alpha(reset: str, overflow: str, output: str) -> Alpha:
    return Alpha(
        Word(10, 4, True, overflow),
        Word(9, 4, True, overflow),
        Leak("mul_floor", [230, 200, 128], 8),
        Leak("mul_trunc0", [90], 8),
        np.array([41, 20, 33]),
        4,
        np.array([16, -3, 30]),
        compare="ge" if overflow == "wrap" else "gt",
        reset=reset,
        input_frac=5,
        rounding="half_even",
        gain_rounding="floor",
        output=output,
    )


@pytest.mark.parametrize("output", ["spikes", "membrane"])
@pytest.mark.parametrize("overflow", ["wrap", "sat_step", "sat_narrow"])
@pytest.mark.parametrize("reset", ["none", "zero", "subtract"])
def test_executions_agree(reset: str, overflow: str, output: str) -> None:
    model = alpha(reset, overflow, output)
    built = StepBuilder("layer", (2, CHANNELS))
    step = built.model(built.neuron(model, "L", "x", (2, CHANNELS)), (2, CHANNELS), META)
    codes = np.random.default_rng(4).integers(-90, 120, (2, META.steps, CHANNELS))
    out, states = model.run(codes)
    x = to_wire(codes, model.input_frac)
    run = run_steps(step, {"x": x})
    wanted = {"L": to_wire(out, model.out.frac)}
    wanted |= {f"L.{s.name}": to_wire(states[s.name], s.word.frac) for s in model.states}
    for name, values in (run.outputs | run.states).items():
        np.testing.assert_array_equal(values, wanted[name], err_msg=name)
    for form in (inline, with_functions):
        made = onnxruntime.InferenceSession(form(to_scan(step)).SerializeToString())
        np.testing.assert_array_equal(made.run(["L"], {"x": x})[0], wanted["L"])
    again = neurons_of(recompose(decompose(step)))["L"].neuron
    assert isinstance(again, Alpha)
    for name, array in model.parameters().items():
        assert (array == again.parameters()[name]).all()
