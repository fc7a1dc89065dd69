"""Training, export and recorded results, on runs small enough for every test round."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from codesign.errors import ToolError, UnsupportedModel, UsageError
from codesign.frontend import import_qonnx
from codesign.frontend.execute import execute_batch

torch = pytest.importorskip("torch")
qnn = pytest.importorskip("brevitas.nn")

from brevitas.inject.enum import FloatToIntImplType  # noqa: E402
from brevitas.quant import (  # noqa: E402
    Int8WeightPerTensorFixedPoint,
    Uint8ActPerTensorFixedPoint,
)

from codesign.train import datasets, export, golden, mlp, recipe  # noqa: E402
from codesign.train.mlp import MlpConfig, quantized_mlp  # noqa: E402


@pytest.fixture(scope="module")
def trained() -> recipe.TrainResult:
    return recipe.train("digits", hidden=(12,), epochs=4, random_frames=400, seed=3)


def reference(model: object, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every value by its ONNX tensor name, computed by our operations."""
    imported = import_qonnx(model)
    graph, found = imported.graph, {imported.graph.inputs[0]: x}
    for step in graph.nodes:
        found[step.output] = step.op.execute(graph.ins(step), *[found[i] for i in step.inputs])
    return {t: graph.values[n].format.decode(found[n]) for n, t in imported.tensor_names.items()}


def test_training_learns_and_records(trained: recipe.TrainResult) -> None:
    assert trained.quantized_accuracy > 0.6
    assert trained.float_accuracy > 0.6
    assert trained.golden.quantized_accuracy == trained.quantized_accuracy
    assert trained.golden.test_x.shape == (360, 64)
    assert trained.golden.random_x.shape == (400, 64)
    assert len(trained.golden.test) == 3  # two quantizers and the output


def test_pytorch_equals_the_exact_reference(trained: recipe.TrainResult) -> None:
    for x, recorded in (
        (trained.golden.test_x, trained.golden.test),
        (trained.golden.random_x, trained.golden.random),
    ):
        ours = reference(trained.model, x)
        for name, array in recorded.items():
            assert np.array_equal(ours[name], array), name


def test_same_seed_same_model(trained: recipe.TrainResult) -> None:
    again = recipe.train("digits", hidden=(12,), epochs=4, random_frames=10, seed=3)
    assert again.model.SerializeToString() == trained.model.SerializeToString()


def test_save_and_load(trained: recipe.TrainResult, tmp_path: Path) -> None:
    beside = recipe.save(trained, tmp_path / "net.onnx")
    assert beside == tmp_path / "net.golden.npz"
    loaded = golden.load_golden(beside)
    assert loaded.seed == trained.golden.seed
    assert list(loaded.test) == list(trained.golden.test)
    for name, array in trained.golden.random.items():
        assert np.array_equal(loaded.random[name], array)
    assert import_qonnx(tmp_path / "net.onnx").graph.name == "net"


def test_recordings_are_small_and_keep_every_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = (rng.integers(0, 200, (500, 784)) / np.float32(255)).astype(np.float32)
    pixels[0, :4] = [-0.0, 0.0, 1e-45, 3.4e38]
    noise = rng.normal(size=(20, 784)).astype(np.float32)
    wide = rng.choice(rng.normal(size=3000).astype(np.float32), (40, 784))
    kept = golden.Golden(
        pixels, np.zeros(500, np.int64), noise, 1, {"a": wide}, {"a": np.arange(9000)}
    )
    golden.save_golden(kept, tmp_path / "g.npz")
    found = golden.load_golden(tmp_path / "g.npz")
    for ours, theirs in (
        (kept.test_x, found.test_x),
        (kept.random_x, found.random_x),
        (kept.test["a"], found.test["a"]),
        (kept.random["a"], found.random["a"]),
    ):
        assert ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()
    with np.load(tmp_path / "g.npz") as file:
        assert file["test_x.index"].dtype == np.uint8
        assert file["test_0.index"].dtype == np.uint16
        assert "random_x" in file  # too many distinct values


