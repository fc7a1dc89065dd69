"""The tabulated circuit equals the float chain it came from, on every code that can occur."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.frontend import import_qonnx
from codesign.ir import Node
from codesign.ops.quant import Quant
from codesign.ops.requant import Requant
from codesign.passes import lower, tabulate
from codesign.passes.tabulate import find_chain
from codesign.reference import run
from tests.models import Mlp, mlp

recipes = st.builds(
    Mlp,
    sizes=st.sampled_from([(6, 5, 3), (9, 4, 4, 2)]),
    weight_bits=st.integers(2, 8),
    act_bits=st.integers(1, 8),
    scale=st.sampled_from(["pow2", "float", "channel"]),
    bias=st.booleans(),
    batch_norm=st.booleans(),
    relu=st.booleans(),
    signed_acts=st.just(False),
    rounding=st.sampled_from(["ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]),
    quantized_output=st.booleans(),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(recipes, st.integers(0, 10_000))
def test_lowered_graph_equals_model(recipe: Mlp, seed: int) -> None:
    graph = import_qonnx(mlp(recipe, seed)).graph
    lowered = lower(graph)
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, (300, recipe.sizes[0])).astype(np.float32)
    keep = [n.output for n in lowered.nodes if isinstance(n.op, Quant | Requant)]
    wanted = run(graph, {graph.inputs[0]: x}, keep=keep)
    got = run(lowered, {lowered.inputs[0]: x}, keep=keep)
    for name in [*keep, *graph.outputs]:
        assert np.array_equal(wanted[name], got[name]), (name, recipe, seed)


@pytest.mark.parametrize("recipe", [Mlp(batch_norm=True), Mlp(scale="channel", batch_norm=True)])
def test_bisection_equals_enumeration(recipe: Mlp, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = import_qonnx(mlp(recipe, 3)).graph
    full = [n.op for n in lower(graph).nodes if isinstance(n.op, Requant)]
    monkeypatch.setattr(tabulate, "ENUMERATE", 0)
    halved = [n.op for n in lower(graph).nodes if isinstance(n.op, Requant)]
    for a, b in zip(full, halved, strict=True):
        assert np.array_equal(a.base, b.base)
        assert np.array_equal(a.thresholds, b.thresholds)


def test_enumeration_covers_every_code() -> None:
    graph = import_qonnx(mlp(Mlp(scale="channel", batch_norm=True), 5)).graph
    node = next(n for n in graph.nodes if n.name == "fc0_q")
    chain = find_chain(graph, node)
    assert chain is not None
    op = tabulate.tabulate(chain, node.name)
    codes = np.arange(op.lo, op.hi + 1)[:, None].repeat(8, axis=1)
    assert np.array_equal(op.execute([chain.origin], codes), chain.evaluate(codes))


def test_codes_outside_the_range_are_refused() -> None:
    graph = lower(import_qonnx(mlp(Mlp())).graph)
    node: Node = next(n for n in graph.nodes if isinstance(n.op, Requant))
    with pytest.raises(ValueError, match="outside"):
        node.op.execute(graph.ins(node), np.full((1, 8), 10**6))
