"""Every bad model is refused with one clear message and the right exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from codesign.errors import CodesignError
from codesign.frontend import import_qonnx
from tests.frontend.parts import (
    insert,
    node,
    put,
    quant,
    refuse,
    register,
    small,
    tensor,
    value,
)

BAD: list[tuple[str, Callable[[ModelProto], object], str]] = []
bad = register(BAD)


@bad("the graph has no nodes")
def no_nodes(m):
    del m.graph.node[:]


@bad("the graph has no outputs")
def no_outputs(m):
    del m.graph.output[:]


@bad("output 'mm': the graph has 2 outputs: 'y', 'mm'")
def second_output(m):
    """Never dropped in silence: what it computes would be called supported and proven."""
    m.graph.output.append(helper.make_tensor_value_info("mm", TensorProto.FLOAT, None))


@bad("graph output 'ghost' is written by no node")
def output_of_nothing(m):
    m.graph.output[0].name = "ghost"


@bad("must have exactly one input, this one has 0")
def no_input(m):
    del m.graph.input[:]
    m.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 6), np.float32), "x"))


@bad("must have exactly one input, this one has 2: 'x', 'x2'")
def two_inputs(m):
    m.graph.input.append(value("x2", [1, 6]))


@bad("2 graph inputs are called 'x'")
def duplicate_input(m):
    m.graph.input.append(value("x", [1, 6]))


@bad("node 'relu' (Relu): input 'nowhere' is connected to nothing")
def unconnected(m):
    node(m, "relu").input[0] = "nowhere"


@bad("the graph has a cycle here")
def cycle(m):
    node(m, "mm").input[0] = "y"


@bad("node 'relu' (Relu): the graph has a cycle here")
def self_loop(m):
    node(m, "relu").input[0] = "relu"


@bad("node 'relu' (Relu): tensor 'mm' is written twice")
def written_twice(m):
    node(m, "relu").output[0] = "mm"


@bad("2 initializers are called 's'")
def duplicate_initializer(m):
    m.graph.initializer.append(numpy_helper.from_array(np.float32(1), "s"))


@bad("node 'relu' (Relu): the node has no output")
def node_without_output(m):
    del node(m, "relu").output[:]


@bad("axis 1 has no fixed size (features)")
def dynamic_features(m):
    m.graph.input[0].CopyFrom(value("x", ["batch", "features"]))


@bad("axis 1 has no fixed size (0)")
def zero_features(m):
    m.graph.input[0].CopyFrom(value("x", [1, 0]))


@bad("the input needs a shape of (batch, features)")
def no_batch_axis(m):
    m.graph.input[0].CopyFrom(value("x", [6]))


@bad("the input needs a shape of (batch, features)")
def no_shape(m):
    m.graph.input[0].CopyFrom(value("x"))


@bad("the network input must be float32")
def integer_input(m):
    m.graph.input[0].CopyFrom(value("x", [1, 6], TensorProto.INT64))


@bad("the model imports no opset of the standard ONNX domain")
def no_opset(m):
    del m.opset_import[:]


@bad("opset 7 is not supported, only 9 to")
def old_opset(m):
    m.opset_import[0].version = 7


@bad("opset 999 is not supported, only 9 to")
def future_opset(m):
    m.opset_import[0].version = 999


@bad("several opsets of the standard domain: [13, 17]")
def two_opsets(m):
    m.opset_import.append(helper.make_opsetid("ai.onnx", 13))


@bad("the model defines local functions ('f')")
def local_function(m):
    body = [helper.make_node("Relu", ["a"], ["b"])]
    m.functions.append(
        helper.make_function("d", "f", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    )


@bad("node 'bad' (If): attribute 'then_branch' is a subgraph")
def control_flow(m):
    branch = helper.make_graph([], "branch", [], [])
    insert(m, "If", "mm", then_branch=branch)


@bad("a name in the model is not valid UTF-8")
def name_in_bytes(m):
    data = m.SerializeToString().replace(b"fc.bias", b"fc\xff\xfeias")
    m.ParseFromString(data)


@bad("initializer 'fc.weight': it contains NaN or infinity")
def nan_weight(m):
    put(m, "fc.weight", np.full((6, 4), np.nan, np.float32))


@bad("initializer 'fc.bias': it contains NaN or infinity")
def infinite_bias(m):
    put(m, "fc.bias", np.full(4, np.inf, np.float32))


@bad("initializer 'fc.weight': its data does not fit its shape (6, 4)")
def truncated_weight(m):
    tensor(m, "fc.weight").raw_data = b"\0" * 8


@bad("initializer 'fc.weight': its data does not fit its shape (1000000000, 1000000000)")
def huge_weight(m):
    tensor(m, "fc.weight").dims[:] = [10**9, 10**9]


@bad("initializer 'fc.bias': its data does not fit its shape (-4,)")
def negative_dimension(m):
    tensor(m, "fc.bias").dims[:] = [-4]


@bad("initializer 'fc.bias': element type BFLOAT16 is not supported")
def bfloat_bias(m):
    tensor(m, "fc.bias").data_type = TensorProto.BFLOAT16


@bad("initializer 'fc.bias': element type 77 is not supported")
def unknown_type(m):
    tensor(m, "fc.bias").data_type = 77


@pytest.mark.parametrize(("change", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_refused(
    change: Callable[[ModelProto], object],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refuse(change, message, tmp_path, capsys)


def test_the_undamaged_model_imports() -> None:
    assert [n.op.kind for n in import_qonnx(small()).graph.nodes] == [
        "quant",
        "dense",
        "add",
        "relu",
        "quant",
    ]


def test_unneeded_nodes_are_not_looked_at() -> None:
    model = small()
    model.graph.node.append(helper.make_node("Bogus", ["mm"], ["unused"], "bogus"))
    import_qonnx(model)


def test_saved_and_loaded_models_behave_alike(tmp_path) -> None:
    model = small()
    node(model, "q").domain = "acme.ops"
    onnx.save(model, tmp_path / "bad.onnx")
    with pytest.raises(CodesignError, match="acme.ops"):
        import_qonnx(tmp_path / "bad.onnx")


def test_a_model_in_memory_has_no_folder_for_its_data() -> None:
    model = small()
    tensor(model, "fc.weight").data_location = TensorProto.EXTERNAL
    with pytest.raises(CodesignError, match="tensor 'fc.weight' has its data in another file"):
        import_qonnx(model)


def test_a_name_with_control_characters_cannot_break_the_message() -> None:
    model = small()
    node(model, "relu").op_type = "Bogus"
    node(model, "relu").name = "a\x1b[31m\nexit 0" + "x" * 500
    with pytest.raises(CodesignError) as caught:
        import_qonnx(model)
    text = str(caught.value)
    assert "\x1b" not in text
    assert len(text.splitlines()) == 2
    assert "\\x1b[31m\\nexit 0" in text


def test_a_quantizer_of_nan_is_a_user_error() -> None:
    graph = import_qonnx(small()).graph
    op = graph.nodes[0].op
    with pytest.raises(CodesignError, match="NaN"):
        op.evaluate(np.full((1, 6), np.nan, np.float32))


def test_quant_helper_makes_what_it_says() -> None:
    assert quant("a", "b").output[0] == "b"
