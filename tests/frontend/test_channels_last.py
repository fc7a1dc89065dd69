"""QONNX's channels-last dialect, as qonnx's own transformations write it: the same circuit with the
same codes as the model they were given, and what qonnx computes of the file itself."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.channels_last import (
    ConvertToChannelsLastAndClean,
    InsertChannelsLastDomainsAndTrafos,
)
from qonnx.transformation.infer_shapes import InferShapes

from codesign.api import generate
from codesign.errors import UnsupportedModel
from codesign.frontend import import_qonnx
from codesign.frontend.channels_last import DOMAIN
from codesign.frontend.execute import execute_batch
from codesign.passes import lower
from codesign.plan.partition import partition
from codesign.reference import run
from tests.branch_models import residual_block, skip
from tests.cnn_models import Net, cnn
from tests.frontend.checks import judged


def sequence() -> ModelProto:
    """One spatial axis; a grouped convolution, whose weights have fewer channels."""
    net = Net((4, 8))
    x = net.conv(net.quant("x"), 4, 6, (3,), pads=[1, 1], bias=True)
    x = net.quant(net.node("Relu", net.batch_norm(x, 6)), 4, 0.5, signed=False)
    x = net.node("MaxPool", x, kernel_shape=[2], strides=[2])
    x = net.quant(net.conv(x, 6, 6, (2,), group=2, strides=[2]), 4, 0.5)
    return net.model(net.dense(net.node("Flatten", x), 12, 3))


MODELS = {
    "classifier": cnn,
    "averages": lambda: cnn(pool="AveragePool"),
    "residual": residual_block,
    "concat": skip,
    "sequence": sequence,
}
WAYS = {
    "as inserted": InsertChannelsLastDomainsAndTrafos(),
    "cleaned": ConvertToChannelsLastAndClean(),
    "its input too": ConvertToChannelsLastAndClean(make_input_channels_last=True),
}


def explicit(proto: ModelProto) -> ModelProto:
    """``proto`` with every attribute that qonnx's operators demand, as PyTorch writes them."""
    for node in proto.graph.node:
        kernel = next((list(a.ints) for a in node.attribute if a.name == "kernel_shape"), [])
        ones = [1] * len(kernel)
        wanted: dict[str, object] = {}
        if node.op_type in ("Conv", "MaxPool"):
            wanted = {"strides": ones, "dilations": ones, "pads": [0] * (2 * len(kernel))}
        if node.op_type == "Conv":
            wanted["group"] = 1
        if node.op_type == "BatchNormalization":
            wanted["momentum"] = 0.9
        given = {a.name for a in node.attribute}
        node.attribute.extend(
            helper.make_attribute(name, value)
            for name, value in wanted.items()
            if name not in given
        )
    return proto


def converted(proto: ModelProto, way: str) -> ModelWrapper:
    """``proto`` in the dialect."""
    return ModelWrapper(proto).transform(InferShapes()).transform(WAYS[way])


@pytest.fixture(autouse=True)
def quiet():
    """onnxruntime warns of every operator that qonnx runs as one of opset 1."""
    onnxruntime.set_default_logger_severity(3)
    yield
    onnxruntime.set_default_logger_severity(2)


def layers(graph) -> list[object]:
    """Layers of hardware: operations, shapes."""
    found = partition(graph).layers
    return [([n.op.kind for n in x.nodes], [s.shape for s in x.sources], x.target) for x in found]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_the_same_circuit_and_codes(name, way):
    proto = explicit(MODELS[name]())
    wrapped = converted(proto, way)
    assert any(node.domain == DOMAIN for node in wrapped.graph.node)
    plain, imported = import_qonnx(proto), import_qonnx(wrapped.model)
    graphs = [lower(plain.graph), lower(imported.graph)]
    ours, theirs = (
        [(kinds, sources, t.shape, t.format) for kinds, sources, t in layers(g)] for g in graphs
    )
    assert ours == theirs

    shape = plain.graph.values[plain.graph.inputs[0]].shape
    x = np.random.default_rng(0).normal(0, 1.5, (4, *shape)).astype(np.float32)
    turned = np.moveaxis(x, 1, -1) if way == "its input too" else x
    inputs = [{g.inputs[0]: x} for g, x in zip(graphs, (x, turned), strict=True)]
    codes = [run(g, given)[g.outputs[0]] for g, given in zip(graphs, inputs, strict=True)]
    assert np.array_equal(*codes)

    found = judged(imported, turned)
    assert not found.mismatches, found.first
    port, output = wrapped.graph.input[0].name, wrapped.graph.output[0].name
    qonnx = [execute_onnx(wrapped, {port: frame[None]})[output] for frame in turned]
    ours = execute_batch(imported, turned, [output])[output]
    assert np.array_equal(ours, np.concatenate(qonnx))


def test_generated_and_verified(tmp_path):
    model = converted(explicit(sequence()), "cleaned").model
    onnx.save(model, tmp_path / "m.onnx")
    design = generate(tmp_path / "m.onnx", tmp_path / "build", target_ii=64)
    found = design.verify(random_frames=100, cocotb=False)
    assert found.ok and "qonnx = reference" in {e.link for e in found.evidence}


def test_without_shapes_the_kernels_tell_the_axes():
    model = converted(explicit(sequence()), "cleaned").model
    del model.graph.value_info[:]
    assert layers(lower(import_qonnx(model).graph))


def test_a_norm_of_which_nothing_tells_the_axes():
    net = Net((4, 2, 2))
    x = net.node("Flatten", net.quant("x"))
    x = net.batch_norm(net.node("Reshape", x, net.const(np.array([1, 2, 2, 4]))), 4)
    net.nodes[-1].domain = DOMAIN
    with pytest.raises(UnsupportedModel, match="nothing says how many axes") as error:
        import_qonnx(net.model(net.quant(x)))
    assert "InferShapes" in error.value.hint


def test_other_operators_of_the_domain_are_refused_by_name():
    net = Net((4, 4, 2))
    x = net.node("AveragePool", net.quant("x"), kernel_shape=[2, 2], domain=DOMAIN)
    with pytest.raises(UnsupportedModel, match=r"'AveragePool' of domain '.*channels_last'"):
        import_qonnx(net.model(net.quant(x)))
