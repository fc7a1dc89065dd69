"""TESS in integers: its equations one by one, against floats, and that it learns."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.learning import LearningLayer, LearningNet, Psi, Rival, eprop, fast_sigmoid
from codesign.neurons import Leak, Word
from tests.learning.examples import CLAMP, digits, digits_net, lif, tess

FEW = settings(derandomize=True, deadline=None, database=None, max_examples=40)


def rounded(x, bits, rounding):
    """A Fraction's rounding, by definition."""
    value = Fraction(x) / Fraction(2) ** bits
    if rounding == "floor":
        return value.__floor__()
    if rounding == "trunc0":
        return int(value)
    return round(value)


def clamp(word, x):
    return max(word.lo, min(word.hi, x))


@FEW
@given(
    seed=st.integers(0, 1000),
    frac=st.integers(0, 9),
    rounding=st.sampled_from(["floor", "trunc0", "half_even"]),
    pre_shift=st.integers(-3, 3),
    post_shift=st.sampled_from([None, -2, 0, 3]),
    rate=st.integers(-2, 6),
    narrow=st.booleans(),
    timing=st.sampled_from(["next", "same"]),
)
def test_each_step_is_its_equations(
    seed, frac, rounding, pre_shift, post_shift, rate, narrow, timing
):
    rng = np.random.default_rng(seed)
    rule = tess(
        frac, rate, rounding=rounding, pre_shift=pre_shift, post_shift=post_shift,
        weight=Word(frac + 4, frac, True, "sat_narrow" if narrow else CLAMP),
    )  # fmt: skip
    theta = rng.integers(1, 1 << (frac + 1), 3)
    layer = LearningLayer(lif(frac, theta, reset_timing=timing), rule, 4, 3)
    weights = rng.integers(rule.weight.lo, rule.weight.hi + 1, (4, 3))
    frames = rng.integers(0, 2, (2, 4, 4))
    signals = rng.integers(-4, 4, (2, 4, 3))
    end, seen = layer.run(weights, frames, signals)
    w, k = [[int(c) for c in row] for row in weights], 0
    for x, m in zip(frames.tolist(), signals.tolist(), strict=True):
        pre, post = [0] * 4, [0] * 3
        for t in range(4):
            pre = [clamp(rule.pre, p * 6 // 8 + x[t][j] * 8) for j, p in enumerate(pre)]
            v = seen.states[k]["v"]
            ahead = [int(v[i] - theta[i]) for i in range(3)]
            if timing == "same":  # a spike took the threshold away: the membrane compared is more
                ahead = [a + int(theta[i] * seen.spikes[k][i]) for i, a in enumerate(ahead)]
            where = [min(abs(a) >> rule.psi.shift, 31) for a in ahead]
            psi = [int(rule.psi.table[at]) for at in where]
            post = [clamp(rule.post, p * 2 // 8 + q) for p, q in zip(post, psi, strict=True)]
            # Scales: signal 0, Psi and its trace 4, factors 4, trace of inputs 3 fraction bits.
            g = [rounded(m[t][i] * psi[i], pre_shift, rounding) for i in range(3)]
            h = [0] * 3
            if post_shift is not None:
                h = [rounded(m[t][i] * post[i], post_shift, rounding) for i in range(3)]
            g, h = ([clamp(rule.factor, c) for c in row] for row in (g, h))
            for j in range(4):
                for i in range(3):
                    change = g[i] * pre[j] + h[i] * x[t][j] * 8
                    lost = rounded(change, 4 + 3 + rate - frac, rounding)
                    w[j][i] = clamp(rule.weight, w[j][i] - lost)
            assert seen.pre[k].tolist() == pre and seen.psi[k].tolist() == psi
            assert seen.post[k].tolist() == post and seen.weights[k].tolist() == w
            k += 1
    assert end.tolist() == w


def test_wide_words_give_the_float_rule():
    """With words in which nothing is rounded or clamped it is TESS to the last bit."""
    table = Psi(np.array([16, 9, 4, 1, 0]), 2, Word(5, 4, False, CLAMP))
    rule = tess(
        4, 3, pre=Word(24, 16, False, CLAMP), pre_leak=Leak("mul_floor", np.array([1]), 1),
        psi=replace(table, word=Word(24, 12, False, CLAMP), table=table.table << 8),
        post=Word(20, 12, False, CLAMP), post_leak=Leak("mul_floor", np.array([1]), 1),
        factor=Word(40, 14, True, CLAMP), weight=Word(47, 40, True, CLAMP),
        post_shift=1, rounding="floor",
    )  # fmt: skip
    layer = LearningLayer(lif(4, bits=20, input_frac=40), rule, 5, 3)
    rng = np.random.default_rng(3)
    weights = rng.integers(-8, 16, (5, 3)) << 36
    x, m = rng.integers(0, 2, (1, 4, 5)), rng.integers(-4, 4, (1, 4, 3))
    _, seen = layer.run(weights, x, m)
    w, pre, post = weights / 2.0**40, np.zeros(5), np.zeros(3)
    for t in range(4):
        psi = np.array([16, 9, 4, 1, 0])[np.minimum(abs(seen.states[t]["v"] - 16) >> 2, 4)] / 16
        pre, post = pre / 2 + x[0, t], post / 2 + psi
        w = w - (np.outer(pre, m[0, t] * psi) + np.outer(x[0, t], m[0, t] * post) / 2) / 8
        assert (seen.weights[t] / 2.0**40 == w).all()


def test_eprop_has_the_trace_of_inputs_alone():
    whole = tess()
    rule = eprop(
        pre=whole.pre, pre_leak=whole.pre_leak, psi=whole.psi, signal=whole.signal,
        factor=whole.factor, weight=whole.weight, pre_shift=0, rate_shift=4, rounding="floor",
    )  # fmt: skip
    layer = LearningLayer(lif(), rule, 6, 2)
    rng = np.random.default_rng(5)
    x, m = rng.integers(0, 2, (1, 6, 6)), rng.integers(-2, 3, (1, 6, 2))
    start = rng.integers(-200, 300, (6, 2))
    _, seen = layer.run(start, x, m)
    before = start
    for t in range(6):
        change = np.outer(seen.pre[t], m[0, t] * seen.psi[t])
        before = rule.weight.fit(before - (change >> 2))  # 4 + 3 + 4 - 9 bits
        assert (seen.weights[t] == before).all()


def test_frames_begin_anew_and_weights_go_on():
    layer = LearningLayer(lif(), tess(), 6, 2)
    rng = np.random.default_rng(4)
    x, m = rng.integers(0, 2, (3, 5, 6)), rng.integers(-2, 3, (3, 5, 2))
    start = rng.integers(-200, 300, (6, 2))
    end, seen = layer.run(start, x, m)
    middle, _ = layer.run(start, x[:1], m[:1])
    assert (layer.run(middle, x[1:], m[1:])[0] == end).all()
    assert (seen.pre[5] == x[1, 0] << 3).all()
    assert (end != start).any()


def test_rival_moves_toward_the_target_and_away_from_the_best_other():
    signal = Rival(np.eye(4, dtype=np.int64), 1)
    scores, m = signal.step(signal.begin(), np.array([1, 0, 0, 1]), 1)
    assert scores.tolist() == [1, 0, 0, 1] and m.tolist() == [1, -1, 0, 0]
    scores, m = signal.step(np.array([0, 3, 2, 0]), np.zeros(4, np.int64), 1)
    assert m.tolist() == [0, 0, 0, 0]  # right by the margin
    assert Rival(np.array([[1, -1], [1, 1]]), 0).span == (-2, 2)


def test_fast_sigmoid_is_the_published_function():
    psi = fast_sigmoid(Word(9, 8, False, CLAMP), theta=100, slope=100.0, entries=8, shift=0)
    expected = [round(256 / (d + 1) ** 2) for d in range(7)] + [0]
    assert psi.table.tolist() == expected
    assert psi.of(np.array([-1, 1, 0, 50, -400])).tolist() == [64, 64, 256, 0, 0]


def test_it_learns_digits_in_one_pass():
    """One pass over 500 frames, one at a time, from random weights; chance is 10 %."""
    net, weights = digits_net()
    x, y = digits()
    before = (net.classify(weights, x[1500:1650]) == y[1500:1650]).mean()
    for frame, target in zip(x[:500], y[:500], strict=True):
        weights, _ = net.frame(weights, frame, int(target))
    after = (net.classify(weights, x[1500:1650]) == y[1500:1650]).mean()
    assert before < 0.3 and after >= 0.85


@pytest.mark.slow
def test_two_layers_learn_digits():
    net, weights = digits_net(hidden=64)
    x, y = digits()
    for _ in range(3):
        for frame, target in zip(x[:1437], y[:1437], strict=True):
            weights, _ = net.frame(weights, frame, int(target))
    assert (net.classify(weights, x[1437:]) == y[1437:]).mean() >= 0.95


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LearningLayer(lif(reset="zero", reset_timing="same"), tess(), 2, 2),
            "use reset_timing 'next'",
        ),
        (
            lambda: LearningLayer(lif(reset_timing="same", reset_vs_leak="before"), tess(), 2, 2),
            "use reset_timing 'next'",
        ),
        (lambda: LearningLayer(lif(input_frac=3), tess(), 2, 2), "use with_input_fracs"),
        (lambda: tess(pre=Word(6, 3, False, "wrap")), "pre: a word of learning clamps"),
        (lambda: tess(pre=Word(6, 6, False, CLAMP)), "does not fit 0..63"),
        (lambda: tess(post=Word(6, 3, False, CLAMP)), "they must be the same"),
        (lambda: tess(factor=Word(6, 3, False, CLAMP)), "factor: traces are unsigned"),
        (lambda: tess(rounding="exact"), "rounding must be one of floor"),
        (lambda: Psi(np.array([40]), 0, Word(5, 4, False, CLAMP)), "unsigned word, 0..31"),
        (lambda: Rival(np.ones((3, 1), int), 0), "2 classes or more"),
        (lambda: Rival(np.eye(3, dtype=int), 0).step(np.zeros(3, int), np.ones(3, int), 3), "0..2"),
        (
            lambda: LearningNet(
                (LearningLayer(lif(), tess(signal=Word(2, 0, True, CLAMP)), 2, 2),),
                (Rival(np.array([[1, -1], [1, 1]]), 0),),
            ),
            "signals -2..2 outside -2..1",
        ),
    ],
)  # fmt: skip
def test_what_has_no_exact_meaning_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_arrays_are_refused():
    layer = LearningLayer(lif(), tess(), 2, 2)
    with pytest.raises(ValueError, match="weights lie in -4096..4095"):
        layer.begin(np.full((2, 2), 5000))
    state = layer.begin(np.zeros((2, 2), int))
    with pytest.raises(ValueError, match="2 spikes of 0 and 1"):
        layer.forward(state, np.array([2, 0]))
    with pytest.raises(ValueError, match="the learning signal lies in -4..3"):
        layer.learn(layer.forward(state, np.array([1, 0])), np.array([4, 0]))
