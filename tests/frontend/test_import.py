"""What the importer understands, checked against qonnx's own execution of the same file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from codesign.formats.rounding import ROUNDING
from codesign.frontend import Imported, import_qonnx
from codesign.frontend.check import QUANT_DOMAINS
from codesign.frontend.execute import execute_batch
from codesign.ops.quant import Quant
from codesign.train.golden import load_golden
from tests.frontend.checks import judged
from tests.frontend.parts import (
    BIAS,
    WEIGHTS,
    attribute,
    constants,
    insert,
    model_of,
    node,
    put,
    quant,
    small,
    value,
    varied,
)

CORPUS = Path(__file__).parent / "corpus"
X = (np.random.default_rng(0).integers(-40, 40, (200, 6)) / 16).astype(np.float32)


def run(imported: Imported, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every value by its ONNX tensor name, as float32 (or integers for class indices)."""
    graph = imported.graph
    found = {graph.inputs[0]: x}
    for step in graph.nodes:
        found[step.output] = step.op.execute(graph.ins(step), *[found[i] for i in step.inputs])
    return {
        tensor: graph.values[name].format.decode(found[name])
        for name, tensor in imported.tensor_names.items()
    }


def agrees(model: ModelProto, x: np.ndarray = X) -> Imported:
    """Import; every tensor must equal qonnx's bit for bit."""
    imported = import_qonnx(model)
    ours, theirs = run(imported, x), execute_batch(imported, x)
    for name, array in theirs.items():
        assert np.array_equal(ours[name].reshape(array.shape), array), name
    return imported


def kinds(imported: Imported) -> list[str]:
    return [n.op.kind for n in imported.graph.nodes]


def test_the_small_model() -> None:
    imported = agrees(small())
    assert imported.graph.outputs == ("y",)
    assert imported.node_names["fc"] == "mm"
    dense = imported.graph.nodes[1].op
    assert np.array_equal(dense.weights, np.round(WEIGHTS * 4).T)


@pytest.mark.parametrize("domain", QUANT_DOMAINS)
@pytest.mark.parametrize("op_type", ["Quant", "IntQuant"])
def test_quantizer_domains(domain: str, op_type: str) -> None:
    model = small()
    for step in model.graph.node:
        if step.op_type == "Quant":
            step.domain, step.op_type = domain, op_type
    del model.opset_import[1:]  # often there is no import for the quantizers
    agrees(model)


@pytest.mark.parametrize("mode", [*sorted(ROUNDING), "round", "Floor", "ROUND_TO_ZERO"])
def test_rounding_modes(mode: str) -> None:
    model = varied(lambda m: attribute(node(m, "q"), "rounding_mode", mode))
    want = {"ROUND_TO_ZERO": "DOWN"}.get(mode, mode.upper())
    assert agrees(model).graph.nodes[0].op.rounding == want


def test_rounding_mode_may_be_left_out() -> None:
    model = small()
    first = node(model, "q")
    kept = [a for a in first.attribute if a.name != "rounding_mode"]
    del first.attribute[:]
    first.attribute.extend(kept)
    assert agrees(model).graph.nodes[0].op.rounding == "ROUND"


def test_zero_point() -> None:
    imported = agrees(varied(lambda m: put(m, "z", np.float32(3))))
    assert imported.graph.nodes[0].op.out_format.zero_point == 3


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_scale_shapes(shape: tuple[int, ...]) -> None:
    agrees(varied(lambda m: put(m, "s", np.full(shape, 0.5, np.float32))))


def test_integer_bit_widths_and_zero_points() -> None:
    model = varied(lambda m: put(m, "bits", np.int64(4)))
    put(model, "z", np.int64(0))
    agrees(model)


def test_output_scale_per_channel() -> None:
    model = small()
    scales = np.float32([[0.25, 0.5, 0.125, 1.0]])
    model.graph.initializer.append(numpy_helper.from_array(scales, "s4"))
    node(model, "y").input[1] = "s4"
    imported = agrees(model)
    assert imported.graph.nodes[-1].op.out_format.scale == (0.25, 0.5, 0.125, 1.0)


def test_weight_scale_per_channel() -> None:
    model = small()
    scales = np.float32([0.25, 0.5, 0.125, 1.0])
    model.graph.initializer.append(numpy_helper.from_array(scales, "s4"))
    node(model, "qw").input[1] = "s4"
    imported = agrees(model)
    assert imported.graph.nodes[1].op.weight_scale.tolist() == scales.tolist()


