"""What Brevitas and QONNX do that nobody expects: each is handled, or refused by name."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from codesign.errors import UnsupportedModel
from codesign.formats.rounding import ROUNDING
from codesign.frontend import import_qonnx
from codesign.frontend.execute import execute_batch
from tests.frontend.parts import attribute, constants, model_of, node, quant, small, varied

torch = pytest.importorskip("torch")
qnn = pytest.importorskip("brevitas.nn")

from brevitas.inject.enum import FloatToIntImplType  # noqa: E402
from brevitas.quant import (  # noqa: E402
    Int8ActPerTensorFixedPoint,
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFixedPoint,
    SignedBinaryActPerTensorConst,
    SignedTernaryActPerTensorConst,
    Uint8ActPerTensorFixedPoint,
)
from torch import nn  # noqa: E402

from codesign.train import export, golden  # noqa: E402
from tests.zoo import compare  # noqa: E402
from tests.zoo.blocks import FIXED, conv, relu, source  # noqa: E402
from tests.zoo.registry import DYNAMO, TORCHSCRIPT, Entry  # noqa: E402

EXPORTS = pytest.mark.parametrize("path", [TORCHSCRIPT, DYNAMO])


def raw_export(net: Any, shape: tuple[int, ...], path: str) -> onnx.ModelProto:
    """What Brevitas itself writes, before codesign touches it."""
    from brevitas.export import export_qonnx

    with tempfile.TemporaryDirectory() as folder, export.quiet(), torch.no_grad():
        file = Path(folder) / "model.onnx"
        export_qonnx(net, torch.zeros(1, *shape), export_path=str(file), dynamo=path == DYNAMO)
        return onnx.load(file)


def ready(net: Any, *shape: int) -> Any:
    """In evaluation mode, quantizers initialised."""
    torch.manual_seed(0)
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(8, *shape) * 2 - 0.5)
    return net.eval()


def proven(net: Any, shape: tuple[int, ...], path: str = TORCHSCRIPT) -> compare.Runs:
    """Reference = qonnx = PyTorch on ``net``."""
    runs = compare.run(Entry("trap", lambda: net, shape), path)
    compare.assert_equal(runs.qonnx, exact=True)
    assert runs.torch
    compare.assert_equal(runs.torch, exact=True)
    return runs


# one quantizer, four domains --------------------------------------------------------------------


@pytest.mark.parametrize(
    "domain", ["onnx.brevitas", "finn.custom_op.general", "qonnx.custom_op.general", ""]
)
@pytest.mark.parametrize("opset_import", [True, False])
def test_quantizers_in_four_domains(domain: str, opset_import: bool) -> None:
    model = small()
    for name in ("q", "qw", "y"):
        node(model, name).domain = domain
    del model.opset_import[1:]
    if opset_import and domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    assert [n.op.kind for n in import_qonnx(model).graph.nodes] == [
        n.op.kind for n in import_qonnx(small()).graph.nodes
    ]


# weight rounding is lost ------------------------------------------------------------------------


def rounded(rounding: str, base: Any, layer: str) -> Any:
    """A layer whose weight quantizer rounds by ``rounding``."""

    class Weights(base):
        float_to_int_impl_type = FloatToIntImplType[rounding]

    options = {"bias": False, "weight_quant": Weights, "weight_bit_width": 3}
    made = (
        qnn.QuantConv2d(2, 3, 3, **options) if layer == "conv" else qnn.QuantLinear(8, 4, **options)
    )
    return ready(nn.Sequential(source(4), made, relu()), *SHAPES[layer])


SHAPES = {"conv": (2, 5, 5), "linear": (8,)}


@pytest.mark.parametrize("layer", ["linear", "conv"])
@pytest.mark.parametrize("rounding", ["FLOOR", "CEIL", "ROUND_TO_ZERO"])
def test_lost_weight_rounding_is_restored(rounding: str, layer: str) -> None:
    net = rounded(rounding, Int8WeightPerTensorFixedPoint, layer)
    file = raw_export(net, SHAPES[layer], TORCHSCRIPT)
    modes = {helper.get_attribute_value(a) for n in file.graph.node if n.op_type == "Quant"
             for a in n.attribute if a.name == "rounding_mode"}  # fmt: skip
    assert modes == {b"ROUND"}  # the trap: no trace of the weights' rounding
    model = export.export_module(net, np.zeros((1, *SHAPES[layer]), np.float32))
    recorded = golden.record_golden(
        net, model, np.zeros((1, *SHAPES[layer]), np.float32), random_frames=40
    )
    ours = compare.reference(import_qonnx(model), recorded.random_x)
    for name, array in recorded.random.items():
        assert np.array_equal(ours[name], array), name


@pytest.mark.parametrize("rounding", ["FLOOR", "CEIL"])
def test_lost_weight_rounding_per_channel_is_restored(rounding: str) -> None:
    net = rounded(rounding, Int8WeightPerChannelFloat, "conv")
    model = export.export_module(net, np.zeros((1, 2, 5, 5), np.float32))
    (wanted,) = (value for _, _, value in export.quantized_weights(net))
    imported = import_qonnx(model)
    conv_node = next(n for n in imported.graph.nodes if n.op.kind == "conv")
    weights = conv_node.op.weights.transpose(0, 3, 1, 2)
    scale = conv_node.op.weight_scale.reshape(-1, 1, 1, 1)
    assert np.array_equal((weights * scale).astype(np.float32), wanted)


def test_weights_that_cannot_be_restored_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    net = rounded("FLOOR", Int8WeightPerTensorFixedPoint, "linear")
    monkeypatch.setattr(export, "_replace", lambda *_: None)
    with pytest.raises(UnsupportedModel, match="layer '1': its weight rounding cannot be expr"):
        export.export_module(net, np.zeros((1, 8), np.float32))


# one bit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "quantizer",
    [Uint8ActPerTensorFixedPoint, Int8ActPerTensorFixedPoint, Int8ActPerTensorFloat],
    ids=["uint", "int", "float_scale"],
)
def test_one_bit_activations_that_are_not_bipolar_are_refused(quantizer: Any) -> None:
    net = ready(nn.Sequential(qnn.QuantIdentity(act_quant=quantizer, bit_width=1),
                              qnn.QuantLinear(8, 4, bias=False, **FIXED)), 8)  # fmt: skip
    kinds = {n.op_type for n in raw_export(net, (8,), TORCHSCRIPT).graph.node}
    assert "BipolarQuant" in kinds  # the trap: the file says -1 and +1
    with pytest.raises(UnsupportedModel, match="quantizer '0.act_quant': .*BipolarQuant") as caught:
        export.export_module(net, np.zeros((1, 8), np.float32))
    assert caught.value.exit_code == 4 and "2 bits" in caught.value.hint


@EXPORTS
def test_bipolar_activations_are_exact(path: str) -> None:
    act = {"act_quant": SignedBinaryActPerTensorConst, "scaling_init": 0.5}
    net = nn.Sequential(qnn.QuantIdentity(**act), qnn.QuantLinear(8, 4, bias=False, **FIXED),
                        qnn.QuantIdentity(**act))  # fmt: skip
    proven(net, (8,), path)


# rounding names ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["ROUND_TO_ZERO", "round_to_zero", "DOWN", "down"])
def test_round_to_zero_is_called_down_by_qonnx(mode: str) -> None:
    model = varied(lambda m: attribute(node(m, "q"), "rounding_mode", mode))
    imported = import_qonnx(model)
    x = np.array([[-0.2, 0.2, 0.49, -0.49, 1.6, -3.0]], np.float32)
    ours = compare.reference(imported, x)["q"]
    assert np.array_equal(ours, [[0, 0, 0.25, -0.25, 1.5, -2.0]])
    assert np.array_equal(execute_batch(imported, x, ["q"])["q"], ours)


@pytest.mark.parametrize("mode", sorted(ROUNDING))
def test_rounding_strings_in_either_case(mode: str) -> None:
    both = [
        import_qonnx(varied(lambda m, s=s: attribute(node(m, "q"), "rounding_mode", s)))
        for s in (mode, mode.lower())
    ]
    x = (np.arange(-24, 24).reshape(8, 6) / 16).astype(np.float32)
    upper, lower = (compare.reference(imported, x)["q"] for imported in both)
    assert np.array_equal(upper, lower)
    assert np.array_equal(upper, execute_batch(both[1], x, ["q"])["q"])


@EXPORTS
@pytest.mark.parametrize("rounding", ["ROUND_TO_ZERO", "FLOOR", "CEIL"])
def test_activation_rounding_is_kept(rounding: str, path: str) -> None:
    class Act(Int8ActPerTensorFixedPoint):
        float_to_int_impl_type = FloatToIntImplType[rounding]

    net = nn.Sequential(source(4, Act), qnn.QuantLinear(8, 4, bias=False, **FIXED), source(4, Act))
    proven(net, (8,), path)


def test_dpu_rounding_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match="rounding mode 'DPU' is not supported"):
        import_qonnx(varied(lambda m: attribute(node(m, "q"), "rounding_mode", "DPU")))


# QuantTensor outputs, initializers as inputs ---------------------------------------------------


@EXPORTS
def test_a_returned_quant_tensor_is_one_output(path: str) -> None:
    net = ready(nn.Sequential(source(4), qnn.QuantLinear(8, 4, bias=False, **FIXED), relu()), 8)
    outputs = len(raw_export(net, (8,), path).graph.output)
    assert outputs == (6 if path == TORCHSCRIPT else outputs)
    imported = import_qonnx(export.export_module(net, np.zeros((1, 8)), dynamo=path == DYNAMO))
    assert len(imported.graph.outputs) == 1 and len(imported.model.graph.output) == 1
    assert imported.graph.values[imported.graph.outputs[0]].shape == (4,)


def test_initializers_listed_as_inputs() -> None:
    net = ready(nn.Sequential(source(4), qnn.QuantLinear(8, 4, bias=False, **FIXED), relu()), 8)
    model = raw_export(net, (8,), TORCHSCRIPT)
    names = {t.name for t in model.graph.initializer}
    assert names & {i.name for i in model.graph.input}  # the trap
    imported = import_qonnx(model)
    assert len(imported.model.graph.input) == 1
    assert imported.model.graph.input[0].name not in names


def test_bias_free_dense_layers_are_quant_transpose_matmul() -> None:
    net = ready(nn.Sequential(source(4), qnn.QuantLinear(8, 4, bias=False, **FIXED)), 8)
    kinds = [n.op_type for n in raw_export(net, (8,), TORCHSCRIPT).graph.node]
    assert kinds[-2:] == ["Transpose", "MatMul"]
    assert [n.op.kind for n in import_qonnx(export.export_module(net, np.zeros((1, 8)))).graph
            .nodes] == ["quant", "dense"]  # fmt: skip


# recurrent layers -------------------------------------------------------------------------------


class Lstm(nn.Module):
    """Brevitas' LSTM on (batch, time, features)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = qnn.QuantLSTM(3, 4, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.lstm(x)[0]


