"""Names from untrusted files become unique, readable identifiers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.frontend import import_qonnx
from codesign.frontend.names import MAX_LENGTH, RESERVED, Names, printable, safe, tidy
from tests.frontend.parts import small

IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=80), max_size=10))
def test_any_text_gives_unique_identifiers(texts: list[str]) -> None:
    names = Names()
    made = [names.unique(text) for text in texts]
    assert len(set(made)) == len(made)
    for name in made:
        assert IDENTIFIER.fullmatch(name)
        assert len(name) <= MAX_LENGTH
        assert name not in RESERVED


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/inp/act_quant/export_handler/Quant_output_0", "inp_quant"),
        ("/features/features.0/Gemm", "features_0_gemm"),
        ("layers.0.weight", "layers_0_weight"),
        ("44", "v44"),
        ("", "v"),
        ("module", "module_x"),
        ("Wire", "wire_x"),
        ("template", "template_x"),
        ("aclk", "aclk_x"),
        ("a; rm -rf / #", "a_rm_rf"),
        ('`include "/etc/passwd"', "include_etc_passwd"),
        ("\u540d\u524d", "v"),
        ("x\0y\nz", "x_y_z"),
        ("__a__", "a"),
    ],
)
def test_readable(text: str, name: str) -> None:
    assert tidy(text) == name


def test_long_names_are_cut_and_stay_unique() -> None:
    names = Names()
    first, second = names.unique("a" * 500), names.unique("a" * 501)
    assert first != second
    assert len(first) == MAX_LENGTH
    assert second.endswith("_2")


def test_printable() -> None:
    assert printable("a\tb\x07") == "a\\tb\\x07"
    assert len(printable("x" * 1000)) == 80


def test_safe_has_a_fallback() -> None:
    assert safe("!!!", "fc") == "fc"


@pytest.mark.parametrize("name", ["", "dup", "endmodule", "x" * 300, "a\nb", "$finish;", "\\esc "])
def test_hostile_node_names(name: str) -> None:
    model = small()
    for node in model.graph.node:
        node.name = name
    imported = import_qonnx(model)
    names = [n.name for n in imported.graph.nodes]
    assert len(set(names)) == len(names)
    assert all(IDENTIFIER.fullmatch(n) and n not in RESERVED for n in names)
    assert set(imported.node_names.values()) == {name}


def test_hostile_tensor_names() -> None:
    model = small()
    renamed = {
        "q": "always",
        "mm": "q;",
        "add": "Q ",
        "relu": "`q",
        "x": "\u540d",
        "y": "endmodule",
    }
    for node in model.graph.node:
        for fields in (node.input, node.output):
            fields[:] = [renamed.get(t, t) for t in fields]
    model.graph.input[0].name = renamed["x"]
    model.graph.output[0].name = renamed["y"]
    imported = import_qonnx(model)
    assert all(IDENTIFIER.fullmatch(n) and n not in RESERVED for n in imported.graph.values)
    assert set(imported.tensor_names.values()) == set(renamed.values())
    codes = imported.graph.values[imported.graph.outputs[0]]
    assert imported.tensor_names[codes.name] == "endmodule"


def test_layers_are_named_after_their_weights() -> None:
    assert [n.name for n in import_qonnx(small()).graph.nodes] == ["q", "fc", "add", "relu", "y"]


def test_layers_without_a_path_are_counted() -> None:
    model = small()
    for node in model.graph.node:
        node.input[:] = ["85" if i == "fc.weight" else i for i in node.input]
    for tensor in model.graph.initializer:
        if tensor.name == "fc.weight":
            tensor.name = "85"
    imported = import_qonnx(model)
    assert imported.graph.nodes[1].name == "fc0"
    assert np.shape(imported.graph.nodes[1].op.weights) == (4, 6)
