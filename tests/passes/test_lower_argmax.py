"""ArgMax and TopK move onto codes only where codes and values have the same order."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.formats import Real, ScaledInt
from codesign.ir import Graph, Node, Value, verify
from codesign.ops.add import Add
from codesign.ops.argmax import ArgMax
from codesign.ops.topk import TopK
from codesign.passes.lower_argmax import LowerArgMax
from codesign.reference import run


def lowered(op, scale=(0.25,), bias=None):
    x = Value("x", (3, 4), ScaledInt(-8, 7, scale))
    nodes, values, name = [], [x], "x"
    if bias is not None:
        values.append(Value("b", (3, 4), Real()))
        nodes.append(Node("bias", Add(bias), ("x",), ("b",)))
        name = "b"
    values.append(Value("y", *op.infer(values[-1])))
    nodes.append(Node("pick", op, (name,), ("y",)))
    graph = Graph("g", tuple(nodes), {v.name: v for v in values}, ("x",), ("y",))
    after = LowerArgMax().call(graph)
    verify(after)
    codes = np.random.default_rng(0).integers(-8, 8, (50, 3, 4))
    assert np.array_equal(run(graph, {"x": codes})["y"], run(after, {"x": codes})["y"])
    return after


@pytest.mark.parametrize("op", [ArgMax(), ArgMax(keepdims=False), TopK(2), TopK(3, False)])
def test_on_codes(op):
    for bias in (None, np.float32([1.5])):
        assert [n.op for n in lowered(op, bias=bias).nodes] == [op]


EACH = np.float32([1, 2, 3, 4])


@pytest.mark.parametrize("op", [ArgMax(), TopK(2)])
@pytest.mark.parametrize(
    ("scale", "bias"),
    [
        ((0.25,), EACH),
        ((0.5, 0.25, 0.125, 0.5), None),
        ((0.5, 0.25, 0.125, 0.5), EACH),
        # A bias that swallows the low codes: distinct codes, equal values.
        ((0.25,), np.float32([2.0**26])),
        ((0.25,), np.float32([2.0**22, 0, 2.0**22, -1])),
    ],
)
def test_on_ranks(op, scale, bias):
    """Ties and orders are those of the float32 values, channel by channel."""
    after = lowered(op, scale, bias)
    assert [n.op.kind for n in after.nodes] == ["requant", op.kind]


def test_on_values_where_there_are_too_many_codes_for_ranks():
    x = Value("x", (4,), ScaledInt(0, 1 << 15))
    b = Value("b", (4,), Real())
    nodes = (Node("bias", Add(EACH), ("x",), ("b",)), Node("pick", ArgMax(), ("b",), ("y",)))
    y = Value("y", *ArgMax().infer(b))
    graph = Graph("g", nodes, {v.name: v for v in (x, b, y)}, ("x",), ("y",))
    assert [n.name for n in LowerArgMax().call(graph).nodes] == ["bias", "pick"]
