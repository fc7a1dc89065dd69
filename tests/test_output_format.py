"""``--output-format``: the circuit computes the whole of exactly the model that ends so."""

from __future__ import annotations

import numpy as np
import pytest

import codesign
from codesign.api import check
from codesign.builddir import BuildDir
from codesign.errors import UnsupportedModel
from codesign.formats import parse_format
from codesign.frontend.output_format import quantize_output
from codesign.train.golden import load_golden
from tests.cnn_models import Net

torch = pytest.importorskip("torch")
FORMAT = "int12:2^-6"


def network(*tail: torch.nn.Module, flat: bool = True) -> torch.nn.Module:
    """A quantizer, a dense layer (or convolution) with a float bias, and ``tail``, in float."""
    qnn = pytest.importorskip("brevitas.nn")
    torch.manual_seed(3)
    layer = (
        qnn.QuantLinear(6, 5, bias=True, weight_bit_width=4)
        if flat
        else qnn.QuantConv2d(2, 5, 3, bias=True, weight_bit_width=4)
    )
    return torch.nn.Sequential(qnn.QuantIdentity(bit_width=4), layer, *tail).eval()


def batch_norm(kind: type = torch.nn.BatchNorm1d) -> torch.nn.Module:
    norm = kind(5)
    for name, low in (("weight", -1), ("bias", -1), ("running_mean", -1), ("running_var", 0.2)):
        torch.nn.init.uniform_(getattr(norm, name), low, 1.5)
    return norm


def codes(values: np.ndarray) -> np.ndarray:
    """The number nearest to each of ``values`` on the grid of ``FORMAT``, by float64."""
    return (np.clip(np.rint(values.astype(np.float64) * 64), -2048, 2047) / 64).astype(np.float32)


@pytest.mark.parametrize(
    "tail",
    [
        list,
        lambda: [batch_norm()],
        lambda: [batch_norm(), torch.nn.ReLU()],
        lambda: [torch.nn.Sigmoid()],
    ],
    ids=["bias", "batch norm", "batch norm, ReLU", "sigmoid"],
)
def test_all_of_the_network_is_in_the_circuit(tail, tmp_path) -> None:
    net, x = network(*tail()), torch.randn(200, 6)
    design = codesign.generate(
        net, tmp_path / "build", example_input=x, target_ii=8, output_format=FORMAT
    )
    assert design.manifest.host == [] and design.manifest.output_format == FORMAT
    assert design.manifest.outputs if hasattr(design.manifest, "outputs") else True
    wanted, got = codes(net(x).detach().numpy()), design.predict(x.numpy())
    assert got.shape == wanted.shape and (got == wanted).mean() > 0.99  # float32 sums of PyTorch
    assert np.abs(got - wanted).max() <= 1 / 64
    report = design.verify(random_frames=200, cocotb=False)
    last = report.evidence[0]
    assert last.link == "PyTorch = reference" and last.tensors[-1].endswith("_quantized")


def test_pixels_and_channels_lie_as_in_the_model(tmp_path) -> None:
    net, x = network(batch_norm(torch.nn.BatchNorm2d), flat=False), torch.randn(40, 2, 5, 4)
    design = codesign.generate(
        net, tmp_path / "build", example_input=x, smallest=True,
        output_format="int12:0.015625,0.03125,0.0625,0.125,0.25",
    )  # fmt: skip
    recorded = load_golden(BuildDir.open(design.path).root / "model" / "golden.npz")
    (name,) = [t for t in recorded.test if t.endswith("_quantized")]
    floats, steps = net(x).detach().numpy(), np.float32([1, 2, 4, 8, 16])[:, None, None] / 64
    wanted = np.clip(np.rint(floats / steps), -2048, 2047) * steps
    assert np.array_equal(recorded.test[name], wanted)
    assert (design.predict(x.numpy()) == wanted).mean() > 0.99
    assert design.verify(random_frames=50, cocotb=False).ok


def test_a_last_code_that_is_wrong_is_found(tmp_path) -> None:
    """The recording's last tensor is compared: a fault there is a mismatch."""
    from dataclasses import replace

    from codesign.errors import MismatchError
    from codesign.train.golden import save_golden

    net, x = network(), torch.randn(60, 6)
    design = codesign.generate(
        net, tmp_path / "build", example_input=x, target_ii=8, output_format=FORMAT
    )
    path = design.path / "model" / "golden.npz"
    golden = load_golden(path)
    (name,) = [t for t in golden.test if t.endswith("_quantized")]
    wrong = golden.test[name].copy()
    wrong[7, 2] += 0.5
    save_golden(replace(golden, test={**golden.test, name: wrong}), path)
    with pytest.raises(MismatchError, match="frame 7, index 2"):
        design.verify(random_frames=50, cocotb=False)


def test_refused_where_the_output_is_codes_already() -> None:
    net = Net((4,))
    quantized = net.model(net.quant("x", 4, 0.25))
    with pytest.raises(UnsupportedModel, match="quantizes it already"):
        quantize_output(quantized, parse_format(FORMAT))
    net = Net((4,))
    classes = net.model(net.node("ArgMax", net.quant("x", 4, 0.25), axis=1))
    with pytest.raises(UnsupportedModel, match="whole numbers already"):
        check(classes, output_format=FORMAT)
