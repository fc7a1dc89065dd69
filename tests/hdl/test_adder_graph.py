"""Shift-add graphs compute W x + bias, and their schedules respect depth and period."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from codesign.hdl.adders.graph import (
    AdderGraph,
    Node,
    Output,
    chain_bits,
    chain_luts,
    lut_estimate,
    width,
)
from codesign.hdl.adders.schedule import STAGE_NS, ff_estimate, least_depth, node_delays, schedule
from codesign.hdl.adders.solve import signed_digits, solve

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def problems(draw):
    """weights [N, K], in_lo [K], in_hi [K], bias [N]."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, k = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    top = draw(st.sampled_from([1, 2, 7, 100]))
    density = draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    weights = rng.integers(-top, top + 1, (n, k)) * (rng.random((n, k)) < density)
    lo = rng.integers(-9, 4, k)
    return weights, lo, lo + rng.integers(0, 12, k), rng.integers(-200, 200, n)


@seed(1)
@few
@given(problems())
def test_graph_equals_matrix_vector_product(problem):
    weights, lo, hi, bias = problem
    x = np.random.default_rng(0).integers(lo, hi + 1, (40, len(lo)))
    plain, biased = solve(weights, lo, hi), solve(weights, lo, hi, bias=bias)
    assert np.array_equal(plain.evaluate(x), x @ weights.T)
    assert np.array_equal(biased.evaluate(x), x @ weights.T + bias)


@seed(2)
@few
@given(problems())
def test_ranges_are_exact_and_reached(problem):
    weights, lo, hi, _ = problem
    graph = solve(weights, lo, hi)
    pos, neg = np.maximum(weights, 0), np.minimum(weights, 0)
    assert np.array_equal(graph.out_hi, pos @ hi + neg @ lo)
    assert np.array_equal(graph.out_lo, pos @ lo + neg @ hi)


@seed(3)
@few
@given(problems(), st.integers(1, 6))
def test_schedule_respects_depth_and_order(problem, depth):
    weights, lo, hi, _ = problem
    graph = solve(weights, lo, hi)
    plan = schedule(graph, depth)
    assert plan.depth == depth and all(0 <= s < depth for s in plan.stages)
    for i, node in enumerate(graph.nodes):
        for operand in node.operands:
            assert plan.stages[operand] <= plan.stages[i] <= plan.last_use[operand]
    assert ff_estimate(graph, plan) >= depth
    assert _slowest(graph, plan.stages) + STAGE_NS == pytest.approx(plan.delay_ns)


def _slowest(graph, stages):
    arrivals = []
    for i, (node, delay) in enumerate(zip(graph.nodes, node_delays(graph), strict=True)):
        same = [arrivals[o] for o in node.operands if stages[o] == stages[i]]
        arrivals.append(delay + max(same, default=0.0))
    return max(arrivals)


def test_depth_from_period():
    weights = np.random.default_rng(0).integers(-7, 8, (16, 32))
    graph = solve(weights, 0, 15)
    for period in (5.0, 8.5, 20.0):
        depth = least_depth(graph, period)
        assert schedule(graph, period_ns=period).depth == depth
        assert schedule(graph, period_ns=period).delay_ns <= period + 1e-6
        if depth > 1:
            assert schedule(graph, depth - 1).delay_ns > period - 0.05
    with pytest.raises(ValueError, match=r"period_ns=1\.0 is shorter"):
        least_depth(graph, 1.0)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        schedule(graph, 0)


def test_solver_shares_and_drops():
    graph = solve([[1, 0, 2], [-1, 0, -2], [0, 0, 0], [2, 0, 4], [1, 0, 2]], 0, 15)
    assert graph.adders == 2  # x0 + 2 x2 once, its negative once
    assert {n.a for n in graph.nodes if n.op == "input"} == {0, 2}
    again = solve([[1, 0, 2], [-1, 0, -2], [0, 0, 0], [2, 0, 4], [1, 0, 2]], 0, 15)
    assert again == graph


def test_more_efficient_than_signed_digits():
    weights = np.random.default_rng(0).integers(-7, 8, (16, 16))
    assert solve(weights, 0, 15).adders < 0.62 * (signed_digits(weights) - len(weights))


def test_bias_is_free_where_carries_allow_it():
    rng = np.random.default_rng(5)
    weights, bias = rng.integers(-7, 8, (8, 32)), rng.integers(-40, 40, 8)
    plain, biased = solve(weights, 0, 15), solve(weights, 0, 15, bias=bias)
    assert biased.adders < plain.adders + 8
    assert lut_estimate(biased) < lut_estimate(plain) + 8 * 8


def test_proof_catches_a_wrong_graph():
    good = solve([[3, -5]], 0, 15)
    with pytest.raises(ValueError, match="column 1: -5 instead of -4"):
        good.prove([[3, -4]])
    with pytest.raises(ValueError, match="another matrix"):
        good.prove([[3, -5]], [1])
    wide = AdderGraph((0,), (15,), (Node("input", lo=0, hi=31),), (Output(0),))
    with pytest.raises(ValueError, match=r"reaches \[0, 15\]"):
        wide.prove([[1]])


def test_messages():
    with pytest.raises(ValueError, match=r"integers \[N, K\], got float64"):
        solve(np.ones((2, 2)), 0, 1)
    with pytest.raises(ValueError, match="in_lo=2 > in_hi=1"):
        solve([[1]], 2, 1)
    with pytest.raises(ValueError, match=r"in_lo must be one number or \[2\]"):
        solve([[1, 1]], [0, 0, 0], 1)
    with pytest.raises(ValueError, match="bias must be 1 integers"):
        solve([[1, 1]], 0, 1, bias=[1, 2])
    with pytest.raises(ValueError, match="uses a later node"):
        AdderGraph((0,), (1,), (Node("add", 0, 0),), ())


def test_widths_and_chains():
    assert [width(0, 0), width(0, 15), width(-1, 0), width(-8, 7), width(-9, 7)] == [0, 4, 1, 4, 5]
    x, y = Node("input", 0, lo=0, hi=15), Node("input", 1, lo=0, hi=15)
    low_free = Node("sub", 0, 1, 0, 2, lo=-60, hi=15)
    low_used = Node("sub", 0, 1, 2, 0, lo=-15, hi=60)
    wiring = Node("add", 0, 1, 0, 4, lo=0, hi=255)
    bits = [chain_bits(n, (x, y)) for n in (low_free, low_used, wiring)]
    assert bits == [5, 7, 0]
    assert [chain_luts(b) for b in (0, 5, 6, 7)] == [0, 6, 6, 8]
