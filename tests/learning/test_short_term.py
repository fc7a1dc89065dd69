"""Short-term plasticity: its equation, synapse by synapse."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.learning import ShortTerm
from codesign.neurons import LEAKS, Leak, Word
from codesign.neurons.leak import PRODUCTS
from tests.learning.examples import CLAMP, lif
from tests.learning.spec import amounts, plastic, strength
from tests.neurons.exhaustive import every

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


@pytest.mark.parametrize("kind", LEAKS)
def test_every_f_gain_and_spike_of_small_words(kind):
    """A row for each F and spike before the synapse, a column for each gain and spike behind it."""
    for bits, overflow, leak in product((2, 3, 5), (CLAMP, "sat_narrow"), amounts(kind)):
        word = Word(bits, 4, True, overflow)
        f, x = every((word.lo, word.hi), (0, 1))
        gain, s = every((-3 << (bits - 1), 3 << (bits - 1)), (0, 1))
        layer = ShortTerm(lif(4), np.zeros((len(f), len(gain)), int), word, leak, gain)
        found = layer.learned(np.broadcast_to(f[:, None], layer.weights.shape), x, s)
        assert (found == plastic(word, leak, f[:, None], gain, x[:, None], s)).all()


def test_every_weight_f_and_spike_of_two_inputs():
    w0, w1, f0, f1 = every((-4, 3), (-2, 5), (-4, 3), (-3, 3))
    word, leak = Word(3, 4, True, CLAMP), Leak("none", [0])
    layer = ShortTerm(lif(4), np.array([w0, w1]), word, leak, np.array([1]))
    for x0, x1 in product((0, 1), repeat=2):
        wanted = x0 * strength(w0, f0) + x1 * strength(w1, f1)
        assert (layer.current(np.array([f0, f1]), np.array([x0, x1])) == wanted).all()


@settings(FEW, max_examples=200)
@given(st.data())
def test_large_words(data):
    bits = data.draw(st.integers(2, 32))
    word = Word(bits, 4, True, data.draw(st.sampled_from((CLAMP, "sat_narrow"))))
    kind = data.draw(st.sampled_from(LEAKS))
    frac = data.draw(st.integers(1, 30)) if kind in PRODUCTS else 0
    ends = {"none": (0, 0), "linear": (0, 1 << 20)}.get(kind, (1, 30))
    lo, hi = (0, 1 << frac) if frac else ends
    leak = Leak(kind, [data.draw(st.integers(lo, hi))], frac)
    f, gain = data.draw(st.integers(word.lo, word.hi)), data.draw(st.integers(-(1 << 40), 1 << 40))
    layer = ShortTerm(lif(4), np.zeros((2, 1), int), word, leak, np.array([gain]))
    for s in (0, 1):
        found = layer.learned(np.array([[f], [f]]), np.array([0, 1]), np.array([s]))
        assert found[:, 0].tolist() == [plastic(word, leak, f, gain, x, s) for x in (0, 1)]


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
