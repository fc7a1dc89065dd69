"""The public residual block, which has no quantizers: refused as it is, proven with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from codesign.api import generate
from codesign.errors import UnsupportedModel
from codesign.frontend import import_qonnx
from tests.frontend.checks import judged

FILE = Path(__file__).parents[1] / ".." / "shared" / "models" / "residual_block.onnx"
DOMAIN = "qonnx.custom_op.general"

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="../shared is not here")


def quantized() -> onnx.ModelProto:
    """The file with a Quant behind its input, each weight and each activation; nothing else."""
    model = onnx.load(FILE)
    graph = model.graph
    weights = [n.input[1] for n in graph.node if n.op_type == "Conv"]
    signed = [graph.input[0].name, *weights, "Conv_0_out0", "Add_0_out0"]
    unsigned = ["Relu_0_out0", "Relu_1_out0"]
    readers = {name: [n for n in graph.node if name in n.input] for name in (*signed, *unsigned)}
    for name, nodes in readers.items():
        scale = 0.1 if name in weights else 2.0**-4 if name == signed[0] else 2.0
        parts = {"scale": scale, "zero": 0, "bits": 4 if name in weights else 6}
        for part, number in parts.items():
            constant = numpy_helper.from_array(np.float32(number), f"{name}_{part}")
            graph.initializer.append(constant)
        for node in nodes:
            node.input[list(node.input).index(name)] = f"{name}_quant"
        graph.node.append(helper.make_node(
            "Quant", [name, *(f"{name}_{part}" for part in parts)], [f"{name}_quant"],
            f"{name}_quant", domain=DOMAIN, signed=int(name in signed), narrow=0,
            rounding_mode="ROUND",
        ))  # fmt: skip
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return model


def test_without_quantizers_it_is_refused_with_the_way_out() -> None:
    with pytest.raises(UnsupportedModel) as caught:
        import_qonnx(FILE)
    assert caught.value.exit_code == 4
    assert "'Conv_0'" in str(caught.value) and "weights are not quantized" in str(caught.value)
    assert "weight quantizer" in caught.value.hint and "QuantConv2d" in caught.value.hint


def test_with_quantizers_every_tensor_is_qonnxs() -> None:
    imported = import_qonnx(quantized())
    x = np.random.default_rng(0).normal(0, 1, (2, 1, 200, 200)).astype(np.float32)
    found = judged(imported, x)
    assert not found.mismatches, found.first
    assert {n.op.kind for n in imported.graph.nodes} >= {"quant", "conv", "relu", "max_pool"}
    assert len(found.tensors) >= 5


@pytest.mark.slow
def test_with_quantizers_the_circuit_is_the_file(tmp_path: Path) -> None:
    design = generate(quantized(), tmp_path / "build")
    report = design.verify(random_frames=20, cocotb=False)
    assert report.ok and {e.mismatches for e in report.evidence} == {0}
    assert (report.latency, report.ii) == (design.manifest.latency, design.manifest.ii)
