"""A small well-formed QONNX model, and helpers to damage or vary it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

QUANT = "qonnx.custom_op.general"
WEIGHTS = (np.arange(-12, 12).reshape(6, 4) % 7 - 3).astype(np.float32) / 4
BIAS = np.array([0.25, -0.5, 0.75, 1.0], dtype=np.float32)


def value(name: str, shape: list[object] | None = None, kind: int = TensorProto.FLOAT) -> object:
    """A graph input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def quant(x: str, out: str, *, bits: str = "bits", scale: str = "s", zero: str = "z", **attrs):
    """A Quant node named after its output."""
    attrs = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND", **attrs}
    return helper.make_node("Quant", [x, scale, zero, bits], [out], out, domain=QUANT, **attrs)


def model_of(
    nodes: list[NodeProto],
    constants: dict[str, np.ndarray],
    *,
    shape: tuple[object, ...] = (1, 6),
    output: str = "y",
    opset: int = 17,
) -> ModelProto:
    """A model with input ``x`` and one output."""
    graph = helper.make_graph(
        nodes,
        "small",
        [value("x", list(shape))],
        [value(output)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(QUANT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def constants() -> dict[str, np.ndarray]:
    """What :func:`small` uses: scale 1/4, zero point 0, 4 bits, weights [6, 4], bias [4]."""
    return {
        "s": np.float32(0.25),
        "z": np.float32(0),
        "bits": np.float32(4),
        "fc.weight": WEIGHTS,
        "fc.bias": BIAS,
    }


def small() -> ModelProto:
    """x -> Quant 'q' -> MatMul 'mm' (weights Quant 'qw') -> Add 'add' -> Relu -> Quant 'y'."""
    nodes = [
        quant("x", "q"),
        quant("fc.weight", "qw"),
        helper.make_node("MatMul", ["q", "qw"], ["mm"], "mm"),
        helper.make_node("Add", ["mm", "fc.bias"], ["add"], "add"),
        helper.make_node("Relu", ["add"], ["relu"], "relu"),
        quant("relu", "y", signed=0),
    ]
    return model_of(nodes, constants())


def node(model: ModelProto, name: str) -> NodeProto:
    """The node called ``name``."""
    return next(n for n in model.graph.node if n.name == name)


def tensor(model: ModelProto, name: str) -> TensorProto:
    """The initializer called ``name``."""
    return next(t for t in model.graph.initializer if t.name == name)


def put(model: ModelProto, name: str, array: object) -> None:
    """Replace an initializer's value."""
    tensor(model, name).CopyFrom(numpy_helper.from_array(np.asarray(array), name))


def attribute(node: NodeProto, name: str, value: object) -> None:
    """Set or replace an attribute."""
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def insert(model: ModelProto, op: str, after: str, **attrs: object) -> None:
    """Put a node ``bad`` of type ``op`` behind tensor ``after``."""
    for reader in model.graph.node:
        for index, name in enumerate(reader.input):
            if name == after:
                reader.input[index] = "bad_out"
    inputs = attrs.pop("extra", [])
    domain = str(attrs.pop("domain", ""))
    new = helper.make_node(op, [after, *inputs], ["bad_out"], "bad", domain=domain, **attrs)
    model.graph.node.append(new)


def varied(change: Callable[[ModelProto], object]) -> ModelProto:
    """:func:`small` after ``change``."""
    model = small()
    change(model)
    return model


def save(model: ModelProto, path: object) -> object:
    """Write without onnx's own checks."""
    onnx.save(model, path)
    return path


Case = tuple[str, Callable[[ModelProto], object], str]


def register(cases: list[Case]) -> Callable[[str], Callable[..., object]]:
    """A decorator factory: note a damage and a part of the message it must produce."""

    def bad(message: str) -> Callable[..., object]:
        def enter(change: Callable[[ModelProto], object]) -> Callable[[ModelProto], object]:
            cases.append((change.__name__, change, message))
            return change

        return enter

    return bad


def refuse(
    change: Callable[[ModelProto], object],
    message: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    start: Callable[[], ModelProto] = small,
) -> None:
    """``start()`` after ``change`` is refused by the command line: see :func:`refused_file`."""
    model = start()
    change(model)
    (folder / "bad.onnx").write_bytes(model.SerializeToString())
    refused_file(folder / "bad.onnx", message, capsys, code=4)


def refused_file(
    path: Path, message: str, capsys: pytest.CaptureFixture[str], *, code: int
) -> None:
    """``codesign generate path`` exits with ``code``, says one sentence that holds ``message``,
    and one hint; it prints nothing else and writes nothing."""
    from codesign.cli import main

    out = path.parent / "build"
    with pytest.raises(SystemExit) as ended:
        main(["generate", str(path), "-o", str(out)])
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert ended.value.code == code, printed.err
    assert printed.out == "" and not out.exists()
    assert len(lines) == 2 and lines[0].startswith("error ") and lines[1].startswith("hint  "), (
        printed.err
    )
    text = lines[0].removeprefix("error ") + "\n  hint: " + lines[1].removeprefix("hint  ")
    assert message in text, text
