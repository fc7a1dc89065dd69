"""Small units, gated units and alpha neurons with every combination of their choices; parameters
are by chance. With rounding ``exact`` nothing has fraction bits to lose."""

from itertools import product

import numpy as np

from codesign.neurons import Alpha, AxonicInput, Egru, Leak, Snu, SomaticInput, Table, Word
from codesign.neurons.alpha import ALPHA_CHOICES
from codesign.neurons.leak import PRODUCTS
from codesign.neurons.rounding import ROUNDINGS
from codesign.neurons.snu import ACTIVATIONS
from tests.neurons.lifs import LEAKS
from tests.neurons.units import FITS

WORD = {"overflow": FITS, "signed": (True, False)}
#: Of every unit; of the one with an axo-somatic input too.
SNU = {"leak": LEAKS, **WORD, "g": ACTIVATIONS, "compare": ("gt", "ge"), "rounding": ROUNDINGS}
SOMATIC = {"own_leak": LEAKS, **{f"own_{name}": values for name, values in WORD.items()}}
EGRU = {"overflow": FITS, "compare": ("gt", "ge"), "rounding": ROUNDINGS, "theta": ("zero", "more")}
ALPHA = {**ALPHA_CHOICES, **WORD, **{f"own_{name}": values for name, values in WORD.items()}}

#: Functions that are read where their input has a fraction bit to lose, and beyond both ends.
SOFT = Table(0, -2, 2, [0, 1, 1, 3, 4])
GATE = Table(0, -2, 2, [0, 1, 2, 2, 4])
SIGMA, STEP = Table(0, -2, 2, [0, 1, 2, 3, 4]), Table(0, -1, 0, [0, 0, 1])


def every_choice(choices):
    """Dictionaries of a value for each name."""
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def small_leak(rng, kind):
    """A leak with an amount that small words feel."""
    if kind in PRODUCTS:
        return Leak(kind, [rng.integers(1, 8)], 3)
    return Leak(kind, [rng.integers(1, 4)])


def snu_choices(soft, somatic):
    """Those of a kind of unit; a soft one has fraction bits to lose."""
    for choices in every_choice({**SNU, **(SOMATIC if somatic else {})}):
        if not (soft and choices["rounding"] == "exact"):
            yield choices


def small_snu(seed, bits, soft, somatic, axonic, choices):
    """(unit with words of ``bits`` bits, spans of its inputs)."""
    rng, lost = np.random.default_rng(seed), choices["rounding"] != "exact"
    word = Word(bits, 1, choices["signed"], choices["overflow"])
    own = gate = None
    if somatic:
        own = SomaticInput(
            Word(3, 1, choices["own_signed"], choices["own_overflow"]),
            small_leak(rng, choices["own_leak"]), input_frac=int(lost),
            gain=[rng.integers(-4, 6)], gain_frac=1 + int(lost),
            beta=[rng.integers(-4, 6)], beta_frac=int(lost),
        )  # fmt: skip
    if axonic:
        gate = AxonicInput(GATE, int(lost))
    model = Snu(
        word, small_leak(rng, choices["leak"]), [rng.integers(0, word.hi)], g=choices["g"],
        compare=choices["compare"], input_frac=2 if lost else 0, rounding=choices["rounding"],
        soft=SOFT if soft else None, somatic=own, axonic=gate,
    )  # fmt: skip
    reach = 3 << (bits - 1)
    return model, [(-reach, reach), *([(-6, 6)] * somatic), *([(-6, 6)] * axonic)]


def small_egru(seed, bits, choices):
    """(gated unit, spans of its inputs): its table ends beyond its word, which overflows."""
    rng, lost = np.random.default_rng(seed), choices["rounding"] != "exact"
    word = Word(bits, 1, True, choices["overflow"])
    tau = Table(1, -3, 1, [word.lo - 3, word.lo, -1, 0, 1, word.hi, word.hi + 3])
    theta = 0 if choices["theta"] == "zero" else rng.integers(1, word.hi)
    fracs = (1, 1, 2, 1) if lost else (0, 0, 0, 0)
    sigma = SIGMA if lost else STEP
    model = Egru(word, [theta], choices["compare"], sigma, tau, fracs, choices["rounding"])
    return model, [(-6, 5), (-6, 5), (-8, 7), (-5, 5)]


def small_alpha(seed, bits, rise, fall, choices):
    """(alpha neuron, spans of its input)."""
    rng = np.random.default_rng(seed)
    lost, less = (choices[n] != "exact" for n in ("rounding", "gain_rounding"))
    word = Word(bits, 1, choices["signed"], choices["overflow"])
    own = Word(bits, 1, choices["own_signed"], choices["own_overflow"])
    model = Alpha(
        word, own, small_leak(rng, rise), small_leak(rng, fall), [rng.integers(-3, 9)],
        2 if less else 0, [rng.integers(min(word.lo, 0) // 2, word.hi)], choices["compare"],
        choices["reset"], 2 if lost else 0, choices["rounding"], choices["gain_rounding"],
        choices["output"],
    )  # fmt: skip
    reach = 5 << (bits - 2)
    return model, [(-reach, reach)]
