"""SNU and EGRU: the integer model, qonnx and onnxruntime agree; round trips; errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from codesign.errors import UnsupportedModel
from codesign.exchange import (
    StepBuilder,
    inline,
    neuron_node,
    neurons_of,
    read_neuron,
    recompose,
    run_steps,
    to_scan,
    to_step,
    with_functions,
)
from codesign.exchange.wire import to_wire
from codesign.neurons import Neuron, Snu, Table
from tests.exchange.neurons import META
from tests.neurons.units import random_egru, units

STEPS, SHAPE = 5, (2, 3)


def layer(model: Neuron) -> onnx.ModelProto:
    built = StepBuilder("layer", SHAPE, input=model.inputs[0])
    names = [model.inputs[0], *(built.another_input(n, SHAPE) for n in model.inputs[1:])]
    return built.model(built.neuron(model, "L", names, SHAPE), SHAPE, META)


def tables(model: Neuron) -> dict[str, object]:
    """Everything ``model`` computes with."""
    found: dict[str, object] = {n: p.tolist() for n, p in model.parameters().items()}
    for name, value in vars(model).items():
        if isinstance(value, Table):
            found[name] = (value.in_frac, value.lo, value.frac, value.codes.tolist())
        elif isinstance(value, str | int | tuple):
            found[name] = value
    if getattr(model, "leak", None) is not None and model.leak.kind == "none":
        del found["leak"]
    som = getattr(model, "somatic", None)
    if som is not None and som.leak.kind == "none":
        del found["somatic_leak"]
    return found


@pytest.mark.parametrize("seed", range(6))
def test_three_executions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for model in units(seed, channels=3):
        limit = int(rng.choice([5, 300, 1 << 20]))
        codes = [rng.integers(-limit, limit + 1, (2, STEPS, 3)) for _ in model.inputs]
        out, states = model.run(*codes)
        wanted = {"L": to_wire(out, model.out.frac)}
        for state in model.states:
            wanted[f"L.{state.name}"] = to_wire(states[state.name], state.word.frac)
        pairs = zip(model.inputs, codes, model.input_fracs, strict=True)
        feeds = {name: to_wire(c, frac) for name, c, frac in pairs}
        step = layer(model)
        run = run_steps(step, feeds)
        for name, values in (run.outputs | run.states).items():
            np.testing.assert_array_equal(values, wanted[name], err_msg=name)
        scan = to_scan(step)
        for form in (inline(scan), with_functions(scan)):
            onnx.checker.check_model(form, full_check=True)
            options = onnxruntime.SessionOptions()
            options.log_severity_level, options.intra_op_num_threads = 4, 1
            session = onnxruntime.InferenceSession(form.SerializeToString(), options)
            np.testing.assert_array_equal(session.run(["L"], feeds)[0], wanted["L"])
        assert to_step(scan) == step and recompose(inline(scan)).graph == scan.graph
        assert tables(neurons_of(scan)["L_step"].neuron) == tables(model)


def test_every_attribute_is_mandatory() -> None:
    for model in units(0, channels=3):
        names = [f"in{n}" for n, _ in enumerate(model.inputs)]
        made = neuron_node(model, name="L", inputs=names, out="L")
        constants = {t.name: numpy_helper.to_array(t) for t in made.initializers}
        assert tables(read_neuron(made.node, constants)) == tables(model)
        for attribute in made.node.attribute:
            node = onnx.NodeProto.FromString(made.node.SerializeToString())
            kept = [a for a in node.attribute if a.name != attribute.name]
            del node.attribute[:]
            node.attribute.extend(kept)
            with pytest.raises(UnsupportedModel, match=f"'{attribute.name}' is missing"):
                read_neuron(node, constants)


def test_tables_have_the_size_and_words_the_attributes_say() -> None:
    model = random_egru(np.random.default_rng(0))
    names = [f"in{n}" for n, _ in enumerate(model.inputs)]
    made = neuron_node(model, name="L", inputs=names, out="L")
    constants = {t.name: numpy_helper.to_array(t) for t in made.initializers}
    with pytest.raises(UnsupportedModel, match=r"table 'sigma' has shape \(3,\)"):
        read_neuron(made.node, constants | {"L.sigma": np.zeros(3, np.float32)})
    soft = next(m for m in units(0) if isinstance(m, Snu) and m.soft and not m.axonic)
    made = neuron_node(soft, name="L", inputs=["x", "y"][: len(soft.inputs)], out="L")
    constants = {t.name: numpy_helper.to_array(t) for t in made.initializers}
    zeros = np.zeros_like(constants["L.soft"])
    with pytest.raises(UnsupportedModel, match="soft_bits is"):
        read_neuron(made.node, constants | {"L.soft": zeros})
    wide = replace(model, fracs=(60, 0, 0, 0))
    with pytest.raises(UnsupportedModel, match="fraction bits differ"):
        neuron_node(wide, name="L", inputs=names, out="L")
