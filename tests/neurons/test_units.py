"""SNU, sSNU and EGRU against the scalar specification in spec.py; their tables."""

import numpy as np
import pytest
import torch

from codesign.neurons import AxonicInput, Egru, Leak, Snu, Table, Word, tabulate
from tests.neurons.spec import spec_of
from tests.neurons.units import units


@pytest.mark.parametrize("seed", range(12))
def test_units_equal_their_specification(seed):
    rng = np.random.default_rng(seed)
    for model in units(seed):
        inputs = [rng.integers(-400, 400, 60) for _ in model.inputs]
        states = {s.name: rng.integers(s.word.lo, s.word.hi + 1, 60) for s in model.states}
        if "y" in states:
            states["y"] = np.minimum(states["y"], model.y_hi)
        lanes = {n: s[:, None] for n, s in states.items()}
        out, new = model.step(tuple(x[:, None] for x in inputs), lanes)
        spec = spec_of(model)
        for n in range(60):
            found, after = spec.step(
                *(int(x[n]) for x in inputs), {k: int(v[n]) for k, v in states.items()}
            )
            assert (out[n, 0], {k: v[n, 0] for k, v in new.items()}) == (found, after)
            assert model.span[0] <= found <= model.span[1]


def small_snu(**other):
    usual = {"g": "identity", "compare": "gt", "input_frac": 0, "rounding": "floor"}
    word, leak = Word(4, 0, True, "sat_step"), Leak("mul_floor", [12], 4)
    return Snu(word, leak, [2], **{**usual, **other})


@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
def test_tables_are_torchs_functions_rounded_half_to_even(function):
    table = tabulate(function, bits=10, in_frac=6, frac=8)
    x = torch.arange(-512, 512, dtype=torch.float32) / 64
    wanted = torch.round(getattr(torch, function)(x) * 256).to(torch.int64)
    assert np.array_equal(table.codes, wanted.numpy())


def test_ends_of_a_table_hold_beyond_it():
    table = Table(0, -1, 0, [5, 6, 7])
    assert table.read(np.array([-9, -1, 0, 1, 9]), 0, "floor").tolist() == [5, 5, 6, 7, 7]


def test_what_does_not_fit_is_named():
    half = Table(0, 0, 1, [1, 3])
    with pytest.raises(ValueError, match=r"entries of soft lie in 0\.\.2"):
        small_snu(soft=half)
    with pytest.raises(ValueError, match="holds no negative number"):
        AxonicInput(Table(0, 0, 1, [-1]), 0)
    with pytest.raises(ValueError, match="must be one of identity, relu, got 'elu'"):
        small_snu(g="elu")
    sigma, tau = tabulate("sigmoid", bits=4, in_frac=2, frac=3), Table(2, 0, 4, [1])
    with pytest.raises(ValueError, match="tau has 4 fraction bits, h has 3"):
        Egru(Word(6, 3, True, "wrap"), [1], "gt", sigma, tau, (0, 0, 0, 0), "floor")
    with pytest.raises(ValueError, match=r"1\.\.16 and 0\.\.23"):
        tabulate("tanh", bits=20, in_frac=0, frac=1)