@EXPORTS
def test_quant_lstm_is_refused_clearly(path: str) -> None:
    """Dynamo writes an empty graph with a constant output, TorchScript a cell nobody can run."""
    model = raw_export(Lstm().eval(), (5, 3), path)
    with pytest.raises(UnsupportedModel) as caught:
        import_qonnx(model)
    text = str(caught.value)
    assert caught.value.exit_code == 4 and "hint:" in text
    wanted = ("recurrent", "QuantLSTMCell") if path == TORCHSCRIPT else ("recurrent",)
    assert all(word in text for word in wanted), text


# padding and pooling ----------------------------------------------------------------------------


@EXPORTS
def test_zero_pad_is_a_chain_of_constants(path: str) -> None:
    net = nn.Sequential(source(4, return_quant_tensor=False), nn.ZeroPad2d((1, 2, 0, 1)),
                        source(4), conv(2, 3, 3), relu())  # fmt: skip
    proven(net, (2, 5, 5), path)


@EXPORTS
def test_truncated_pooling_is_average_pool_then_trunc(path: str) -> None:
    pool = qnn.TruncAvgPool2d(2, bit_width=4, return_quant_tensor=False)
    net = nn.Sequential(source(6), conv(2, 4, 3, padding=1), relu(5), pool)
    model = raw_export(ready(net, 2, 6, 6), (2, 6, 6), path)
    trunc = next(n for n in model.graph.node if n.op_type == "Trunc")
    modes = [helper.get_attribute_value(a) for a in trunc.attribute if a.name == "rounding_mode"]
    assert len(trunc.input) == 6 and modes[0] == modes[0].lower()  # v2, lower case
    proven(net, (2, 6, 6), path)


