"""Bodies that were changed, malformed metadata, shapes and forms: each refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from codesign.errors import UnsupportedModel, UsageError
from codesign.exchange import (
    decompose,
    inline,
    read_metadata,
    recompose,
    run_steps,
    states_of,
    to_scan,
    to_step,
    write_metadata,
)
from codesign.exchange.metadata import KEY
from tests.exchange.networks import GO_ON, network, spikes
from tests.exchange.neurons import META, layer, lif

# Bodies that were changed -----------------------------------------------------------------------


def _constant(model: onnx.ModelProto) -> None:
    values = (n for n in model.graph.node if n.op_type == "Constant" and not n.input)
    node = next(n for n in values if numpy_helper.to_array(n.attribute[0].t).size == 1)
    array = numpy_helper.to_array(node.attribute[0].t)
    node.attribute[0].t.CopyFrom(numpy_helper.from_array(array + array.dtype.type(1)))


def _operator(model: onnx.ModelProto) -> None:
    next(n for n in model.graph.node if n.op_type == "GreaterOrEqual").op_type = "Greater"


def _wire(model: onnx.ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "Sub")
    node.input[0], node.input[1] = node.input[1], node.input[0]


def _look(model: onnx.ModelProto) -> None:
    inside = next(n for n in model.graph.node if n.op_type == "GreaterOrEqual").input[0]
    model.graph.node.append(helper.make_node("Identity", [inside], ["seen"], "look"))


def _note(model: onnx.ModelProto) -> None:
    entry = next(n for n in model.graph.node if n.metadata_props).metadata_props[0]
    note = json.loads(entry.value)
    note["op"]["compare"] = "gt"
    entry.value = json.dumps(note)


def _broken(model: onnx.ModelProto) -> None:
    entry = next(n for n in model.graph.node if n.metadata_props).metadata_props[0]
    entry.value = json.dumps(json.loads(entry.value) | {"op": {"op_type": "Lif", "version": {}}})


def _unread(model: onnx.ModelProto) -> None:
    entry = next(n for n in model.graph.node if n.metadata_props).metadata_props[0]
    entry.value = json.dumps(json.loads(entry.value) | {"unread": {}})


@pytest.mark.parametrize("change", [_constant, _operator, _wire, _look, _note, _broken, _unread])
def test_changed_bodies_are_not_recognised(change: Callable[[onnx.ModelProto], None]) -> None:
    model = decompose(layer(lif()))
    assert recompose(model) == layer(lif())
    change(model)
    with pytest.raises(UnsupportedModel, match="neuron 'L'") as caught:
        recompose(model)
    assert caught.value.hint


def test_nodes_in_another_order_are_recognised() -> None:
    """Independent nodes moved, and without notes nothing is claimed."""
    model = decompose(layer(lif()))
    nodes = sorted(model.graph.node, key=lambda n: n.op_type != "Constant")
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert recompose(model) == layer(lif())
    for node in model.graph.node:
        del node.metadata_props[:]
    assert recompose(model) == model


# Metadata, shapes and forms ---------------------------------------------------------------------

GOOD = {
    "steps": 5,
    "dt": 0.001,
    "encoding": "rate",
    "readout": "count",
    "reset_at_window": True,
}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        *(({name: None}, f"field '{name}'") for name in GOOD),
        ({"steps": 0}, "field 'steps'"),
        ({"steps": 2.5}, "field 'steps'"),
        ({"dt": -1.0}, "field 'dt'"),
        ({"encoding": "morse"}, "field 'encoding'"),
        ({"readout": "vote"}, "field 'readout'"),
        ({"reset_at_window": 1}, "field 'reset_at_window'"),
        ({"more": 1}, "field 'more'"),
    ],
)
def test_malformed_metadata(change: dict[str, object], part: str) -> None:
    model = layer(lif())
    values = {k: v for k, v in (GOOD | change).items() if v is not None}
    helper.set_model_props(model, {KEY: json.dumps(values)})
    with pytest.raises(UnsupportedModel) as caught:
        read_metadata(model)
    assert part in caught.value.what and KEY in caught.value.where


def test_metadata_must_be_there_once_and_be_json() -> None:
    model = layer(lif())
    assert read_metadata(model) == META
    write_metadata(model, GO_ON)
    assert read_metadata(model) == GO_ON
    model.metadata_props.append(onnx.StringStringEntryProto(key=KEY, value="{}"))
    with pytest.raises(UnsupportedModel, match="there 2 times"):
        read_metadata(model)
    del model.metadata_props[:]
    with pytest.raises(UnsupportedModel, match="missing"):
        to_scan(model)
    helper.set_model_props(model, {KEY: "steps: 5"})
    with pytest.raises(UnsupportedModel, match="Invalid JSON"):
        read_metadata(model)


def test_states_must_be_those_of_the_graph() -> None:
    model = layer(lif())
    model.graph.node[0].output[1] = "elsewhere"
    with pytest.raises(UnsupportedModel, match="'L.v' is written to 'elsewhere'"):
        states_of(model.graph)
    model = layer(lif())
    model.graph.output[1].type.tensor_type.shape.dim[1].dim_value = 4
    with pytest.raises(UnsupportedModel, match=r"\(2, 3\) before the step and \(2, 4\) after"):
        to_scan(model)
    model = layer(lif())
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "batch"
    with pytest.raises(UnsupportedModel, match="not fixed"):
        to_scan(model)


def test_what_is_not_in_scan_form() -> None:
    with pytest.raises(UnsupportedModel, match="not just one Scan"):
        to_step(network())
    scan = to_scan(layer(lif(v0=[3])))
    scan.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((2, 3), np.float32), "L.v"))
    with pytest.raises(UnsupportedModel, match="'L.v' is not that of its neuron"):
        to_step(scan)
    for name, value in (("scan_input_axes", [0]), ("scan_input_directions", [1])):
        scan = to_scan(layer(lif()))
        kept = [a for a in scan.graph.node[0].attribute if a.name != name]
        del scan.graph.node[0].attribute[:]
        scan.graph.node[0].attribute.extend([*kept, helper.make_attribute(name, value)])
        with pytest.raises(UnsupportedModel, match=name):
            to_step(scan)
    scan = to_scan(layer(lif()))
    write_metadata(scan, META.model_copy(update={"steps": 6}))
    with pytest.raises(UnsupportedModel, match="names 6 steps"):
        to_step(scan)


def test_runs_check_their_inputs() -> None:
    step = network()
    with pytest.raises(UsageError, match="no steps"):
        run_steps(step, {"x": spikes(0)})
    with pytest.raises(UsageError, match=r"has shape \(2, 4\)"):
        run_steps(step, {"x": spikes()[:, 0]})
    with pytest.raises(UsageError, match="inputs y were given"):
        run_steps(step, {"y": spikes()})
    with pytest.raises(UsageError, match="states must be A.v"):
        run_steps(step, {"x": spikes()}, {})


def test_old_opsets_have_no_functions() -> None:
    model = network()
    model.opset_import[0].version = 11
    with pytest.raises(UnsupportedModel, match="opset 11"):
        inline(model)
