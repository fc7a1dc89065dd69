"""Nodes: every attribute is mandatory, and nothing inexact is read or written."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from codesign.errors import UnsupportedModel
from codesign.exchange import check_version, execute, read_neuron, read_node
from codesign.neurons import Adaptation, Leak, Lif, Synapse, Word
from tests.exchange.neurons import constants, layer, lif, node_of

WORD = Word(10, 4, True, "sat_step")
FULL = lif(
    refractory=2,
    reset="value",
    reset_value=[-3],
    synapse=Synapse(WORD, Leak("shift_floor", [3]), "new", False),
    adaptation=Adaptation(WORD, Leak("linear", [1]), [2]),
)
NAMES = [a.name for a in node_of(FULL).node.attribute]


def changed(model: Lif = FULL, drop: str = "", **values: Any) -> onnx.NodeProto:
    """The node of ``model``, an attribute dropped, others set."""
    node = node_of(model).node
    kept = [a for a in node.attribute if a.name != drop and a.name not in values]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.extend(helper.make_attribute(k, v) for k, v in values.items())
    return node


def refused(node: onnx.NodeProto, *parts: str, model: Lif = FULL, **arrays: Any) -> None:
    """Reading ``node`` fails, naming it and all of ``parts``."""
    known = constants(node_of(model)) | {f"L.{k}": np.asarray(v) for k, v in arrays.items()}
    with pytest.raises(UnsupportedModel) as caught:
        read_neuron(node, known)
    assert caught.value.where == "node 'L' (Lif)" and caught.value.hint
    for part in parts:
        assert part in str(caught.value), caught.value


@pytest.mark.parametrize("name", NAMES)
def test_each_attribute_is_mandatory(name: str) -> None:
    refused(changed(drop=name), f"attribute '{name}' is missing", "none has a default")


@pytest.mark.parametrize("name", NAMES)
def test_attributes_have_one_type_and_known_values(name: str) -> None:
    refused(changed(**{name: 0.5}), f"attribute '{name}' is of type FLOAT")
    refused(changed(**{name: [1, 2]}), f"attribute '{name}' is of type INTS")
    refused(changed(**{name: "no such word"}), f"attribute '{name}' is 'no such word'")
    if name == "version":
        refused(changed(version=99), "version 99 of Lif", "knows version 1")
    elif name not in ("synapse", "adaptation"):
        refused(changed(**{name: 1 << 40}), f"attribute '{name}' is {1 << 40}", "give ")


def test_unknown_attributes_are_refused() -> None:
    refused(changed(beta=1), "attribute 'beta' is not known", "state_bits")
    refused(changed(lif(), syn_bits=4), "attribute 'syn_bits' is not known", model=lif())
    refused(changed(lif(), adapt_bits=4), "attribute 'adapt_bits' is not known", model=lif())


def test_attributes_that_contradict_each_other() -> None:
    refused(changed(syn_leak_frac_bits=3), "syn_leak_frac_bits is 3", "does not multiply")
    refused(changed(input_frac=60), "differ by more than 24")
    refused(changed(reset_timing="both"), "reset_timing 'both'")
    refused(changed(spike_levels=2), "positive threshold", theta=np.float32([-1]))


def test_inexact_parameters_name_the_nearest_value() -> None:
    refused(node_of(FULL).node, "parameter 'leak': 0.899999976", "nearest is 0.8984375",
            leak=np.float32([0.9]))  # fmt: skip
    refused(
        node_of(FULL).node, "parameter 'theta': 1.03", "nearest is 1", theta=np.float32([1.03125])
    )
    refused(node_of(FULL).node, "'synapse_leak': 2.5", "2^0", synapse_leak=np.float32([2.5]))
    refused(node_of(FULL).node, "not finite", theta=np.float32([np.nan]))
    refused(node_of(FULL).node, "more than 2^24 steps", bias=np.float32([1e8]))


def test_parameters_are_constants_of_float32() -> None:
    refused(node_of(FULL).node, "parameter 'theta' is float64", theta=np.ones(1))
    known = constants(node_of(FULL))
    del known["L.theta"]
    with pytest.raises(UnsupportedModel, match=r"'theta' \('L.theta'\) is computed at run time"):
        read_neuron(node_of(FULL).node, known)
    refused(node_of(FULL).node, "has shape (2, 2)", theta=np.ones((2, 2), np.float32))
    two, three = np.ones((2, 1), np.float32), np.ones(3, np.float32)
    refused(node_of(FULL).node, "different axes", theta=two, bias=three)
    refused(node_of(FULL).node, "channels in one neuron", theta=np.ones(2, np.float32), bias=three)
    refused(node_of(FULL).node, "decay is at most 1", leak=np.float32([2]))


def test_ports_are_counted() -> None:
    node = node_of(FULL).node
    del node.input[-1]
    refused(node, "give current, v, i, a, r, theta, bias, v0, reset_value")
    node = node_of(FULL).node
    node.input[1] = ""
    refused(node, "(none)")
    node = node_of(FULL).node
    del node.output[-1]
    refused(node, "4 outputs", "v_next, i_next, a_next, r_next")


def test_other_operators_and_versions() -> None:
    node = node_of(FULL).node
    node.op_type = "Alif"
    with pytest.raises(UnsupportedModel, match="operator 'Alif' .* is no neuron"):
        read_neuron(node, {})
    model = layer(lif())
    for opset in model.opset_import:
        opset.version = 2 if opset.domain == "codesign.exchange.ops" else opset.version
    with pytest.raises(UnsupportedModel, match="imports version 2 of domain"):
        check_version(model)
    kept = [o for o in model.opset_import if o.domain != "codesign.exchange.ops"]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    with pytest.raises(UnsupportedModel, match="imports 0 versions of domain"):
        check_version(model)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"word": Word(25, 4, True, "wrap")}, "state_bits"),
        ({"theta": [(1 << 24) + 1]}, "theta: code 16777217 is larger"),
        ({"leak": Leak("mul_floor", [3], 25)}, "leak_frac_bits"),
        ({"adaptation": Adaptation(Word(10, 3, True, "wrap"), Leak("none", [0]), [1])}, "fraction"),
    ],
)
def test_what_float32_cannot_hold_is_not_written(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(UnsupportedModel, match=what):
        node_of(lif(**changes))


def run(values: Any, v: Any = 0.0, model: Lif | None = None) -> dict[str, np.ndarray]:
    made = node_of(model or lif())
    x = np.atleast_1d(np.asarray(values, np.float32))
    states = {"L.v": np.broadcast_to(np.float32(v), x.shape)}
    return execute(made.node, constants(made) | {"x": x} | states)


def test_what_is_no_code_is_not_executed() -> None:
    with pytest.raises(UnsupportedModel, match=r"tensor 'x': 0.3.* nearest is 0.296875"):
        run(0.3)
    with pytest.raises(UnsupportedModel, match="not finite"):
        run(np.inf)
    with pytest.raises(UnsupportedModel, match="tensor 'x': code 16777216 lies outside"):
        run(2.0**18)
    with pytest.raises(UnsupportedModel, match="tensor 'L.v': code 512 lies outside -512..511"):
        run(0.0, 32.0)
    with pytest.raises(UnsupportedModel, match="2 fraction bits would be lost"):
        run(1 / 64, model=lif(rounding="exact"))
    with pytest.raises(UnsupportedModel, match="differ in shape"):
        made = node_of(lif())
        shapes = {"x": np.zeros((1, 2), np.float32), "L.v": np.zeros(2, np.float32)}
        execute(made.node, constants(made) | shapes)
    with pytest.raises(UnsupportedModel, match="3 channels on axis -1"):
        run([0.0, 0.0], model=lif(theta=[1, 2, 3]))


def test_channels_before_the_pixels() -> None:
    """(batch, channels, h, w) is what (batch, h, w, channels) is, turned."""
    model = lif(theta=[4, 9, 14], bias=[1, -2, 3])
    rng = np.random.default_rng(0)
    codes, v = rng.integers(-40, 200, (2, 3, 4, 5)), rng.integers(-40, 40, (2, 3, 4, 5))
    made = node_of(model, trailing=2)
    assert read_node(made.node, constants(made)).axis == -3
    tensors = {"x": np.float32(codes / 64), "L.v": np.float32(v / 16)}
    got = execute(made.node, constants(made) | tensors)
    flat = [np.moveaxis(a, 1, -1).reshape(2, -1) for a in (codes, v)]
    out, after = model.step((flat[0],), {"v": flat[1]})
    for name, wanted, step in (("L", out, 1), ("L.v_next", after["v"], 16)):
        turned = np.moveaxis(wanted.reshape(2, 4, 5, 3), -1, 1)
        np.testing.assert_array_equal(got[name], turned / np.float32(step))


def test_a_node_is_its_model() -> None:
    made = node_of(FULL)
    assert made.node.domain == "codesign.exchange.ops" and list(made.node.output)[0] == "L"
    theta = next(t for t in made.initializers if t.name == "L.theta")
    assert numpy_helper.to_array(theta).tolist() == [1.0]
