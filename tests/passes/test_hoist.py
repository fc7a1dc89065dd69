"""Quantizers trade places with moves: same codes before and after, no float move in between."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import UnsupportedModel
from codesign.formats import ScaledInt
from codesign.ir import Graph, Node, Value, verify
from codesign.ops.add import Add, Sub
from codesign.ops.batchnorm import BatchNorm
from codesign.ops.circuit import CircuitOp
from codesign.ops.combine import Combine
from codesign.ops.concat import Concat
from codesign.ops.max_pool import MaxPool
from codesign.ops.mul import Mul
from codesign.ops.quant import Quant
from codesign.ops.rearrange import Rearrange
from codesign.ops.relu import Relu
from codesign.ops.requant import Requant
from codesign.ops.reshape import Reshape
from codesign.passes.base import run_passes
from codesign.passes.hoist import Hoist
from codesign.passes.lower_combine import LowerCombine
from codesign.passes.tabulate import Tabulate
from codesign.reference import run

SHAPE = (3, 4, 2)
RNG = np.random.default_rng(5)


class Net:
    """Nodes one after the other."""

    def __init__(self, **inputs: Value) -> None:
        self.values = dict(inputs)
        self.inputs = tuple(inputs)
        self.nodes: list[Node] = []

    def __call__(self, op, *inputs: str) -> str:
        name = f"{op.kind}{len(self.nodes)}"
        shape, format = op.infer(*(self.values[i] for i in inputs))
        self.values[f"{name}_out"] = Value(f"{name}_out", shape, format)
        self.nodes.append(Node(name, op, inputs, (f"{name}_out",)))
        return f"{name}_out"

    def graph(self, *outputs: str) -> Graph:
        graph = Graph("g", tuple(self.nodes), self.values, self.inputs, outputs)
        verify(graph)
        return graph


def codes(name="x", shape=SHAPE, scale=(0.3,), lo=-20, hi=30):
    scale = tuple(float(np.float32(s)) for s in scale)
    return Value(name, shape, ScaledInt(lo, hi, scale, 2 if len(scale) == 1 else 0))


def quant(scale=0.4, signed=True):
    return Quant(np.float32(scale), np.float32(0), 4, signed)


def norm(channels=2, sign=1):
    rng = np.random.default_rng(channels)
    return BatchNorm(sign * rng.uniform(0.5, 2, channels), rng.normal(0, 1, channels),
                     rng.normal(0, 1, channels), rng.uniform(0.5, 2, channels))  # fmt: skip


def check(graph: Graph) -> Graph:
    lowered = run_passes(graph, [Hoist(), LowerCombine(), Tabulate()])
    for node in lowered.nodes:
        assert isinstance(node.op, CircuitOp | Reshape), node.name
        assert hasattr(lowered.out(node).format, "low")
    inputs = {}
    for name in graph.inputs:
        value = graph.values[name]
        inputs[name] = RNG.integers(value.format.lo, value.format.hi + 1, (40, *value.shape))
    before, after = run(graph, inputs), run(lowered, inputs)
    for name in graph.outputs:
        got = lowered.values[name].format.decode(after[name])
        assert np.array_equal(graph.values[name].format.decode(before[name]), got)
        assert graph.values[name].shape == lowered.values[name].shape
    return lowered


def order(graph: Graph) -> list[str]:
    return [node.op.kind for node in graph.nodes]


def moves():
    frame = np.arange(24).reshape(SHAPE)
    yield "transpose", Rearrange(frame.transpose(1, 0, 2))
    yield "channels_move", Rearrange(frame[..., ::-1])
    yield "flatten", Rearrange(frame.transpose(2, 0, 1).reshape(-1))
    yield "slice", Rearrange(frame[1:, ::2])
    yield "pad", Rearrange(np.pad(frame, ((1, 0), (0, 2), (0, 0)), constant_values=-1))
    yield "up", Rearrange(frame.repeat(2, 0).repeat(2, 1))
    yield "reshape", Reshape((12, 2))
    yield "pool", MaxPool((2, 2), (1, 2))


@pytest.mark.parametrize("name", [name for name, _ in moves()])
@pytest.mark.parametrize("per_channel", [False, True])
def test_moves(name, per_channel):
    move = dict(moves())[name]
    net = Net(x=codes())
    x = net(norm(sign=-1 if per_channel else 1), "x")
    x = net(Relu(), net(move, x))
    channels = net.values[x].shape[-1]
    if per_channel and name != "pad":  # one padding value has one code per channel then
        x = net(Add(np.linspace(0, 1, channels, dtype=np.float32)), x)
    lowered = check(net.graph(net(quant(), x)))
    assert order(lowered)[0] == "requant"


def test_constants_of_every_element_follow_it():
    net = Net(x=codes())
    flat = net(dict(moves())["flatten"], net(Relu(), "x"))
    x = net(Add(RNG.normal(0, 1, 24).astype(np.float32)), flat)
    assert order(check(net.graph(net(quant(), x)))) == ["requant", "rearrange"]


def test_padding_is_quantized_too():
    net = Net(x=codes())
    x = net(Rearrange(np.append(np.arange(24), -1), 0.7), net(Relu(), "x"))
    lowered = check(net.graph(net(quant(), net(Mul(np.float32([1.5])), x))))
    assert order(lowered) == ["requant", "rearrange"]
    assert lowered.nodes[1].op.fill == pytest.approx(1.2)


def test_padding_of_different_codes_is_refused():
    net = Net(x=codes())
    x = net(dict(moves())["pad"], net(Relu(), "x"))
    graph = net.graph(net(quant(), net(Add(np.float32([0, 1])), x)))
    with pytest.raises(UnsupportedModel, match="cannot trade places"):
        run_passes(graph, [Hoist()])


def test_concat_splits_constants():
    net = Net(x=codes(), y=codes("y", (3, 4, 3), (0.21,)))
    x = net(Concat(2), net(norm(), "x"), net(Relu(), "y"))
    x = net(norm(5, -1), x)
    lowered = check(net.graph(net(quant(), x)))
    assert order(lowered) == ["requant", "requant", "concat"]


def test_concat_of_unlike_codes():
    """Scales per tensor that differ, along another axis: float until quantized."""
    net = Net(x=codes(), y=codes("y", (5, 4, 2), (0.21,)))
    lowered = check(net.graph(net(quant(), net(Concat(0), "x", "y"))))
    assert order(lowered) == ["requant", "requant", "concat"]


def test_falling_step_before_a_pool_stays_before_it():
    net = Net(x=codes())
    x = net(MaxPool((2, 2)), net(norm(sign=-1), "x"))
    lowered = check(net.graph(net(quant(), net(Relu(), x))))
    assert order(lowered) == ["requant", "max_pool"]


def test_falling_step_behind_a_pool_stays_behind_it():
    net = Net(x=codes())
    x = net(MaxPool((2, 2)), net(Relu(), net(Add(np.float32([0.1])), "x")))
    lowered = check(net.graph(net(quant(), net(norm(sign=-1), x))))
    assert order(lowered) == ["max_pool", "requant"]


def test_falling_on_both_sides_of_a_pool_is_refused():
    net = Net(x=codes())
    x = net(MaxPool((2, 2)), net(norm(sign=-1), "x"))
    graph = net.graph(net(quant(), net(norm(sign=-1), x)))
    with pytest.raises(UnsupportedModel, match="cannot trade places") as error:
        run_passes(graph, [Hoist()])
    assert "max_pool1" in str(error.value)


def test_moves_of_moves():
    net = Net(x=codes(), y=codes("y"))
    x = net(MaxPool((2, 2)), net(Concat(2), net(norm(), "x"), net(Relu(), "y")))
    x = net(Rearrange(np.arange(24).reshape(2, 3, 4).repeat(2, 0)), x)
    lowered = check(net.graph(net(quant(), net(Sub(np.float32([0.2])), x))))
    assert order(lowered) == ["requant", "requant", "concat", "max_pool", "rearrange"]


def test_two_quantizers_behind_one_move():
    net = Net(x=codes())
    x = net(Rearrange(np.arange(24)[::-1]), net(Relu(), "x"))
    lowered = check(net.graph(net(quant(0.4), x), net(quant(0.7), net(Mul(np.float32([2])), x))))
    assert sorted(order(lowered)) == ["rearrange", "rearrange", "requant", "requant"]


def test_functions_sink_where_two_values_meet():
    """A gate expanded before a product: no quantizer to hoist, so the expansion moves codes."""
    net = Net(x=codes(), g=codes("g", (1, 1, 2), lo=0, hi=7))
    gate = net(Mul(np.float32([0.5, 0.25])), "g")
    wide = net(Rearrange(np.broadcast_to(np.arange(2), SHAPE)), gate)
    lowered = check(net.graph(net(quant(), net(Combine("mul"), "x", wide))))
    assert order(lowered)[0] == "rearrange"


def test_minimum_of_unlike_codes():
    net = Net(x=codes(), y=codes("y", scale=(0.21,)))
    x = net(Mul(np.float32([-1])), net(Combine("min"), net(Relu(), "x"), "y"))
    lowered = check(net.graph(net(quant(), x)))
    assert order(lowered) == ["requant", "requant", "join"]
    assert lowered.nodes[-1].op.function == "max"


def test_input_side_moves_stay_on_the_host():
    from codesign.formats import Real

    net = Net(x=Value("x", SHAPE, Real()))
    graph = net.graph(net(quant(), net(Rearrange(np.arange(24)[::-1]), "x")))
    assert run_passes(graph, [Hoist()]).nodes == graph.nodes


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(st.data())
def test_random_maps(data):
    elements = 24
    index = data.draw(st.lists(st.integers(-1, elements - 1), min_size=2, max_size=30))
    channels = data.draw(st.sampled_from([c for c in (1, 2, 3, 5) if len(index) % c == 0]))
    net = Net(x=codes(scale=data.draw(st.sampled_from([(0.3,), (0.3, 0.7)]))))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = net(Relu(), "x")
    x = net(Rearrange(np.array(index).reshape(-1, channels), 0.0), x)
    if data.draw(st.booleans()):
        x = net(Mul(rng.uniform(0.5, 2, 1)), x)
    graph = net.graph(net(quant(), x))
    assert order(check(graph)) == ["requant", "rearrange"]


def test_names_stay_unique_and_requants_are_named_after_their_quantizer():
    net = Net(x=codes())
    x = net(Rearrange(np.arange(24)[::-1]), net(Relu(), "x"))
    graph = net.graph(net(quant(), x))
    lowered = check(graph)
    assert [n.name for n in lowered.nodes if isinstance(n.op, Requant)] == ["quant2"]
    assert len({n.name for n in lowered.nodes}) == len(lowered.nodes)
