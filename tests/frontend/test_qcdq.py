"""Brevitas' QCDQ export: every quantizer's codes equal qonnx's execution of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.frontend.checks import explained

torch = pytest.importorskip("torch")
qnn = pytest.importorskip("brevitas.nn")


def network(kind: str) -> tuple:
    from brevitas.quant import Int8WeightPerChannelFloat, ShiftedUint8ActPerTensorFloat

    torch.manual_seed(0)
    if kind == "conv":
        layers = [
            qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, return_quant_tensor=True),
            qnn.QuantConv2d(2, 3, 3, weight_quant=Int8WeightPerChannelFloat, bias=True),
            torch.nn.BatchNorm2d(3),
            qnn.QuantReLU(bit_width=8),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            qnn.QuantLinear(12, 4, bias=True),
        ]
        return torch.nn.Sequential(*layers).eval(), (2, 6, 6)
    bits = int(kind)
    layers = [
        qnn.QuantIdentity(bit_width=bits, return_quant_tensor=True),
        qnn.QuantLinear(6, 5, bias=True, weight_bit_width=bits,
                        weight_quant=Int8WeightPerChannelFloat),
        qnn.QuantReLU(bit_width=bits),
        qnn.QuantLinear(5, 3, bias=False, weight_bit_width=bits),
    ]  # fmt: skip
    return torch.nn.Sequential(*layers).eval(), (6,)


@pytest.mark.parametrize("kind", ["8", "4", "3", "conv"])
def test_qcdq_export(kind: str, tmp_path: Path) -> None:
    from brevitas.export import export_onnx_qcdq

    module, shape = network(kind)
    path = tmp_path / "model.onnx"
    example = torch.randn(1, *shape)
    export_onnx_qcdq(module, args=example, export_path=str(path), dynamo=False)
    x = np.random.default_rng(0).normal(0, 2, (64, *shape)).astype(np.float32)
    _, found = explained(onnx.load(path), x)
    assert len(found.tensors) == 3
