"""Two integer values before a quantizer: the lowered graph equals float32 on all pairs of codes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import UnsupportedModel
from codesign.formats import Real, ScaledInt
from codesign.ir import Graph, Node, Value, verify
from codesign.ops.add import Add
from codesign.ops.circuit import CircuitOp
from codesign.ops.combine import Combine
from codesign.ops.join import Join
from codesign.ops.mul import Mul
from codesign.ops.quant import Quant
from codesign.ops.relu import Relu
from codesign.ops.table_join import TableJoin
from codesign.passes import lower_combine
from codesign.passes.lower_combine import LowerCombine, multipliers
from codesign.passes.tabulate import Tabulate
from codesign.reference import run

CASES = settings(max_examples=12, derandomize=True, deadline=None, database=None)


def build(formats, befores, function, afters, quant, channels=1):
    """``quant(afters(function(before(a), before(b))))`` as a graph of inputs a and b."""
    values = [Value(n, (channels,), f) for n, f in zip("ab", formats, strict=True)]
    nodes, ends = [], []

    def emit(name, op, inputs):
        shape, format = op.infer(*inputs)
        out = Value(f"{name}_out", shape, format)
        nodes.append(Node(name, op, tuple(v.name for v in inputs), (out.name,)))
        values.append(out)
        return out

    for n, steps in enumerate(befores):
        x = values[n]
        for i, op in enumerate(steps):
            x = emit(f"before{n}_{i}", op, [x])
        ends.append(x)
    x = emit("met", Combine(function), ends)
    for i, op in enumerate(afters):
        x = emit(f"after{i}", op, [x])
    x = emit("quant", quant, [x])
    graph = Graph("g", tuple(nodes), {v.name: v for v in values}, ("a", "b"), (x.name,))
    verify(graph)
    return graph


def check(graph):
    """Lower; compare on all pairs of codes with the float32 graph. The lowered graph."""
    lowered = Tabulate().call(LowerCombine().call(graph))
    verify(lowered)
    assert all(isinstance(n.op, CircuitOp) for n in lowered.nodes)
    a, b = (graph.values[n] for n in "ab")
    grid = np.meshgrid(*(np.arange(v.format.lo, v.format.hi + 1) for v in (a, b)))
    channels = a.shape[0]
    inputs = {n: np.repeat(g.reshape(-1, 1), channels, axis=1)
              for n, g in zip("ab", grid, strict=True)}  # fmt: skip
    (name,) = graph.outputs
    assert np.array_equal(run(graph, inputs)[name], run(lowered, inputs)[name])
    return lowered


def quant(scale=0.5, bits=4, signed=True, zero=0):
    return Quant(np.float32(scale), np.float32(zero), bits, signed)


def code(bits, scale, zero=0, signed=True):
    return ScaledInt.of_bits(
        bits, signed=signed, scale=(float(np.float32(scale)),), zero_point=zero
    )


def joins(graph):
    return [n.op for n in graph.nodes if isinstance(n.op, Join | TableJoin)]


def test_equal_scales_add_codes():
    graph = build([code(4, 0.3), code(4, 0.3)], [[], []], "add", [Relu()], quant(0.37))
    (join,) = joins(check(graph))
    assert (join.function, join.left, join.right) == ("sum", 1, 1)


def test_powers_of_two_need_no_search():
    graph = build([code(8, 0.25), code(8, 0.0625, 3)], [[], []], "sub", [], quant())
    (join,) = joins(check(graph))
    assert (join.left, join.right, join.scale, join.zero_point) == (4, -1, (0.0625,), -3)
    (kind,) = [n.op.kind for n in check(graph).nodes if n.name == "quant"]
    assert kind == "requant"


def test_other_scales_get_multipliers():
    graph = build([code(8, 0.0301), code(8, 0.0177, 5)], [[], []], "add", [Relu()], quant(0.11))
    (join,) = joins(check(graph))
    assert join.function == "sum" and join.left > join.right > 0


@CASES
@given(st.data())
def test_any_scales(data):
    def scale():
        return data.draw(st.sampled_from([0.25, 0.3, 0.0173, 1.1, 0.125, 0.037]))

    formats = [code(data.draw(st.integers(2, 5)), scale(), data.draw(st.integers(-3, 3)))
               for _ in range(2)]  # fmt: skip
    channels = data.draw(st.sampled_from([1, 1, 3]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))

    def steps():
        pool = [Relu(), Add(rng.normal(0, 0.3, channels)), Mul(rng.uniform(0.5, 2, 1))]
        return [pool[i] for i in data.draw(st.lists(st.integers(0, 2), max_size=2))]

    function = data.draw(st.sampled_from(["add", "sub", "mul", "min", "max", "add"]))
    graph = build(formats, [steps(), steps()], function, steps(),
                  quant(scale(), data.draw(st.integers(2, 6)), zero=data.draw(st.integers(-2, 2))),
                  channels)  # fmt: skip
    check(graph)


def test_division_takes_a_table():
    above = ScaledInt(1, 15, (0.3,))
    (join,) = joins(check(build([code(4, 0.3), above], [[], []], "div", [], quant(0.25))))
    assert isinstance(join, TableJoin)


def test_product_is_a_product():
    formats = [code(4, 0.3, 2), code(4, 0.7)]
    (join,) = joins(check(build(formats, [[], []], "mul", [], quant(0.5))))
    assert (join.function, join.left, join.right) == ("product", 2, 0)


def test_division_by_zero_is_refused():
    graph = build([code(4, 0.3), code(4, 0.3)], [[], []], "div", [], quant())
    with pytest.raises(UnsupportedModel, match="not a number"):
        LowerCombine().call(graph)


WIDE = ScaledInt(-(1 << 15), (1 << 15) - 1, (float(np.float32(0.0007)),))


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("function", ["add", "sub"])
def test_an_accumulator_is_joined_by_bisection(function, sign, swap):
    """Too many pairs to enumerate while lowering; here they are all compared."""
    formats, befores = [WIDE, code(5, 0.3)], [[Add(np.float32([0.1]))], []]
    if swap:
        formats, befores = formats[::-1], befores[::-1]
    scaled = Mul(np.float32([sign * 0.7]))
    graph = build(formats, befores, function, [scaled, Relu()], quant(0.37))
    lowered = Tabulate().call(wide_only(graph))
    verify(lowered)
    (join,) = joins(lowered)
    assert join.function == "sum"
    a, b = (np.arange(f.lo, f.hi + 1) for f in formats)
    pairs = {"a": np.repeat(a, len(b))[:, None], "b": np.tile(b, len(a))[:, None]}
    (name,) = graph.outputs
    assert np.array_equal(run(graph, pairs)[name], run(lowered, pairs)[name])


def wide_only(graph):
    """Lowered without enumerating pairs."""
    limit = lower_combine.PAIRS
    lower_combine.PAIRS = 1
    try:
        return LowerCombine().call(graph)
    finally:
        lower_combine.PAIRS = limit


@pytest.mark.parametrize("scale", [0.3, 0.21, 0.0173])
def test_bisection_without_the_other_way(scale):
    graph = build([code(6, 0.11), code(4, scale)], [[], []], "add", [], quant(0.37, 5))
    lowered = wide_only(graph)
    pairs = np.meshgrid(np.arange(-32, 32), np.arange(-8, 8))
    inputs = {n: p.reshape(-1, 1) for n, p in zip("ab", pairs, strict=True)}
    (name,) = graph.outputs
    assert np.array_equal(run(graph, inputs)[name], run(lowered, inputs)[name])


def test_a_rectified_branch_is_no_straight_line():
    graph = build([code(6, 0.11), code(4, 0.3)], [[], [Relu()]], "add", [], quant(0.37, 5))
    with pytest.raises(UnsupportedModel, match="too many pairs"):
        wide_only(graph)


def test_too_many_pairs_are_refused():
    graph = build([WIDE, code(8, 0.4)], [[], []], "mul", [], quant())
    with pytest.raises(UnsupportedModel, match="too many pairs") as error:
        LowerCombine().call(graph)
    assert "quant" in str(error.value) and "quantize both inputs" in str(error.value)


def test_three_values_are_refused():
    values = [Value(n, (1,), code(4, s)) for n, s in zip("abc", (0.3, 0.31, 0.37), strict=True)]
    values += [
        Value("s", (1,), Real()),
        Value("t", (1,), Real()),
        Value("q", (1,), quant().out_format),
    ]
    nodes = (
        Node("first", Combine("add"), ("a", "b"), ("s",)),
        Node("second", Combine("add"), ("s", "c"), ("t",)),
        Node("quant", quant(), ("t",), ("q",)),
    )
    graph = Graph("g", nodes, {v.name: v for v in values}, ("a", "b", "c"), ("q",))
    with pytest.raises(UnsupportedModel, match="3 integer values"):
        LowerCombine().call(graph)


def test_multipliers_come_near_the_ratio():
    pairs = multipliers(0.3, -0.7)
    assert (3, -7) in pairs
    assert all(p > 0 > q for p, q in pairs)
    assert multipliers(float("nan"), 1.0) == [(1, 1), (1, -1)]
