"""Short-term plasticity: its equation, synapse by synapse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.learning import ShortTerm
from codesign.neurons import Leak, Word
from tests.learning.examples import CLAMP, lif

FEW = settings(derandomize=True, deadline=None, database=None, max_examples=30)


@FEW
@given(
    seed=st.integers(0, 100),
    decay=st.integers(0, 16),
    each=st.booleans(),
    word=st.sampled_from([Word(6, 4, True, CLAMP), Word(4, 4, True, "sat_narrow")]),
)
def test_each_step_is_its_equation(seed, decay, each, word):
    rng = np.random.default_rng(seed)
    weights, x = rng.integers(-8, 16, (4, 3)), rng.integers(0, 2, (2, 5, 4))
    gain = rng.integers(-6, 7, 3 if each else 1)
    neuron = lif(4)
    leak = Leak("mul_trunc0", np.array([decay]), 4)
    seen = ShortTerm(neuron, weights, word, leak, gain).run(x)
    k = 0
    for frame in x:
        f, states = np.zeros((4, 3), int), neuron.begin((3,))
        for now in frame:
            current = [
                sum(int(now[j] * (weights[j, i] + f[j, i])) for j in range(4)) for i in range(3)
            ]
            spikes, states = neuron.step((np.array(current),), states)
            assert (seen.spikes[k] == spikes).all() and (seen.states[k]["v"] == states["v"]).all()
            for j in range(4):
                for i in range(3):
                    left = int(f[j, i] * decay / 16)
                    raised = left + int(gain[i % len(gain)] * now[j] * spikes[i])
                    f[j, i] = max(word.lo, min(word.hi, raised))
            assert (seen.weights[k] == f).all()
            k += 1


def test_a_pair_is_remembered_for_a_while():
    """A synapse that was used passes more of the next spike, and forgets."""
    leak = Leak("mul_floor", np.array([3]), 2)
    part = ShortTerm(
        lif(4, bits=10), np.full((2, 1), 17), Word(8, 4, True, CLAMP), leak, np.array([12])
    )
    x = np.zeros((1, 9, 2), int)
    x[0, 0, 0] = 1
    f = [int(w[0, 0]) for w in part.run(x).weights]
    assert f == [12, 9, 6, 4, 3, 2, 1, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"word": Word(6, 3, True, CLAMP)}, "they must be the same"),
        ({"word": Word(6, 4, True, "wrap")}, "a signed word that clamps"),
        ({"leak": Leak("linear", np.array([1, 2]))}, "one leak for all"),
        ({"gain": np.ones(2, int)}, "a gain for all or for each of 3"),
        ({"weights": np.ones(3, int)}, "weights are"),
    ],
)
def test_what_has_no_meaning_is_refused(change, message):
    fields = {
        "neuron": lif(4), "weights": np.ones((2, 3), int), "word": Word(6, 4, True, CLAMP),
        "leak": Leak("mul_floor", np.array([1]), 1), "gain": np.array([1]),
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        ShortTerm(**{**fields, **change})
