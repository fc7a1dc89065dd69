"""What a report shows of a spiking network: the threshold its neurons really compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codesign.neurons import Adaptation, Leak, Word
from codesign.verify.traces import compared, threshold
from tests.neurons.units import random_alpha, random_egru, random_snu
from tests.spiking.networks import lif

RISING = Adaptation(Word(9, 6, False, "sat_step"), Leak("mul_floor", [60], 6), [9])


@pytest.mark.parametrize("changes", [{}, {"adaptation": RISING}, {"theta": [40, 55, 70]}])
def test_a_spike_is_where_the_membrane_passes_what_is_drawn(changes: dict[str, Any]) -> None:
    """Without a reset the word stored is the word compared."""
    model = lif(**{"compare": "gt", "reset": "none", **changes})
    x = np.random.default_rng(3).integers(-10, 40, (1, 30, 3))
    spikes, states = (model.run(x)[0][0], {k: s[0] for k, s in model.run(x)[1].items()})
    limit = threshold(model, "v", states)
    assert limit is not None and limit.shape == (30, 3)
    assert 0 < spikes.sum() < spikes.size
    assert np.array_equal(states["v"] > limit, spikes != 0)
    assert all(threshold(model, name, states) is None for name in states if name != "v")


@pytest.mark.parametrize("changes", [{}, {"adaptation": RISING}, {"reset": "zero", "theta": [40]}])
def test_what_a_reset_changes_is_known_from_before_it(changes: dict[str, Any]) -> None:
    """A reset in the step of its spike: what was compared passes the threshold, what is stored
    need not, and elsewhere they are the same."""
    model = lif(**{"reset_timing": "same", **changes})
    x = np.random.default_rng(4).integers(-10, 40, (1, 30, 3))
    spikes, traced = model.run(x)
    states = {name: words[0] for name, words in traced.items()}
    limit, before = threshold(model, "v", states), compared(model, "v", states, x[0])
    assert limit is not None and before is not None and 0 < spikes.sum() < spikes.size
    assert np.array_equal(before > limit, spikes[0] != 0)
    assert np.array_equal(before[spikes[0] == 0], states["v"][spikes[0] == 0])
    assert compared(lif(reset_timing="next"), "v", states, x[0]) is None


def test_what_is_not_compared_has_no_threshold() -> None:
    rng, after = np.random.default_rng(0), np.zeros((4, 2), np.int64)
    integrator = lif(output="membrane", reset="none")
    assert threshold(integrator, "v", {"v": after}) is None
    for model, state in ((random_alpha(rng), "v"), (random_egru(rng), "h")):
        if state in {s.name for s in model.states}:
            found = threshold(model, state, {state: after})
            assert found is not None and np.array_equal(found, np.full((4, 2), model.theta[0]))
    plain = random_snu(rng, soft=False, somatic=False, axonic=False)
    moved = random_snu(rng, soft=False, somatic=True, axonic=False)
    assert threshold(plain, "s", {"s": after}) is not None
    assert threshold(moved, "s", {"s": after}) is None
    assert threshold(plain, "y", {"y": after}) is None
