"""Every combination of choices on every state and input of small words, large words at random,
against the specification in spec.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.neurons import Adaptation, Synapse, Word
from tests.neurons.exhaustive import difference
from tests.neurons.lifs import LEAKS, allowed, combinations, leak_of, lif, random_lif
from tests.neurons.spec import spec_of


def same_as_spec(model, x, states):
    """One step of every case against the specification, with Python's integers."""
    out, new = model.step((x[:, None],), {n: s[:, None] for n, s in states.items()})
    spec = spec_of(model)
    for n in range(len(x)):
        old = {name: int(s[n]) for name, s in states.items()}
        found, after = spec.step(int(x[n]), old)
        seen = int(out[n, 0]), {name: int(s[n, 0]) for name, s in new.items()}
        assert seen == (found, after), f"{model}: input {x[n]}, states {old}"


def exhaust(model, reach):
    """Every state and every input of ``-reach..reach``."""
    assert difference(model, [(-reach, reach)]) is None


COMBINATIONS = list(combinations())


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("bits", [4, 5, pytest.param(8, marks=pytest.mark.slow)])
def test_every_combination_on_every_state(bits, part):
    for leak, overflow, signed, choices in COMBINATIONS[part::4]:
        model = lif(bits, signed=signed, overflow=overflow, leak=leak, **choices)
        exhaust(model, 9 << (bits - 4))


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("timing", ["same", "next", "both"])
@pytest.mark.parametrize("order", ["new", "previous", "leaked"])
def test_synapses(order, timing, reset):
    for leak in LEAKS:
        syn = Synapse(Word(4, 3, True, "wrap"), leak_of(leak), order, reset)
        for rounding in ("floor", "trunc0", "half_even"):
            model = lif(4, synapse=syn, rounding=rounding, input_frac=4, reset_timing=timing)
            exhaust(model, 16)


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
            exhaust(model, 9)


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
    assert difference(lif(4, compare="ge"), [(-9, 9)], of=lif(4, compare="gt"))
