"""Lowered convolutions and pools compute what the model does, layer by layer."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codesign.errors import UnsupportedModel
from codesign.formats import ScaledInt
from codesign.ir import Graph, Node, Value, verify
from codesign.ops.add import Add
from codesign.ops.batchnorm import BatchNorm
from codesign.ops.conv import Conv
from codesign.ops.convolve import Convolve
from codesign.ops.max_pool import MaxPool
from codesign.ops.quant import Quant
from codesign.ops.rearrange import Rearrange
from codesign.ops.sum_pool import SumPool
from codesign.passes import AbsorbBias, lower, run_passes
from codesign.passes.lower_conv import LowerConv
from codesign.reference import run
from tests.ops.test_convolution import options, windows

CASES = settings(max_examples=40, derandomize=True, deadline=None, database=None)


def graph_of(x, *ops):
    """A chain of ``ops`` on value ``x``."""
    values, nodes = [x], []
    for n, op in enumerate(ops):
        shape, format = op.infer(values[-1])
        values.append(Value(f"v{n}", shape, format))
        nodes.append(Node(f"n{n}", op, (values[-2].name,), (values[-1].name,)))
    graph = Graph("g", tuple(nodes), {v.name: v for v in values}, ("x",), (values[-1].name,))
    verify(graph)
    return graph


def same(before, after, x, frames=20):
    rng = np.random.default_rng(0)
    codes = rng.integers(x.format.lo, x.format.hi + 1, (frames, *x.shape))
    name = before.outputs[0]
    first, second = run(before, {"x": codes}), run(after, {"x": codes})
    one, two = before.values[name].format, after.values[name].format
    assert np.array_equal(one.decode(first[name]), two.decode(second[name]))


@CASES
@given(windows(), st.integers(-3, 3), st.sampled_from(["conv", "sum", "max"]))
def test_padding_a_window_cannot_do(g, zero, kind):
    x = Value("x", (*g.size, 2), ScaledInt(-4, 3, (0.5,), zero))
    if kind == "conv":
        weights = np.random.default_rng(0).integers(-3, 4, (3, *g.kernel, 2))
        op = Conv(weights, np.ones(1), **options(g))
    else:
        op = (SumPool if kind == "sum" else MaxPool)(g.kernel, **options(g))
        assume(kind == "sum" or not (g.indices() < 0).all(axis=(2, 3)).any())
    before = graph_of(x, op)
    after = run_passes(before, [LowerConv()])
    same(before, after, x)
    for node in after.nodes:
        if isinstance(node.op, Convolve | SumPool | MaxPool):
            left = node.op.geometry(after.ins(node)[0])
            assert left.pads[0] + left.pads[2] <= left.reach[0]
            assert left.pads[1] + left.pads[3] <= left.reach[1]
    pads = [n for n in after.nodes if isinstance(n.op, Rearrange)]
    fits = all(g.pads[a] + g.pads[a + 2] <= g.reach[a] for a in (0, 1))
    assert len(pads) == (0 if fits else 1)


@pytest.mark.parametrize("zero", [0, 2])
def test_falling_channels_turn_and_biases_are_absorbed(zero):
    rng = np.random.default_rng(1)
    x = Value("x", (5, 5, 2), ScaledInt(0, 7, (0.25,), zero))
    conv = Conv(rng.integers(-3, 4, (4, 3, 3, 2)), np.float64([0.5]), pads=(1, 1, 1, 1))
    one = np.ones(4, np.float32)
    norm = BatchNorm(np.float32([1, -1, 0.5, -2]), one, one * 0, one, 1e-5)
    quant = Quant(np.float32([0.25]), np.float32([0]), 4, True)
    before = graph_of(x, conv, norm, quant)
    after = lower(before)
    assert [n.op.kind for n in after.nodes] == ["convolve", "requant"]
    assert (after.nodes[1].op.step > 0).all()
    same(before, after, x)
    absorbed = run_passes(after, [AbsorbBias([after.nodes[0].name])])
    same(before, absorbed, x)


def test_an_exact_bias_goes_into_the_convolution():
    x = Value("x", (4, 4, 1), ScaledInt(0, 7, (0.25,)))
    conv = Conv(np.ones((2, 3, 3, 1), int), np.float64([0.5]))
    before = graph_of(x, conv, Add(np.float32([0.5, -0.25])))
    after = lower(before)
    assert [n.op.kind for n in after.nodes] == ["convolve"]
    assert after.nodes[0].op.bias.tolist() == [4, -2]
    same(before, after, x)


def test_max_pool_cannot_pad_with_many_scales():
    x = Value("x", (4, 4, 2), ScaledInt(-4, 3, (0.5, 1.0)))
    graph = graph_of(x, MaxPool((2, 2), pads=(1, 1, 1, 1)))
    with pytest.raises(UnsupportedModel, match="one scale per channel"):
        run_passes(graph, [LowerConv()])
