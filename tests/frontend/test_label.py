"""Layers are called after the modules they were, whichever exporter wrote the file."""

from __future__ import annotations

import pytest
from onnx import NodeProto, StringStringEntryProto, helper

from codesign.frontend import import_qonnx, label
from tests.frontend.parts import node, small

QUANT = (
    "['', 'blocks.0', 'blocks.0.act', 'blocks.0.act.act_quant', "
    "'blocks.0.act.act_quant.export_handler', '_symbolic_4']"
)


def written(op: str, name: str, **metadata: str) -> NodeProto:
    made = helper.make_node(op, ["x"], ["y"], name)
    made.metadata_props.extend(
        StringStringEntryProto(key=key.replace("__", "."), value=text)
        for key, text in metadata.items()
    )
    return made


def scopes(op: str, name: str, text: str) -> NodeProto:
    return written(op, name, pkg__torch__onnx__name_scopes=text)


def namespace(op: str, name: str, text: str) -> NodeProto:
    return written(op, name, namespace=text)


CASES = [
    (written("Quant", "/act/act_quant/export_handler/Quant"), "quant", "act_quant"),
    (written("Quant", "/r/act_quant/export_handler_1/Quant"), "quant", "r_quant"),
    (written("Add", "/Add_1"), "add", "add_1"),
    (written("Add", "node_add"), "add", "node_add"),  # a name somebody chose
    (scopes("Quant", "node__symbolic_4", QUANT), "quant", "blocks_0_act_quant"),
    (scopes("MaxPool", "node_pool", "['', 'pool', 'max_pool2d']"), "max_pool", "pool_max_pool"),
    (scopes("Add", "node_add_1", "['', 'add_1']"), "add", "add_1"),
    (
        namespace("Gemm", "node_linear", ": m.Net/head.0: nn.QuantLinear/linear: aten.linear"),
        "batchnorm",
        "head_0",
    ),
    (namespace("Add", "node_add", ": __main__.Net/add: aten.add.Tensor"), "add", "add"),
    (scopes("Add", "node_add", "garbage"), "add", "node_add"),
    (scopes("Add", "a", "[''" + ", 'x'" * 9999 + "]"), "add", "a"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "kind", "name"), CASES, ids=[c[2] for c in CASES])
def test_a_step_is_called_after_its_module(made: NodeProto, kind: str, name: str) -> None:
    assert label.step(made, kind) == name


def test_a_layer_is_called_after_its_weights_or_else_its_module() -> None:
    linear = scopes("Gemm", "node_linear", "['', 'net', 'net.3', 'linear']")
    assert label.layer(linear, "head.weight") == "head"
    assert label.layer(linear, "val_7") == "net_3"
    assert label.layer(written("Gemm", "gemm"), "val_7") == ""


def test_values_of_a_dynamo_export_are_called_after_their_steps() -> None:
    """It calls tensors ``_symbolic_5`` and ``getitem_3``."""
    model = small()
    entry = StringStringEntryProto(key="pkg.torch.onnx.name_scopes", value=QUANT)
    node(model, "q").metadata_props.append(entry)
    graph = import_qonnx(model).graph
    assert graph.nodes[0].output == "blocks_0_act_quant"
    assert graph.nodes[-1].output == "y"
