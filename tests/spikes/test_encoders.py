"""The integer encoders are those that networks are trained with."""

import numpy as np
import pytest

from codesign.spikes import encoders
from codesign.train.spiking.encode import Encoding


@pytest.mark.parametrize("kind", ["direct", "latency", "rate", "delta"])
@pytest.mark.parametrize(("steps", "bits", "low", "seed"), [(1, 8, 1, 1), (7, 5, 3, 2**31 - 1)])
def test_as_trained(kind, steps, bits, low, seed):
    trained = Encoding(kind, steps, bits, low, seed)
    x = np.random.default_rng(steps).random((3, *([steps] if kind == "delta" else []), 11))
    codes = trained.codes(x)
    own = {
        "direct": lambda: encoders.direct(codes, steps),
        "latency": lambda: encoders.latency(codes, steps, bits, low),
        "rate": lambda: encoders.rate(codes, steps, bits, seed),
        "delta": lambda: encoders.delta(codes, low),
    }[kind]()
    assert (own == trained.encode(x)).all()


def test_int2spike_adds_up():
    n = np.arange(-5, 6)
    assert (encoders.ternary(n, 5).sum(axis=0) == n).all()
    assert (encoders.binary(n[5:], 5).sum(axis=0) == n[5:]).all()
    bits = encoders.bitwise(n[5:], 3)
    assert ((bits * [[4], [2], [1]]).sum(axis=0) == n[5:]).all()


def test_keys_of_seeds_differ():
    assert len({encoders.key(s) for s in range(1000)}) == 1000