def test_weight_zero_point_is_subtracted() -> None:
    model = small()
    model.graph.initializer.append(numpy_helper.from_array(np.float32(2), "z2"))
    node(model, "qw").input[2] = "z2"
    agrees(model)


def test_bipolar_weights() -> None:
    model = small()
    step = node(model, "qw")
    step.op_type = "BipolarQuant"
    del step.input[2:], step.attribute[:]
    imported = agrees(model)
    assert set(np.unique(imported.graph.nodes[1].op.weights)) == {-1, 1}


def test_one_bit_signed_weights_are_bipolar() -> None:
    model = small()
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1), "one"))
    node(model, "qw").input[3] = "one"
    imported = agrees(model)
    assert set(np.unique(imported.graph.nodes[1].op.weights)) == {-1, 1}


def test_whole_numbers_are_weights_of_scale_one() -> None:
    model = varied(lambda m: put(m, "fc.weight", np.round(WEIGHTS * 4)))
    node(model, "mm").input[1] = "fc.weight"
    assert agrees(model).graph.nodes[1].op.weight_scale.tolist() == [1.0]


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_gemm(transposed: int, bias: bool) -> None:
    table = constants()
    if transposed:
        table["fc.weight"] = WEIGHTS.T.copy()
    inputs = ["q", "qw", "fc.bias"] if bias else ["q", "qw"]
    nodes = [
        quant("x", "q"),
        quant("fc.weight", "qw"),
        helper.make_node("Gemm", inputs, ["y"], "gemm", transB=transposed),
    ]
    imported = agrees(model_of(nodes, table))
    assert kinds(imported) == (["quant", "dense", "add"] if bias else ["quant", "dense"])


def test_gemm_alpha_and_beta() -> None:
    nodes = [
        quant("x", "q"),
        quant("fc.weight", "qw"),
        helper.make_node("Gemm", ["q", "qw", "fc.bias"], ["y"], "gemm", alpha=0.5, beta=2.0),
    ]
    imported = agrees(model_of(nodes, constants()))
    assert kinds(imported) == ["quant", "dense", "mul", "add"]


def test_quantized_bias() -> None:
    model = small()
    model.graph.node.append(quant("fc.bias", "qb"))
    node(model, "add").input[1] = "qb"
    imported = agrees(model)
    assert np.array_equal(imported.graph.nodes[2].op.value, np.round(BIAS * 4) / 4)


@pytest.mark.parametrize(
    ("op", "left"),
    [(op, left) for op in ("Add", "Sub", "Mul", "Div") for left in (False, True)][:-1],
)
def test_constants_on_either_side(op: str, left: bool) -> None:
    model = varied(lambda m: insert(m, op, "add", extra=["fc.bias"]))
    if left:
        node(model, "bad").input[:] = ["fc.bias", "add"]
    assert kinds(agrees(model))[3] == op.lower()


def test_normalisation_before_the_input_quantizer() -> None:
    model = varied(lambda m: insert(m, "Mul", "x", extra=["s"]))
    insert(model, "Sub", "bad_out", extra=["s"])
    node(model, "bad").name = "first"
    model.graph.node[-1].output[0] = "shifted"
    model.graph.node[-1].input[0] = "bad_out"
    node(model, "q").input[0] = "shifted"
    assert kinds(agrees(model))[:3] == ["mul", "sub", "quant"]


@pytest.mark.parametrize("keepdims", [0, 1])
def test_argmax_at_the_end(keepdims: int) -> None:
    model = varied(lambda m: insert(m, "ArgMax", "y", axis=-1, keepdims=keepdims))
    model.graph.output[0].CopyFrom(value("bad_out", None, onnx.TensorProto.INT64))
    imported = agrees(model)
    assert imported.graph.values["bad_out"].shape == ((1,) if keepdims else ())


def test_batch_norm() -> None:
    model = small()
    table = {"g": BIAS + 1, "b": BIAS, "m": -BIAS, "v": np.abs(BIAS)}
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in table.items())
    insert(model, "BatchNormalization", "add", extra=list(table))
    imported = import_qonnx(model)
    assert kinds(imported) == ["quant", "dense", "add", "batchnorm", "relu", "quant"]
    found = judged(imported, X)
    assert not found.mismatches, found.first