# ties -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero_point", [0, 1, 3, -5, 100])
@pytest.mark.parametrize("scale", [0.1, 0.3, 1 / 3, 0.0437])
def test_ties_with_a_zero_point_snap_as_float32_does(zero_point: int, scale: float) -> None:
    """``x / scale + zero_point`` is rounded to float32 first: neighbours of a tie become ties."""
    parts = {**constants(), "s": np.float32(scale), "z": np.float32(zero_point),
             "bits": np.float32(8)}  # fmt: skip
    model = model_of([quant("x", "y")], parts, shape=(1, 9))
    ties = ((np.arange(-60, 60) + 0.5) * np.float32(scale)).astype(np.float32)
    near = [ties]
    for direction in (np.float32(np.inf), np.float32(-np.inf)):
        step = ties
        for _ in range(4):
            step = np.nextafter(step, direction)
            near.append(step)
    x = np.stack(near, axis=1)
    extra = np.array([[0.0, -0.0, 1e-30, -1e-30, 1e6, -1e6, 3e38, -3e38, 1.0]], np.float32)
    x = np.concatenate([x, extra])
    imported = import_qonnx(model)
    ours = compare.reference(imported, x)["y"]
    assert np.array_equal(ours, execute_batch(imported, x, ["y"])["y"])
    in_torch = torch.round(torch.from_numpy(x) / np.float32(scale) + np.float32(zero_point))
    codes = in_torch.clamp(-128, 127).numpy() - np.float32(zero_point)
    assert np.array_equal(ours, codes * np.float32(scale))


