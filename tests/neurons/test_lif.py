"""Every combination of choices on every state and input of small words, large words at random,
against the scalar specification in spec.py."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.neurons import Adaptation, Synapse, Word
from tests.neurons.lifs import LEAKS, allowed, combinations, leak_of, lif, random_lif
from tests.neurons.spec import spec_of


def everything(model, span):
    """Every state and input: (input, states), each int64 [cases]."""
    words = [np.arange(s.word.lo, s.word.hi + 1) for s in model.states]
    grid = np.meshgrid(np.arange(span[0], span[1] + 1), *words, indexing="ij")
    flat = [g.reshape(-1) for g in grid]
    return flat[0], {s.name: x for s, x in zip(model.states, flat[1:], strict=True)}


def same_as_spec(model, x, states, sample=None):
    """One step of every case against the specification."""
    out, new = model.step((x[:, None],), {n: s[:, None] for n, s in states.items()})
    cases = range(len(x)) if sample is None or sample >= len(x) else random.Random(0).sample(
        range(len(x)), sample
    )  # fmt: skip
    spec = spec_of(model)
    for n in cases:
        old = {name: int(s[n]) for name, s in states.items()}
        found, after = spec.step(int(x[n]), old)
        seen = int(out[n, 0]), {name: int(s[n, 0]) for name, s in new.items()}
        assert seen == (found, after), f"{model}: input {x[n]}, states {old}"


COMBINATIONS = list(combinations())


@pytest.mark.parametrize("part", range(8))
def test_every_combination_on_every_state_of_four_bits(part):
    for leak, overflow, signed, choices in COMBINATIONS[part::8]:
        model = lif(4, signed=signed, overflow=overflow, leak=leak, **choices)
        x, states = everything(model, (-9, 9))
        same_as_spec(model, x, states, sample=40)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(16))
def test_every_combination_on_all_states_of_five_bits(part):
    for leak, overflow, signed, choices in COMBINATIONS[part::16]:
        model = lif(5, signed=signed, overflow=overflow, leak=leak, **choices)
        x, states = everything(model, (-18, 18))
        same_as_spec(model, x, states)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("timing", ["same", "next", "both"])
@pytest.mark.parametrize("order", ["new", "previous", "leaked"])
def test_synapses(order, timing, reset):
    for leak in LEAKS:
        syn = Synapse(Word(4, 3, True, "wrap"), leak_of(leak), order, reset)
        for rounding in ("floor", "trunc0", "half_even"):
            model = lif(4, synapse=syn, rounding=rounding, input_frac=4, reset_timing=timing)
            x, states = everything(model, (-16, 16))
            same_as_spec(model, x, states, sample=60)


@pytest.mark.parametrize("mode", ["hold", "silent"])
@pytest.mark.parametrize("timing", ["same", "next"])
@pytest.mark.parametrize("adapts", [False, True])
@pytest.mark.parametrize("levels", [1, 3])
def test_refractory_adaptive_and_many_spikes(levels, adapts, timing, mode):
    own = Adaptation(Word(3, 2, True, "sat_step"), leak_of("mul_floor"), np.array([2]))
    for refractory in (0, 2):
        for order in ("before", "after"):
            model = lif(
                5, refractory=refractory, refractory_mode=mode, spike_levels=levels,
                adaptation=own if adapts else None, reset_timing=timing, theta=np.array([3]),
                reset_vs_leak=order, output="membrane" if refractory else "spikes",
            )  # fmt: skip
            x, states = everything(model, (-9, 9))
            same_as_spec(model, x, states, sample=150)


@settings(derandomize=True, deadline=None, database=None, max_examples=300)
@given(st.integers(0, 2**32))
def test_large_words(seed):
    rng = np.random.default_rng(seed)
    model = random_lif(rng, bits=(2, 25))
    reach = 1 << int(rng.integers(1, 30))
    x = rng.integers(-reach, reach, 8)
    states = {s.name: rng.integers(s.word.lo, s.word.hi + 1, 8) for s in model.states}
    same_as_spec(model, x, states)


def test_choices_without_meaning_are_refused():
    refused = 0
    for timing in ("same", "next", "both"):
        for order in ("before", "after", "instead"):
            for overflow in ("sat_step", "sat_change"):
                choices = {"reset_timing": timing, "reset_vs_leak": order,
                           "reset_vs_input": "before", "reset": "subtract"}  # fmt: skip
                if not allowed(choices, overflow):
                    refused += 1
                    with pytest.raises(ValueError, match="is for"):
                        lif(overflow=overflow, **choices)
    assert refused


def test_products_that_leave_int64_are_refused():
    with pytest.raises(ValueError, match="48 bits times a decay of 30 does not fit 63 bits"):
        lif(48, leak=leak_of("mul_floor", frac=30))
    with pytest.raises(ValueError, match="theta and bias have at most 48 bits"):
        lif(bias=np.array([1 << 50]))


def test_the_specification_can_fail():
    """A model that fires on >= where its specification says >."""
    model, other = lif(4, compare="gt"), lif(4, compare="ge")
    x, states = everything(model, (-9, 9))
    out, _ = other.step((x[:, None],), {"v": states["v"][:, None]})
    spec = spec_of(model)
    assert any(
        out[n, 0] != spec.step(int(x[n]), {"v": int(states["v"][n])})[0] for n in range(len(x))
    )