def test_views_that_change_nothing_leave_no_node() -> None:
    model = varied(lambda m: insert(m, "Identity", "mm"))
    assert kinds(agrees(model)) == kinds(import_qonnx(small()))


@pytest.mark.parametrize(
    ("target", "allowzero"), [([1, -1], 0), ([-1, 6], 0), ([0, 6], 0), ([1, 6], 0), ([1, 6], 1)]
)
def test_flattening_an_image(target: list[int], allowzero: int) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"], "flat", allowzero=allowzero),
        quant("flat", "q"),
        quant("fc.weight", "qw"),
        helper.make_node("MatMul", ["q", "qw"], ["y"], "mm"),
    ]
    table = {**constants(), "shape": np.array(target)}
    imported = agrees(model_of(nodes, table, shape=(1, 1, 2, 3)), X.reshape(-1, 1, 2, 3))
    assert kinds(imported) == ["reshape", "quant", "dense"]


def test_flatten_squeeze_unsqueeze() -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axes"], ["u"], "u"),
        helper.make_node("Squeeze", ["u", "axes"], ["s2"], "s2"),
        helper.make_node("Unsqueeze", ["s2", "axes"], ["u2"], "u2"),
        helper.make_node("Flatten", ["u2"], ["flat"], "flat"),
        quant("flat", "q"),
        quant("fc.weight", "qw"),
        helper.make_node("MatMul", ["q", "qw"], ["y"], "mm"),
    ]
    agrees(model_of(nodes, {**constants(), "axes": np.array([1])}))


def test_shape_arithmetic_is_folded() -> None:
    """What the TorchScript exporter writes for ``x.view(x.shape[0], -1)``."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"], "shape"),
        helper.make_node("Gather", ["shape", "zero"], ["batch"], "gather"),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["batch1"], "unsqueeze"),
        helper.make_node("Concat", ["batch1", "rest"], ["target"], "concat", axis=0),
        helper.make_node("Reshape", ["x", "target"], ["flat"], "flat"),
        quant("flat", "q"),
        quant("fc.weight", "qw"),
        helper.make_node("MatMul", ["q", "qw"], ["y"], "mm"),
    ]
    table = {**constants(), "zero": np.int64(0), "axes": np.array([0]), "rest": np.array([-1])}
    imported = agrees(model_of(nodes, table, shape=("n", 2, 3)), X.reshape(-1, 2, 3))
    assert kinds(imported) == ["reshape", "quant", "dense"]


def test_nodes_in_any_order() -> None:
    model = small()
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    agrees(model)


def test_constants_beside_the_output_do_not_count() -> None:
    """As Brevitas exports a module that returns a QuantTensor; computed ones are refused."""
    model = small()
    model.graph.output.extend([value(n) for n in ("s", "z")])
    assert agrees(model).graph.outputs == ("y",)


def test_initializers_listed_as_inputs() -> None:
    model = small()
    model.graph.input.append(value("fc.weight", [6, 4]))
    agrees(model)


@pytest.mark.parametrize("batch", ["n", -1, 4])
def test_batch_axis(batch: object) -> None:
    model = small()
    model.graph.input[0].CopyFrom(value("x", [batch, 6]))
    agrees(model)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.onnx")), ids=lambda p: p.stem)
def test_brevitas_exports_of_both_kinds(path: Path) -> None:
    """Real exports; PyTorch's recorded results are reproduced bit for bit."""
    imported = import_qonnx(path)
    names = [n.name for n in imported.graph.nodes if n.op.kind == "dense"]
    assert names == ["layers_0", "fc"]
    golden = load_golden(path.with_suffix(".golden.npz"))
    for x, recorded in ((golden.test_x, golden.test), (golden.random_x, golden.random)):
        ours = run(imported, x)
        assert len(recorded) == 3
        found = judged(imported, x, recorded)
        assert not found.mismatches and len(found.tensors) == 3, found.first
        quantized = {imported.tensor_names[n.output] for n in imported.graph.nodes
                     if isinstance(n.op, Quant)}  # fmt: skip
        for name, array in recorded.items():
            if "float" not in path.stem or name in quantized:  # others may be explained
                assert np.array_equal(ours[name].reshape(array.shape), array), name
