"""Every encoder and readout from its training to the RTL, PyTorch's own results among the proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas.nn")

from codesign.api import generate  # noqa: E402
from codesign.builddir import BuildDir  # noqa: E402
from codesign.evidence import VerifyReport  # noqa: E402
from codesign.train.golden import Golden, save_golden  # noqa: E402
from codesign.train.spiking.build import NetConfig  # noqa: E402
from codesign.train.spiking.encode import Encoding  # noqa: E402
from codesign.train.spiking.export import Exported, export_spiking  # noqa: E402
from codesign.train.spiking.network import SpikingNet  # noqa: E402
from codesign.train.spiking.recipe import SpikingOptions, save, train_spiking  # noqa: E402
from codesign.train.spiking.rules.qcfs import ann, convert  # noqa: E402

#: Data set and options beside a small network; the circuit encodes.
TRAINED: dict[str, tuple[str, dict[str, Any]]] = {
    "rate, first spike": ("digits", {"encoding": "rate", "readout": "first_spike"}),
    "latency, count": ("digits", {"encoding": "latency", "readout": "count"}),
    "direct, membrane": ("digits", {"encoding": "direct", "input_bits": 12}),
    "delta, Bessel": ("waves", {"readout": "bessel_last", "input_bits": 12, "low": 90}),
    "binary, membranes added": ("digits", {"encoding": "binary", "readout": "membrane_sum"}),
    "ternary, Bessel": ("digits", {"encoding": "ternary", "readout": "bessel_last", "order": 4}),
    "bitwise, membrane": ("digits", {"encoding": "bitwise"}),
    "one step": ("digits", {"encoding": "bitwise", "readout": "count", "steps": 1}),
    "converted": ("digits", {"rule": "qcfs"}),
    "recurrent": ("digits", {"recurrent": True, "readout": "count", "decay": 0.5}),
    "recurrent xylo": ("digits", {"recurrent": True, "neuron": "xylo", "rule": "sltt"}),
}
#: What the quick suite trains.
QUICK = {"delta, Bessel"}


def proven(folder: Path, frames: int = 60) -> VerifyReport:
    design = generate(folder / "net.onnx", folder / "build", target_ii=800)
    report = design.verify(random_frames=frames, cocotb=False)
    assert report.ok, report
    links = {e.link for e in report.evidence}
    assert {"PyTorch = reference", "qonnx = reference", "reference = RTL"} <= links
    return report


@pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in TRAINED]
)
def test_what_was_trained_is_the_circuit(kind: str, tmp_path: Path) -> None:
    dataset, given = TRAINED[kind]
    options = SpikingOptions(**{"steps": 6, "hidden": (6,), "epochs": 1, "encoder": "circuit",
                                **given})  # fmt: skip
    result = train_spiking(dataset, options)
    save(result, tmp_path / "net.onnx")
    report = proven(tmp_path)
    assert report.accuracy == result.accuracy
    tensors = {t for e in report.evidence if e.link == "PyTorch = reference" for t in e.tensors}
    assert "x_encoded" in tensors
    assert ("layer1_bessel" in tensors) == (options.readout == "bessel_last")


def converted_layer(levels: int, exponent: float) -> tuple[Any, Exported]:
    """The activations of a layer as it was trained, and its integrate-and-fire neurons on file."""
    torch.manual_seed(3)
    config = NetConfig((9, 7, 4), weight_frac=3, input_frac=4)
    net = ann(config, levels)
    with torch.no_grad():
        net[1].log_lambda.fill_(exponent)
    layer = SpikingNet(convert(net, config, levels).blocks[0])
    encoding = Encoding("direct", levels, bits=4)
    return net[:2], export_spiking(layer, (9,), encoding, "count", encodes=True)


@pytest.mark.parametrize(
    ("levels", "exponent"),
    [(6, -1.0), pytest.param(1, 0.0, marks=pytest.mark.slow),
     pytest.param(15, 1.0, marks=pytest.mark.slow)],
)  # fmt: skip
def test_converted_neurons_count_the_level_in_rtl(
    levels: int, exponent: float, tmp_path: Path
) -> None:
    """Half the threshold at the start, constant current, T = L steps: the spikes that the circuit
    counts are the quantizer's levels, which stand here as PyTorch's results."""
    trained, exported = converted_layer(levels, exponent)
    rng = np.random.default_rng(levels)
    sets = [rng.integers(0, 16, (count, 9)).astype(np.float32) / 16 for count in (120, 40)]
    sets[0][0], sets[0][1] = 0, 15 / 16
    found = []
    for x in sets:
        with torch.no_grad():
            level = trained(torch.from_numpy(x)).numpy() * levels / 2.0**exponent
        assert np.array_equal(level, np.rint(level))
        found.append({"layer0_count": level})
    assert 0 < found[0]["layer0_count"].mean() < levels
    assert set(np.unique(found[0]["layer0_count"])) >= {0, levels}
    (tmp_path / "net.onnx").write_bytes(exported.scan.SerializeToString())
    golden = Golden(sets[0], np.zeros(120, np.int64), sets[1], 1, *found)
    save_golden(golden, tmp_path / "net.golden.npz")
    report = proven(tmp_path)
    counts = BuildDir.open(tmp_path / "build").manifest.taps[-1].port.tensor
    for link, name in (("PyTorch = reference", "layer0_count"), ("reference = RTL", counts)):
        assert any(name in e.tensors for e in report.evidence if e.link == link)
