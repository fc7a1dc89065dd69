"""A bias becomes part of the sums before it, and what moves the sums on their way narrows with
them: convolution, pool, neuron is the order of most spiking tutorials."""

from __future__ import annotations

import pytest

import codesign
from codesign.frontend import import_qonnx
from codesign.frontend.snntorch import import_snntorch
from codesign.ops.convolve import Convolve
from codesign.passes import lower
from tests.frontend import test_snntorch as s


def network(*between: object) -> object:
    """Convolution with a bias, ``between``, a neuron."""
    convolution = s.quantized(s.nn.Conv2d(1, 2, 3, bias=True), 5)
    s.torch.nn.init.constant_(convolution.bias, 0.25)
    neuron = s.snn.Leaky(s.torch.tensor(0.75, dtype=s.torch.float64), threshold=2.0)
    return s.nn.Sequential(convolution, *between, neuron)


BETWEEN = {
    "nothing": list,
    "max": lambda: [s.nn.MaxPool2d(2)],
    "max, max": lambda: [s.nn.MaxPool2d(2), s.nn.MaxPool2d(3)],
    "average": lambda: [s.nn.AvgPool2d(2)],
    "flatten": lambda: [s.nn.Flatten()],
    "max, flatten": lambda: [s.nn.MaxPool2d(2), s.nn.Flatten()],
}


@pytest.mark.parametrize("between", BETWEEN)
def test_the_bias_joins_the_sums(between: str) -> None:
    made = import_snntorch(
        network(*BETWEEN[between]()), s.formats(), s.time(2), input_shape=(1, 8, 8)
    )
    graph = lower(import_qonnx(made.scan).graph)
    convolve = next(n for n in graph.nodes if isinstance(n.op, Convolve))  # an average is another
    assert between == "average" or convolve.op.bias.any()  # type: ignore[attr-defined]
    for node in graph.nodes:
        assert node.op.infer(*graph.ins(node))[1] == graph.out(node).format


def test_the_circuit_is_the_model(tmp_path) -> None:
    made = import_snntorch(
        network(s.nn.MaxPool2d(2)), s.formats(), s.time(2), input_shape=(1, 8, 8)
    )
    design = codesign.generate(made.scan, tmp_path / "build", smallest=True)
    report = design.verify(random_frames=8, cocotb=False)
    assert report.ok and not sum(e.mismatches for e in report.evidence)
