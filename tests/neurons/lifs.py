"""Neurons of the LIF family for tests: a plain one, random ones, and every combination."""

from dataclasses import replace
from itertools import product

import numpy as np

from codesign.neurons import Adaptation, Leak, Lif, Synapse, Word
from codesign.neurons.lif import SYN_ORDERS

CHOICES = {
    "compare": ("gt", "ge"),
    "reset": ("none", "zero", "subtract", "value"),
    "reset_timing": ("same", "next", "both"),
    "reset_vs_leak": ("before", "after", "instead"),
    "reset_vs_input": ("before", "after"),
}
LEAKS = ("none", "shift_floor", "shift_min1", "mul_floor", "mul_trunc0", "mul_round", "linear")
OVERFLOWS = ("sat_step", "sat_narrow", "sat_add", "sat_change", "wrap")


def allowed(choices: dict[str, str], overflow: str, plain: bool = True) -> bool:
    """Whether the choices have a meaning together."""
    timing, order = choices["reset_timing"], choices["reset_vs_leak"]
    if timing == "both" and not (choices["reset"] == "subtract" and plain):
        return False
    if order == "instead" and (timing, choices["reset_vs_input"]) != ("next", "before"):
        return False
    return overflow != "sat_change" or timing == "same"


def leak_of(kind: str, amount=None, frac: int = 4) -> Leak:
    """A leak of ``kind`` with an amount that suits small words."""
    usual = {"none": 0, "linear": 2, "shift_floor": 2, "shift_min1": 3}
    return Leak(kind, np.atleast_1d(usual.get(kind, 13) if amount is None else amount), frac)


def lif(bits=5, *, signed=True, overflow="sat_step", leak="shift_floor", **other) -> Lif:
    """A neuron with a word of ``bits`` bits; anything else by name."""
    word = Word(bits, 2, signed, overflow)
    usual = {
        "word": word,
        "leak": leak if isinstance(leak, Leak) else leak_of(leak),
        "theta": np.array([max(1, word.hi // 3)]),
        "compare": "gt",
        "reset": "subtract",
        "reset_timing": "same",
        "reset_vs_leak": "after",
        "reset_vs_input": "before",
        "input_frac": 2,
        "rounding": "floor",
        "spike_levels": 1,
        "refractory": 0,
        "refractory_mode": "hold",
        "output": "spikes",
        "reset_value": np.array([-(word.hi // 4) if signed else 1]),
    }
    return Lif(**{**usual, **other})


def combinations():
    """(leak, overflow, signed, semantic choices) of every neuron without further parts."""
    names = tuple(CHOICES)
    for leak, overflow, signed in product(LEAKS, OVERFLOWS, (True, False)):
        for values in product(*CHOICES.values()):
            choices = dict(zip(names, values, strict=True))
            if allowed(choices, overflow):
                yield leak, overflow, signed, choices


def random_lif(rng, bits=(4, 20), channels=1) -> Lif:
    """Any neuron of the family."""

    def pick(options):
        return options[int(rng.integers(len(options)))]

    def vector(lo, hi):
        return rng.integers(lo, hi + 1, channels if rng.random() < 0.6 else 1)

    def some_leak(frac=6):
        kind = pick(LEAKS)
        if kind.startswith("mul"):
            return Leak(kind, vector(0, 1 << frac), frac)
        return Leak(kind, vector(1, 5), 0)

    def some_word(size, overflows=("sat_step", "sat_narrow", "sat_add", "wrap")):
        return Word(size, int(rng.integers(0, 4)), bool(rng.random() < 0.7), pick(overflows))

    word = some_word(int(rng.integers(*bits)), OVERFLOWS)
    levels, refractory = pick([1, 1, 1, 2, 3]), pick([0, 0, 1, 3])
    adapts = rng.random() < 0.3
    choices = {name: pick(values) for name, values in CHOICES.items()}
    while not allowed(choices, word.overflow, plain=not (refractory or adapts)):
        choices = {name: pick(values) for name, values in CHOICES.items()}
    synapse = adaptation = None
    if rng.random() < 0.4:
        own = some_word(int(rng.integers(*bits)))
        synapse = Synapse(own, some_leak(), pick(SYN_ORDERS), bool(rng.random() < 0.4))
    if adapts:
        own = replace(some_word(int(rng.integers(*bits))), frac=word.frac)
        adaptation = Adaptation(own, some_leak(), vector(0, max(1, own.hi // 4)))
    return Lif(
        word=word,
        leak=some_leak(),
        theta=vector(1, word.hi),
        **choices,
        input_frac=int(rng.integers(0, 4)),
        rounding=pick(["floor", "trunc0", "half_even"]),
        spike_levels=levels,
        refractory=refractory,
        refractory_mode=pick(["hold", "silent"]),
        output=pick(["spikes", "spikes", "membrane"]),
        synapse=synapse,
        adaptation=adaptation,
        bias=vector(-3, 3) if rng.random() < 0.5 else np.zeros(1, np.int64),
        reset_value=vector(word.lo, word.hi),
        v0=vector(word.lo, word.hi) if rng.random() < 0.3 else np.zeros(1, np.int64),
    )
