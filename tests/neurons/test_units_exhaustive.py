"""SNU, sSNU, SNU-a, SNU-o, EGRU and alpha neurons: all states and all inputs of small words, for
every combination of choices, against the specification in spec.py."""

from dataclasses import replace
from itertools import islice, product

import numpy as np
import pytest

from codesign.neurons import Leak
from tests.neurons.choices import (
    ALPHA,
    EGRU,
    LEAKS,
    SNU,
    every_choice,
    small_alpha,
    small_egru,
    small_snu,
    snu_choices,
)
from tests.neurons.exhaustive import difference

#: (soft, somatic, axonic).
KINDS = {"SNU": (0, 0, 0), "sSNU": (1, 0, 0), "SNU-a": (0, 1, 0), "SNU-o": (0, 0, 1)}
BOTH = [kind for kind in product((0, 1), repeat=3) if sum(kind) > 1]


def sampled(found, count, seed=0):
    """Some of them, by chance, in their order: (number, each)."""
    found = list(enumerate(found))
    chosen = np.random.default_rng(seed).choice(len(found), count, replace=False)
    return [found[n] for n in sorted(chosen)]


def same_snus(kind, bits, numbered):
    for n, choices in numbered:
        model, spans = small_snu(n, bits, *kind, choices)
        assert difference(model, spans) is None


@pytest.mark.parametrize("bits", [4, pytest.param(6, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["SNU", "sSNU"])
def test_every_choice_of_units(name, bits):
    soft, somatic, _ = KINDS[name]
    same_snus(KINDS[name], bits, enumerate(snu_choices(soft, somatic)))


@pytest.mark.parametrize("name, bits", [("SNU-a", 3), ("SNU-o", 4)])
def test_units_with_further_inputs(name, bits):
    """A sample of their choices; the long suite has all."""
    soft, somatic, _ = KINDS[name]
    same_snus(KINDS[name], bits, sampled(snu_choices(soft, somatic), 60))


@pytest.mark.parametrize("kind", BOTH)
def test_units_of_several_kinds(kind):
    same_snus(kind, 2, sampled(snu_choices(*kind[:2]), 2))


@pytest.mark.slow
def test_every_choice_of_units_with_a_gate():
    same_snus(KINDS["SNU-o"], 5, enumerate(snu_choices(soft=False, somatic=False)))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_every_choice_of_units_with_a_somatic_input(part):
    numbered = enumerate(snu_choices(soft=False, somatic=True))
    same_snus(KINDS["SNU-a"], 3, islice(numbered, part, None, 4))


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOTH)
def test_more_units_of_several_kinds(kind):
    same_snus(kind, 3, sampled(snu_choices(*kind[:2]), 100, seed=1))


def same_egrus(bits, numbered):
    for n, choices in numbered:
        model, spans = small_egru(n, bits, choices)
        assert difference(model, spans) is None


def test_gated_units():
    same_egrus(3, sampled(every_choice(EGRU), 12))


@pytest.mark.slow
def test_every_choice_of_gated_units():
    same_egrus(5, enumerate(every_choice(EGRU)))


def same_alphas(bits, numbered, leaks):
    """Each with as many pairs of leaks: over the numbers, every rise meets every fall."""
    for n, choices in numbered:
        for k in range(leaks):
            rise, fall = LEAKS[(n + k) % len(LEAKS)], LEAKS[(n // len(LEAKS) + 2 * k) % len(LEAKS)]
            model, spans = small_alpha(n, bits, rise, fall, choices)
            assert difference(model, spans) is None


def test_alpha_neurons():
    same_alphas(3, sampled(every_choice(ALPHA), 250), 1)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_every_choice_of_alpha_neurons(part):
    """All choices but the leaks, each with seven pairs of leaks: every rise and every fall."""
    same_alphas(3, islice(enumerate(every_choice(ALPHA)), part, None, 4), len(LEAKS))


@pytest.mark.slow
def test_alpha_neurons_of_four_bits():
    same_alphas(4, sampled(every_choice(ALPHA), 300, seed=1), 1)


def plain(choices):
    """The first of each, but for floor."""
    return {name: values[0] for name, values in choices.items()} | {"rounding": "floor"}


#: A model, the spans of its inputs, and other models whose specification it is not.
def wrong_units():
    choices = {**plain(SNU), "leak": "mul_floor", "own_leak": "mul_floor", "own_signed": True,
               "own_overflow": "sat_step"}  # fmt: skip
    made = {name: small_snu(3, 4, *kind, choices) for name, kind in KINDS.items()}
    snu, spans = made["SNU"]
    for change in ({"g": "relu"}, {"compare": "ge"}, {"rounding": "trunc0"},
                   {"rounding": "half_even"}, {"theta": snu.theta + 1},
                   {"leak": Leak("mul_trunc0", snu.leak.amount, 3)},
                   {"word": replace(snu.word, overflow="wrap")},
                   {"word": replace(snu.word, overflow="sat_narrow")}):  # fmt: skip
        yield snu, spans, replace(snu, **change)
    soft, spans = made["sSNU"]
    codes = soft.soft.codes.copy()
    codes[2] += 1
    yield soft, spans, replace(soft, soft=replace(soft.soft, codes=codes))
    own, spans = made["SNU-a"]
    for change in ({"gain": own.somatic.gain + 1}, {"beta": own.somatic.beta - 1},
                   {"word": replace(own.somatic.word, overflow="wrap")}):  # fmt: skip
        yield own, spans, replace(own, somatic=replace(own.somatic, **change))
    gated, spans = made["SNU-o"]
    yield gated, spans, replace(gated, axonic=replace(gated.axonic, input_frac=2))


def wrong_others():
    egru, spans = small_egru(3, 3, {**plain(EGRU), "theta": "more"})
    for change in ({"compare": "ge"}, {"rounding": "trunc0"}, {"theta": egru.theta + 1},
                   {"word": replace(egru.word, overflow="wrap")}):  # fmt: skip
        yield egru, spans, replace(egru, **change)
    choices = {**plain(ALPHA), "gain_rounding": "floor", "reset": "subtract"}
    alpha, spans = small_alpha(3, 3, "mul_floor", "shift_floor", choices)
    alpha = replace(alpha, gain=[7])
    for change in ({"compare": "ge"}, {"reset": "zero"}, {"rounding": "half_even"},
                   {"gain_rounding": "trunc0"}, {"theta": alpha.theta + 1},
                   {"rise": alpha.fall}, {"fall": alpha.rise},
                   {"word": replace(alpha.word, overflow="wrap")},
                   {"synapse": replace(alpha.synapse, overflow="wrap")}):  # fmt: skip
        yield alpha, spans, replace(alpha, **change)


def test_each_wrong_choice_is_found():
    for model, spans, other in (*wrong_units(), *wrong_others()):
        assert difference(model, spans) is None
        assert difference(model, spans, of=other), other
