"""Chains as functions of an integer: any broadcast of constants, values used twice."""

from __future__ import annotations

import time

import numpy as np
import pytest

from codesign.formats import ScaledInt
from codesign.ir import Value
from codesign.ops.add import Add, Sub
from codesign.ops.batchnorm import BatchNorm
from codesign.ops.chain import Chain, Step
from codesign.ops.combine import Combine
from codesign.ops.mul import Div, Mul
from codesign.ops.quant import Quant
from codesign.ops.relu import Relu
from codesign.passes.tabulate import bisect, enumerate_rows, tabulate

RNG = np.random.default_rng(5)
QUANT = Quant(np.float32([0.3]), np.float32([0]), 4, True)


def value(shape: tuple[int, ...], reach: int = 300, channels: int = 1) -> Value:
    scale = tuple(float(np.float32(s)) for s in RNG.uniform(0.005, 0.02, channels))
    return Value("a", shape, ScaledInt(-reach, reach + 1, scale))


def straight(origin: Value, *ops: object, quant: Quant = QUANT) -> Chain:
    return Chain(origin, tuple(Step(op, (i,)) for i, op in enumerate(ops)), quant)  # type: ignore


def check(chain: Chain, period: int | None = None) -> None:
    op = tabulate(chain, "q")
    if period is not None:
        assert op.period == period
    low, high = chain.origin.format.lo, chain.origin.format.hi
    codes = RNG.integers(low, high + 1, (400, *chain.origin.shape))
    codes[0], codes[1] = low, high
    assert np.array_equal(op.execute([chain.origin], codes), chain.evaluate(codes))


@pytest.mark.parametrize(
    ("shape", "period"),
    [((1,), 1), ((5,), 5), ((1, 5), 5), ((4, 1), 20), ((3, 1, 1), 60), ((3, 1, 5), 60)],
)
def test_constants_broadcast_over_trailing_axes(shape: tuple[int, ...], period: int) -> None:
    constant = RNG.normal(0, 1, shape).astype(np.float32)
    for op in (Add(constant), Sub(constant, reverse=True), Mul(constant), Div(constant)):
        check(straight(value((3, 4, 5)), op), period)


def test_batch_norm_of_channels_last_values() -> None:
    op = BatchNorm(*RNG.normal(0, 1, (3, 5)), RNG.uniform(0.5, 2, 5))
    check(straight(value((3, 4, 5), channels=5), op, Relu()), 5)


def test_a_value_used_twice() -> None:
    """x * relu(x + b): neither a chain in a row nor monotone."""
    origin = value((5,), channels=5)
    steps = (
        Step(Add(RNG.normal(0, 1, 5)), (0,)),
        Step(Relu(), (1,)),
        Step(Combine("mul"), (0, 2)),
    )
    check(Chain(origin, steps, QUANT), 5)


def test_non_monotone_over_a_large_accumulator() -> None:
    origin = value((3,), reach=20_000, channels=3)
    chain = Chain(origin, (Step(Combine("mul"), (0, 0)), Step(Div(np.float32([900])), (1,))), QUANT)
    op = tabulate(chain, "q")
    assert op.monotone and op.levels.size  # jumps with the code of each interval
    check(chain)


def test_bisection_equals_enumeration() -> None:
    steps = (Add(RNG.normal(0, 1, 7)), Mul(RNG.normal(0, 1, 7)), Relu())
    for quant in (QUANT, Quant(np.float32([0.5]), np.float32([1]), 1, True)):
        chain = straight(value((7,), channels=7), *steps, quant=quant)
        low, high = chain.origin.format.lo, chain.origin.format.hi
        ways = np.broadcast_to(chain.direction(), (7,))
        for a, b in zip(
            bisect(chain, ways, low, high), enumerate_rows(chain, low, high), strict=True
        ):
            assert np.array_equal(a.breaks, b.breaks) and np.array_equal(a.codes, b.codes)


def test_wide_accumulators_of_many_channels_are_quick() -> None:
    chain = straight(value((512,), 1 << 19, 512), Add(RNG.normal(0, 1, 512)), Relu())
    started = time.perf_counter()
    tabulate(chain, "q")
    assert time.perf_counter() - started < 1.0


def test_only_distinct_channels_are_evaluated() -> None:
    constant = np.repeat(np.float32([0.5, -1]), 256)
    index, inverse = straight(value((512,)), Add(constant)).classes()
    assert len(index) == 2 and np.array_equal(constant[index][inverse], constant)