def test_damaged_recordings_are_refused(tmp_path: Path, trained: recipe.TrainResult) -> None:
    path = tmp_path / "g.npz"
    with pytest.raises(UsageError, match="no such file"):
        golden.load_golden(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(UsageError, match="not a file of recorded results"):
        golden.load_golden(path)
    golden.save_golden(trained.golden, path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UsageError, match="not a file of recorded results"):
        golden.load_golden(path)
    np.savez(path, version=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UsageError, match="not a file of recorded results"):
        golden.load_golden(path)


def test_random_inputs_hold_corners_ties_and_saturation(trained: recipe.TrainResult) -> None:
    x = trained.golden.random_x * 16  # in steps of the input quantizer, codes 0..15
    assert {0.0, 1.0, 14.0, 15.0} <= set(x[:, 0].tolist())
    assert (x % 1 == 0.5).mean() > 0.05
    assert x.max() > 16
    assert x.min() < -1


@pytest.mark.parametrize(
    "options",
    [{"batch_norm": True}, {"argmax": True}, {"scale": "float", "per_channel": True}],
    ids=["batch_norm", "argmax", "float_scale"],
)
def test_options(options: dict[str, object]) -> None:
    result = recipe.train("digits", hidden=(6,), epochs=1, random_frames=50, **options)
    imported = import_qonnx(result.model)
    kinds = {n.op.kind for n in imported.graph.nodes}
    assert ("batchnorm" in kinds) == ("batch_norm" in options)
    assert ("argmax" in kinds) == ("argmax" in options)
    ours = reference(result.model, result.golden.test_x)
    quantizers = list(result.golden.test)[:-1]
    for name in quantizers:
        differ = (ours[name] != result.golden.test[name]).mean()
        assert differ == 0 if "scale" not in options else differ < 1e-3


class Tiny(torch.nn.Module):
    """8-4 network whose weight quantizer rounds by ``rounding``."""

    def __init__(self, rounding: FloatToIntImplType, *, quantized_output: bool = False) -> None:
        super().__init__()

        class Weights(Int8WeightPerTensorFixedPoint):
            float_to_int_impl_type = rounding

        act = {"act_quant": Uint8ActPerTensorFixedPoint, "bit_width": 4}
        self.inp = qnn.QuantIdentity(**act, return_quant_tensor=True)
        self.fc = qnn.QuantLinear(8, 4, bias=False, weight_quant=Weights, weight_bit_width=3)
        self.act = qnn.QuantReLU(**act, return_quant_tensor=quantized_output)

    def forward(self, x: object) -> object:
        return self.act(self.fc(self.inp(x)))


def tiny(rounding: str, **options: bool) -> Tiny:
    torch.manual_seed(0)
    net = Tiny(FloatToIntImplType[rounding], **options)
    for _ in range(3):
        net(torch.rand(50, 8))
    return net.eval()


def test_large_tensors_are_recorded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither PyTorch's memory nor the frames the circuit is compared on grow with a network."""
    net, sizes = tiny("ROUND"), []
    net.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    x = np.random.default_rng(0).normal(size=(19, 8)).astype(np.float32)
    model = export.export_module(net, x[:1])
    whole = golden.record_golden(net, model, x)
    assert len(whole.random_x) == 10_000 and sizes[-2:] == [19, 10_000]
    points = sum(array[0].size for array in whole.random.values())
    assert points > 8
    monkeypatch.setattr(golden, "AT_ONCE", 7 * (points + 8))  # a few frames a call
    sizes.clear()
    parts = golden.record_golden(net, model, x)
    assert len(parts.random_x) == 20 and max(sizes) < 19
    assert sum(sizes) == 3 + 39  # two frames and one of them alone tell where the batch is
    for name, array in whole.test.items():
        assert np.array_equal(parts.test[name], array)
    assert all(len(array) == 20 for array in parts.random.values())


@pytest.mark.parametrize("rounding", ["ROUND", "FLOOR", "CEIL", "ROUND_TO_ZERO", "DPU"])
def test_weight_rounding_survives_the_export(rounding: str) -> None:
    """Brevitas writes raw weights and Quant(ROUND) whatever the module does."""
    net = tiny(rounding)
    model = export.export_module(net, np.zeros((1, 8), np.float32))
    recorded = golden.record_golden(net, model, np.zeros((1, 8), np.float32), random_frames=100)
    ours = reference(model, recorded.random_x)
    for name, array in recorded.random.items():
        assert np.array_equal(ours[name], array)


def test_lost_rounding_is_what_we_say_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    net = tiny("FLOOR")
    x = np.zeros((1, 8), np.float32)
    monkeypatch.setattr(export, "restore_weights", lambda *_: None)
    model = export.export_module(net, x)
    with pytest.raises(UnsupportedModel, match="PyTorch and the exported file compute different"):
        golden.record_golden(net, model, x, random_frames=100)


def test_a_returned_quant_tensor_is_one_output() -> None:
    net = tiny("ROUND", quantized_output=True)
    model = export.export_module(net, np.zeros((1, 8), np.float32))
    imported = import_qonnx(model)
    assert len(imported.graph.outputs) == 1
    recorded = golden.record_golden(net, model, np.zeros((1, 8), np.float32), random_frames=64)
    name = list(recorded.random)[-1]
    assert np.array_equal(execute_batch(imported, recorded.random_x, [name])[name],
                          recorded.random[name])  # fmt: skip


def test_tensors_with_the_batch_on_another_axis_are_recorded() -> None:
    """PyTorch's attention works on (tokens, batch, features): frames must not be mixed."""

    class Turned(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.transpose(0, 1)).transpose(0, 1)

    torch.manual_seed(0)
    net = Turned(FloatToIntImplType.ROUND)
    net(torch.rand(50, 3, 8))
    x = np.random.default_rng(0).normal(size=(5, 3, 8)).astype(np.float32)
    model = export.export_module(net.eval(), x[:1])
    recorded = golden.record_golden(net, model, x, random_frames=100)
    ours = reference(model, x)
    assert len(recorded.test) == 3
    for name, array in recorded.test.items():
        assert np.array_equal(ours[name].reshape(array.shape), array)


@pytest.mark.slow
def test_the_dynamo_exporter_too() -> None:
    net = tiny("FLOOR")
    model = export.export_module(net, np.zeros((1, 8), np.float32), dynamo=True)
    recorded = golden.record_golden(net, model, np.zeros((1, 8), np.float32), random_frames=64)
    ours = reference(model, recorded.random_x)
    for name, array in recorded.random.items():
        assert np.array_equal(ours[name], array)


@pytest.mark.slow
def test_both_exporters_name_layers_alike() -> None:
    class Twice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Sequential(Tiny(FloatToIntImplType.ROUND))
            self.head = qnn.QuantLinear(4, 4, bias=True, weight_bit_width=3)
            self.out = qnn.QuantIdentity(bit_width=4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            return self.out(self.out(self.head(x)) + x)

    torch.manual_seed(0)
    net = Twice()
    net(torch.rand(50, 8))
    names = []
    for dynamo in (False, True):
        model = export.export_module(net.eval(), np.zeros((1, 8), np.float32), dynamo=dynamo)
        graph = import_qonnx(model).graph
        names.append([node.name for node in graph.nodes])
    assert names[0] == names[1]
    assert {"stem_0_fc", "head", "add", "out_quant", "out_quant_2"} <= set(names[0])


def test_recording_another_module_is_refused() -> None:
    model = export.export_module(tiny("ROUND"), np.zeros((1, 8), np.float32))
    other = Tiny(FloatToIntImplType.ROUND).eval()
    for _ in range(3):
        other.train()(torch.rand(50, 8))
    with pytest.raises(UnsupportedModel, match="compute different values"):
        golden.record_golden(other.eval(), model, np.zeros((1, 8), np.float32), random_frames=64)


def test_batch_norm_is_pytorch_bit_for_bit() -> None:
    """Golden semantics of :mod:`codesign.ops.batchnorm`; needs fused multiply-add (AVX2)."""
    from codesign.ops.batchnorm import BatchNorm

    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this CPU has no fused multiply-add: PyTorch rounds twice on it")
    rng = np.random.default_rng(7)
    for frames, channels in [(1, 1), (1, 16), (3, 129), (64, 16), (500, 7), (2000, 40)]:
        for epsilon in (1e-5, 1e-3, 1e-7):
            draw = [rng.normal(size=channels).astype(np.float32) for _ in range(3)]
            var = rng.uniform(1e-4, 9, channels).astype(np.float32)
            module = torch.nn.BatchNorm1d(channels, eps=epsilon).eval()
            targets = (module.weight, module.bias, module.running_mean, module.running_var)
            for target, array in zip(targets, (*draw, var), strict=True):
                target.data = torch.from_numpy(array)
            x = (rng.normal(size=(frames, channels)) * 10).astype(np.float32)
            with torch.no_grad():
                want = module(torch.from_numpy(x)).numpy()
            assert np.array_equal(BatchNorm(*draw, var, epsilon).evaluate(x), want)


def test_unknown_data_set() -> None:
    with pytest.raises(UsageError, match="unknown data set 'cifar'"):
        datasets.load("cifar")


def test_mnist_needs_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(datasets.MNIST_ENV, raising=False)
    with pytest.raises(UsageError, match="mnist needs its file"):
        datasets.load("mnist")
    with pytest.raises(UsageError, match="not a readable MNIST file"):
        datasets.load("mnist", tmp_path / "none.npz")
    names = {"x_train": (4, 28, 28), "y_train": (4,), "x_test": (2, 28, 28), "y_test": (2,)}
    np.savez(tmp_path / "m.npz", **{n: np.full(s, 255, np.uint8) for n, s in names.items()})
    monkeypatch.setenv(datasets.MNIST_ENV, str(tmp_path / "m.npz"))
    images = datasets.load("mnist")
    assert images.train_x.shape == (4, 784)
    assert images.train_x.max() == 1.0


def test_few_bits_get_a_constant_scale_and_the_same_float_function() -> None:
    config = MlpConfig((6, 5, 4), weights=2, activations=2, batch_norm=True)
    assert config.fixed_weight_scale
    assert not MlpConfig((6, 4), weights=4, batch_norm=True).fixed_weight_scale
    torch.manual_seed(1)
    net = mlp.float_mlp(config)
    net(torch.rand(50, 6))
    net.eval()
    x = torch.rand(20, 6)
    before = net[:2](x)
    mlp.centre_weights(config, net)
    assert torch.allclose(net[:2](x), before, atol=1e-4)
    share = (net[0].weight.abs() > 0.25).float().mean()  # beyond half a step: not rounded to 0
    assert 0.3 < float(share) < 0.9
    quantized = quantized_mlp(config)
    scales = {float(m.quant_weight().scale) for m in quantized if hasattr(m, "quant_weight")}
    assert scales == {0.5}


@pytest.mark.slow
@pytest.mark.skipif(datasets.MNIST_ENV not in os.environ, reason=f"{datasets.MNIST_ENV} not set")
def test_mnist_w2a2_reaches_96_percent(tmp_path: Path) -> None:
    result = recipe.train(
        "mnist", weights=2, activations=2, hidden=(64, 64, 64), batch_norm=True, random_frames=500
    )
    assert result.quantized_accuracy >= 0.96
    assert recipe.save(result, tmp_path / "mnist.onnx").stat().st_size < 6 << 20
    ours = reference(result.model, result.golden.test_x)
    for name, array in result.golden.test.items():
        assert np.array_equal(ours[name].astype(array.dtype), array), name


def test_digits_split_is_fixed() -> None:
    images = datasets.load("digits")
    assert len(images.test_y) == 360
    assert np.bincount(images.test_y).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    assert images.train_x.max() == 1.0
    assert images.classes == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": (64, 0, 10)}, "layer sizes must be positive"),
        ({"sizes": (64, 10), "weights": 1}, "weights need at least 2 bits"),
        ({"sizes": (64, 10), "activations": 1}, "activations need at least 2 bits"),
        ({"sizes": (64, 10), "activations": 99}, "activations must be 1 to 16 bits"),
        ({"sizes": (64, 10), "scale": "log"}, "scale is power_of_two or float"),
    ],
)
def test_bad_configurations(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MlpConfig(**options)


def test_no_epochs() -> None:
    with pytest.raises(UsageError, match="epochs must be at least 1"):
        recipe.train("digits", epochs=0)


def test_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brevitas.nn", None)
    with pytest.raises(ToolError) as caught:
        quantized_mlp(MlpConfig((8, 4)))
    assert caught.value.exit_code == 3
    assert caught.value.hint == "pip install 'codesign[train]'"