def test_ternary_activations_export_as_two_bits() -> None:
    act = {"act_quant": SignedTernaryActPerTensorConst, "scaling_init": 0.5}
    net = nn.Sequential(qnn.QuantIdentity(**act), qnn.QuantLinear(8, 4, bias=False, **FIXED))
    proven(net, (8,))


# FloatQuant -------------------------------------------------------------------------------------


@pytest.mark.parametrize("attributes", [{"has_inf": 0}, {"has_infinity": 0}, {"has_subnormal": 1}])
def test_float_quant_has_attributes_of_two_names(attributes: dict[str, int]) -> None:
    """The documentation says ``has_infinity``, the code ``has_inf``; subnormals change nothing."""
    numbers = {"e": 4, "m": 3, "b": 7, "top": 448.0}
    parts = {**constants(), **{k: np.float32(v) for k, v in numbers.items()}}
    node = helper.make_node(
        "FloatQuant", ["x", "s", "e", "m", "b", "top"], ["y"], "f",
        domain="qonnx.custom_op.general", rounding_mode="ROUND", has_nan=1, saturation=1,
        **attributes,
    )  # fmt: skip
    imported = import_qonnx(model_of([node], parts, shape=(1, 8)))
    powers = np.float32(2.0) ** np.arange(-12, 12, dtype=np.float32)
    below, above = np.nextafter(powers, np.float32(0)), np.nextafter(powers, np.float32(1e9))
    x = np.concatenate([powers, below, above, -below, powers * np.float32(1.0625)])
    x = np.concatenate([x, [0.0, -0.0, 1e-30, -1e-30, 1e6, -1e6, 112.0, 108.0]]).astype(np.float32)
    x = x.reshape(-1, 8)
    assert np.array_equal(compare.reference(imported, x)["y"], _fp8(x, np.float32(0.25)))


def _fp8(x: np.ndarray, scale: np.float32) -> np.ndarray:
    """E4M3 in float32, as Brevitas and qonnx compute it: exponent from ``floor(log2|x|)``."""
    scaled = x / scale
    magnitude = np.abs(scaled)
    exponent = np.floor(np.log2(np.where(magnitude == 0, np.float32(1e-38), magnitude)))
    step = np.exp2(np.maximum(exponent, -6).astype(np.float32) - np.float32(3))
    return np.clip(np.round(scaled / step) * step, -448, 448).astype(np.float32) * scale


def test_pre_rounded_initializers_are_plain_tensors() -> None:
    """Restored weights stay float32 initializers that any reader understands."""
    net = rounded("FLOOR", Int8WeightPerTensorFixedPoint, "linear")
    model = export.export_module(net, np.zeros((1, 8), np.float32))
    (_, _, wanted) = export.quantized_weights(net)[0]
    arrays = [numpy_helper.to_array(t) for t in model.graph.initializer]
    assert any(a.dtype == np.float32 and np.array_equal(a, wanted) for a in arrays)
