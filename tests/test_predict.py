"""``predict`` is the model: circuit, then host; the class taken from the circuit's codes is not."""

from __future__ import annotations

import numpy as np
import pytest

import codesign
from codesign.api import generate
from codesign.builddir import BuildDir
from codesign.errors import UsageError
from codesign.frontend import import_qonnx
from codesign.frontend.execute import execute_batch
from codesign.host import HostModel
from tests.cnn_models import Net

torch = pytest.importorskip("torch")
qnn = pytest.importorskip("brevitas.nn")
pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def digits(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[torch.nn.Module, np.ndarray, np.ndarray, codesign.Design]:
    """A digits network that ends in a batch norm, trained for some steps, and its design."""
    from brevitas.quant import Int8WeightPerTensorFixedPoint, Uint8ActPerTensorFixedPoint

    from codesign.train.datasets import load

    torch.manual_seed(0)
    acts = {"act_quant": Uint8ActPerTensorFixedPoint, "bit_width": 4}
    weights = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
    net = torch.nn.Sequential(
        qnn.QuantIdentity(**acts),
        qnn.QuantLinear(64, 16, bias=False, **weights),
        qnn.QuantReLU(**acts),
        qnn.QuantLinear(16, 10, bias=True, **weights),
        torch.nn.BatchNorm1d(10),
    )
    torch.nn.init.uniform_(net[4].weight, 0.2, 3.0)
    data = load("digits")
    x, y = torch.from_numpy(data.train_x), torch.from_numpy(data.train_y)
    steps = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(40):
        steps.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        steps.step()
    net.eval()
    folder = tmp_path_factory.mktemp("digits") / "build"
    design = codesign.generate(
        net, folder, example_input=data.test_x, labels=data.test_y, unrolled=False, smallest=True
    )
    return net, data.test_x, data.test_y, design


def test_predict_is_the_model(digits: tuple) -> None:
    net, x, labels, design = digits
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    found = design.predict(x)
    assert found.dtype == np.float32 and np.array_equal(found, expected)
    right = float((found.argmax(1) == labels).mean())
    assert right == design.manifest.quantized_accuracy
    assert [step.operation for step in design.manifest.host][-1] == "batch norm"
    report = design.verify(random_frames=50, cocotb=False)
    assert report.accuracy == right
    codes = HostModel.open(BuildDir.open(design.path)).codes(x)
    (raw,) = codes.values()
    assert float((raw.argmax(1) == labels).mean()) < right


def test_trace_has_every_boundary(digits: tuple) -> None:
    net, x, _, design = digits
    found = design.trace(x[:5])
    with torch.no_grad():
        inside = net[:3](torch.from_numpy(x[:5]))
        end = net(torch.from_numpy(x[:5])).numpy()
    assert any(np.array_equal(a, np.asarray(inside)) for a in found.values() if a.shape == (5, 16))
    assert any(np.array_equal(a, end) for a in found.values())


def test_wrong_inputs_are_refused(digits: tuple) -> None:
    with pytest.raises(UsageError, match="shape"):
        digits[3].predict(np.zeros((2, 63), np.float32))


def test_an_output_behind_a_transpose_has_its_shape(tmp_path) -> None:
    """A Transpose is only other axes of a value that has another tensor's name."""
    net = Net((3, 4, 4))
    x = net.quant(net.conv(net.quant("x"), 3, 5, (1, 1)), 4, 0.5)
    model = net.model(net.node("Transpose", x, perm=[0, 2, 3, 1]))
    data, output = net.inputs(3), model.graph.output[0].name
    found = generate(model, tmp_path / "build").predict(data)
    assert np.array_equal(found, execute_batch(import_qonnx(model), data, [output])[output])
