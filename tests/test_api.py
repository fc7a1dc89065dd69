"""The Python interface with a live Brevitas module: PyTorch's own results join the proof."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import codesign
from codesign.errors import MismatchError, UsageError

torch = pytest.importorskip("torch")
qnn = pytest.importorskip("brevitas.nn")


def network() -> torch.nn.Module:
    """A user's own script: 10-6-3, 4 bits, power-of-two scales."""
    from brevitas.quant import Int8WeightPerTensorFixedPoint, Uint8ActPerTensorFixedPoint

    torch.manual_seed(0)
    acts = {"act_quant": Uint8ActPerTensorFixedPoint, "bit_width": 4}
    weights = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
    net = torch.nn.Sequential(
        qnn.QuantIdentity(**acts),
        qnn.QuantLinear(10, 6, bias=False, **weights),
        qnn.QuantReLU(**acts),
        qnn.QuantLinear(6, 3, bias=False, **weights),
    )
    net.train()
    for _ in range(20):  # calibrates the activation scales
        net(torch.rand(64, 10))
    return net.eval()


# tests/cli/test_cli.py runs the benches in every round
@pytest.mark.parametrize("cocotb", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_live_module(cocotb: bool, tmp_path: Path) -> None:
    design = codesign.generate(
        network(), tmp_path / "build", example_input=torch.rand(8, 10), target_ii=10
    )
    report = design.verify(random_frames=300, cocotb=cocotb)
    assert report.ok and bool(report.benches) == cocotb
    assert "PyTorch = reference" in {e.link for e in report.evidence}
    assert all(bench.passed for bench in report.benches)
    assert design.report().read_text().startswith("<!doctype html")


def test_module_without_example_input(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="example input"):
        codesign.generate(network(), tmp_path / "build")


def test_tampered_record_is_a_mismatch(tmp_path: Path) -> None:
    """PyTorch's recorded results are compared, not just stored."""
    design = codesign.generate(
        network(), tmp_path / "build", example_input=torch.rand(8, 10), target_ii=10
    )
    path = tmp_path / "build" / "model" / "golden.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["test_1"][3, 2] += 1.0
    np.savez_compressed(path, **arrays)
    with pytest.raises(MismatchError, match=r"PyTorch = reference.*frame 3, index 2"):
        design.verify(random_frames=50, cocotb=False)


def test_the_users_module_keeps_its_modes(tmp_path: Path) -> None:
    """In training mode it is recorded as in evaluation mode, with a warning, and given back."""
    net = network()
    net.insert(3, torch.nn.BatchNorm1d(6))
    net.insert(4, qnn.QuantIdentity(bit_width=4))
    net.train()
    net[3].eval()  # one frozen layer
    modes = [part.training for part in net.modules()]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.warns(UserWarning, match="training mode"):
        design = codesign.generate(net, tmp_path / "build", example_input=torch.rand(8, 10))
    assert [part.training for part in net.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert design.verify(random_frames=50, cocotb=False).ok


def test_no_warning_in_evaluation_mode(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    net = network()
    codesign.generate(net, tmp_path / "build", example_input=torch.rand(8, 10))
    assert not [w for w in recwarn if "training mode" in str(w.message)]
    assert not net.training


def test_labels_give_the_accuracy(tmp_path: Path) -> None:
    net, x = network(), torch.rand(40, 10)
    labels = net(x).argmax(1)
    labels[:10] = (labels[:10] + 1) % 3
    design = codesign.generate(net, tmp_path / "build", example_input=x, labels=labels)
    assert design.manifest.quantized_accuracy == 0.75
    assert design.verify(random_frames=50, cocotb=False).accuracy == 0.75
    with pytest.raises(UsageError, match="shape"):
        codesign.generate(net, tmp_path / "other", example_input=x, labels=labels[:3])


def frames(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("model", "example", "says"),
    [
        (lambda: network().state_dict(), frames(2, 10), "a state_dict is given"),
        (lambda: type(network()), frames(2, 10), "cannot generate from the class"),
        (lambda: 7, frames(2, 10), "cannot generate from a int"),
        (network, frames(10), "example_input is float32 of shape (10,)"),
        (network, frames(0, 10), "example_input is float32 of shape (0, 10)"),
        (network, frames(2, 7), "does not run on one frame of example_input, (1, 7)"),
        (network, frames(2, 10) + np.nan, "NaN or infinity"),
        (network, [["a"]], "not an array of numbers"),
        (network, {"x": 1}, "not an array of numbers"),
    ],
)
def test_what_is_no_module_or_no_input_of_it_is_said(model, example, says, tmp_path: Path) -> None:
    with pytest.raises(codesign.UsageError) as raised:
        codesign.generate(model(), tmp_path / "build", example_input=example)
    assert says in raised.value.what and raised.value.hint
    assert not (tmp_path / "build").exists()


def test_errors_are_the_packages_own() -> None:
    from codesign import errors

    kinds = {n for n, e in vars(errors).items() if isinstance(e, type)}
    assert kinds <= set(codesign.__all__)
    assert all(getattr(codesign, n) is getattr(errors, n) for n in kinds)
