"""The body of a neuron's operator, operator by operator in Python integers, and the scalar
specification written from the equations."""

import numpy as np
import pytest

from tests.exchange.body_spec import BodySpec
from tests.neurons.lifs import random_lif
from tests.neurons.spec import spec_of


@pytest.mark.parametrize("seed", range(12))
def test_a_body_is_the_specification(seed):
    rng = np.random.default_rng(seed)
    for _ in range(4):
        model = random_lif(rng, bits=(4, 16))
        body, spec = BodySpec(model), spec_of(model)
        for _ in range(20):
            x = int(rng.integers(-300, 300))
            old = {s.name: int(rng.integers(s.word.lo, s.word.hi + 1)) for s in model.states}
            assert body.step(x, old) == spec.step(x, old)
