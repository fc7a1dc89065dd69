"""Networks whose input is integer codes already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from codesign.api import generate
from codesign.errors import MismatchError, UnsupportedModel, UsageError
from codesign.formats import parse_format
from codesign.frontend import import_qonnx
from codesign.ops.rearrange import Rearrange
from codesign.passes import lower
from codesign.plan import partition
from tests.frontend.checks import explained
from tests.frontend.parts import QUANT, quant

N = helper.make_node
RNG = np.random.default_rng(8)
KINDS = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "int16": TensorProto.INT16}
CONSTANTS = {
    "s": np.float32(0.05),
    "s2": np.float32(0.5),
    "z": np.float32(0),
    "bits": np.float32(6),
    "gain": np.float32(1 / 255),
    "w": RNG.normal(0, 1, (12, 4)).astype(np.float32),
    "k": RNG.integers(-50, 50, (3, 3, 2, 2)).astype(np.int8),
}


def model(kind: str, nodes: list, shape: tuple = (1, 12), **more: object) -> ModelProto:
    constants = {**CONSTANTS, **more}
    graph = helper.make_graph(
        nodes,
        "codes",
        [helper.make_tensor_value_info("x", KINDS[kind], shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(QUANT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def cast_first(kind: str) -> ModelProto:
    return model(kind, [
        N("Cast", ["x"], ["c"], "c", to=TensorProto.FLOAT),
        N("Mul", ["c", "gain"], ["g"], "g"),
        quant("g", "q", scale="s"),
        quant("w", "wq", scale="s2"),
        N("MatMul", ["q", "wq"], ["m"], "m"),
        quant("m", "y", scale="s2"),
    ])  # fmt: skip


def dequantized(kind: str) -> ModelProto:
    zero = np.array(3, dtype=kind)
    return model(kind, [
        N("DequantizeLinear", ["x", "s", "zero"], ["d"], "d"),
        quant("w", "wq", scale="s2"),
        N("MatMul", ["d", "wq"], ["m"], "m"),
        quant("m", "y", scale="s2"),
    ], zero=zero)  # fmt: skip


def frames(kind: str, shape: tuple, count: int = 60) -> np.ndarray:
    info = np.iinfo(kind)
    return RNG.integers(info.min, info.max, (count, *shape), endpoint=True).astype(np.int64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [cast_first, dequantized])
def test_codes_enter_as_they_are(kind: str, make: object) -> None:
    if kind == "int16" and make is dequantized:
        pytest.skip("DequantizeLinear reads 16 bits from opset 21 on")
    graph, found = explained(make(kind), frames(kind, (12,)))
    assert graph.values[graph.inputs[0]].format == parse_format(kind).codes
    assert found.codes
    assert partition(graph).source.name == graph.inputs[0]


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_integer_convolution_and_int32_bias(kind: str) -> None:
    """ConvInteger on the input itself; the host turns its channels to the end."""
    proto = model(kind, [
        N("ConvInteger", ["x", "k", "zero"], ["c"], "c"),
        N("Add", ["c", "b"], ["a"], "a"),
        N("Cast", ["a"], ["f"], "f", to=TensorProto.FLOAT),
        N("Mul", ["f", "gain"], ["g"], "g"),
        quant("g", "y", scale="s2"),
    ], (1, 3, 5, 5), zero=np.array(7, dtype=kind),
        b=RNG.integers(-900, 900, (1, 3, 1, 1)).astype(np.int32))  # fmt: skip
    if kind == "int8":  # onnxruntime has the kernel for uint8 only
        lowered = lower(import_qonnx(proto).graph)
    else:
        lowered, found = explained(proto, frames(kind, (3, 5, 5)))
        assert not found.explained
    made = partition(lowered)
    assert not any(isinstance(n.op, Rearrange) for layer in made.layers for n in layer.nodes)


def test_what_computes_on_the_integers_is_refused() -> None:
    nodes = [N("Transpose", ["x"], ["t"], "t", perm=[0, 1]), N("Add", ["t", "t"], ["y"], "twice")]
    with pytest.raises(UnsupportedModel, match="integers of the network input"):
        import_qonnx(model("int8", nodes))


def test_a_second_format_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="int8 codes already"):
        import_qonnx(cast_first("int8"), input_format=parse_format("int8"))


def test_from_codes_to_rtl(tmp_path: Path) -> None:
    design = generate(dequantized("uint8"), tmp_path / "build")
    try:
        report = design.verify(random_frames=200, cocotb=False)
    except MismatchError as error:
        pytest.fail(str(error))
    assert {e.link for e in report.evidence} == {"qonnx = reference", "reference = RTL"}
    assert design.verify(frames("uint8", (12,)), cocotb=False).ok
    with pytest.raises(UsageError, match="are not all uint8 codes"):
        design.verify(np.full((1, 12), 0.5), cocotb=False)
