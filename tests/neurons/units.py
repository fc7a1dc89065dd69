"""Random spiking neural units, gated units and alpha neurons for tests."""

from dataclasses import replace

import numpy as np

from codesign.neurons import Alpha, AxonicInput, Egru, Leak, Snu, SomaticInput, Word, tabulate
from tests.neurons.lifs import LEAKS

FITS = ("sat_step", "sat_narrow", "sat_add", "wrap")
ROUNDINGS = ("floor", "trunc0", "half_even")


def _pick(rng, options):
    return options[int(rng.integers(len(options)))]


def _vector(rng, lo, hi, channels):
    return rng.integers(lo, hi + 1, channels if rng.random() < 0.6 else 1)


def _leak(rng, channels):
    kind = _pick(rng, LEAKS)
    if kind.startswith("mul"):
        return Leak(kind, _vector(rng, 0, 16, channels), 4)
    return Leak(kind, _vector(rng, 1, 4, channels), 0)


def random_snu(rng, *, soft, somatic, axonic, channels=1, bits=8) -> Snu:
    """Any unit of the kind asked for."""
    word = Word(bits, int(rng.integers(0, 5)), bool(rng.random() < 0.7), _pick(rng, FITS))
    own = Word(bits - 1, int(rng.integers(0, 5)), True, _pick(rng, FITS))
    table = tabulate("sigmoid", bits=6, in_frac=3, frac=int(rng.integers(1, 8)))
    gate = tabulate("sigmoid", bits=5, in_frac=2, frac=4)
    return Snu(
        word,
        _leak(rng, channels),
        _vector(rng, 0, word.hi // 2, channels),
        g=_pick(rng, ["identity", "relu"]),
        compare=_pick(rng, ["gt", "ge"]),
        input_frac=int(rng.integers(0, 6)),
        rounding=_pick(rng, ROUNDINGS),
        soft=table if soft else None,
        somatic=SomaticInput(
            own,
            _leak(rng, channels),
            int(rng.integers(0, 6)),
            _vector(rng, -9, 9, channels),
            3,
            _vector(rng, -9, 9, channels),
            2,
        )
        if somatic
        else None,
        axonic=AxonicInput(gate, int(rng.integers(0, 6))) if axonic else None,
    )


def random_egru(rng, channels=1, bits=8) -> Egru:
    """Any gated unit."""
    frac = int(rng.integers(2, 6))
    word = Word(bits, frac, True, _pick(rng, FITS))
    return Egru(
        word,
        _vector(rng, 0, word.hi // 3, channels),
        compare=_pick(rng, ["gt", "ge"]),
        sigma=tabulate("sigmoid", bits=6, in_frac=3, frac=int(rng.integers(1, 7))),
        tau=tabulate("tanh", bits=6, in_frac=4, frac=frac),
        fracs=tuple(int(f) for f in rng.integers(0, 7, 4)),
        rounding=_pick(rng, ROUNDINGS),
    )


def random_alpha(rng, channels=1, bits=8, **choices) -> Alpha:
    """Any alpha neuron; ``choices`` are not left to chance."""
    given = {
        "compare": _pick(rng, ["gt", "ge"]),
        "reset": _pick(rng, ["none", "zero", "subtract"]),
        "rounding": _pick(rng, ROUNDINGS),
        "gain_rounding": _pick(rng, ROUNDINGS),
        "output": _pick(rng, ["spikes", "spikes", "membrane"]),
    }
    given.update(choices)
    word = Word(bits, int(rng.integers(0, 5)), bool(rng.random() < 0.8), _pick(rng, FITS))
    own = Word(bits - 1, int(rng.integers(0, 5)), bool(rng.random() < 0.8), _pick(rng, FITS))
    if given["reset"] == "subtract":
        own = replace(own, frac=word.frac)
    return Alpha(
        word,
        own,
        _leak(rng, channels),
        _leak(rng, channels),
        _vector(rng, -3, 24, channels),
        3,
        _vector(rng, min(word.lo // 4, 0), word.hi // 2, channels),
        input_frac=int(rng.integers(0, 6)),
        **given,
    )


def units(seed, channels=1):
    """One of each kind."""
    rng = np.random.default_rng(seed)
    for kind in range(8):
        flags = {"soft": bool(kind & 1), "somatic": bool(kind & 2), "axonic": bool(kind & 4)}
        yield random_snu(rng, **flags, channels=channels)
    yield random_egru(rng, channels)
    yield random_alpha(rng, channels)
