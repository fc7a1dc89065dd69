"""Neuron arrays: outputs, every state word and every cycle, with idle cycles on both sides."""

import numpy as np
import pytest

from codesign.hdl.neurons import NeuronArray
from tests.hdl import neuron_bench as bench
from tests.neurons.lifs import lif, random_lif
from tests.neurons.units import units


def array_of(model, elements=8, steps=4, lanes=2, persistent=False, span=(-20, 24)):
    sizes = {"elements": elements, "steps": steps, "lanes": lanes}
    return NeuronArray(model, **sizes, persistent=persistent, ranges=[span])


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("elements, lanes", [(1, 1), (2, 1), (3, 3), (8, 1), (8, 4), (80, 2)])
def test_any_number_of_lanes(elements, lanes, persistent):
    rng = np.random.default_rng(elements)
    model = lif(16 if elements == 80 else 7, leak="shift_min1")
    array = array_of(model, elements, 3, lanes, persistent)
    assert (array.styles["v"].kind == "block") == (elements == 80)
    bench.check(array, rng)
    bench.check(array_of(model, elements, 3, lanes, persistent), rng, stalls=False)


@pytest.mark.parametrize(
    "seed", [*range(16), *(pytest.param(n, marks=pytest.mark.slow) for n in range(16, 100))]
)
def test_random_neurons(seed):
    rng = np.random.default_rng(seed)
    model = random_lif(rng, channels=4)
    lanes = int(rng.choice([1, 2, 4, 8]))
    bench.check(array_of(model, 8, 4, lanes, bool(seed % 2), span=(-300, 200)), rng, frames=2)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 12))]
)
def test_units_of_several_inputs(seed):
    rng = np.random.default_rng(seed)
    for model in units(seed, channels=4):
        spans = [(-400, 300)] * len(model.inputs)
        lanes = int(rng.choice([1, 4, 8]))
        array = NeuronArray(
            model, elements=8, steps=3, lanes=lanes, persistent=bool(seed % 2), ranges=spans
        )
        bench.check(array, rng, frames=2)


def test_a_step_takes_the_longer_of_beats_and_loop():
    for lanes in (1, 4, 8):
        array = array_of(lif(16, leak="mul_floor"), 8, 6, lanes)
        rng = np.random.default_rng(lanes)
        x = rng.integers(-20, 25, (3, 6, 8))
        seen = bench.run(array, [x])
        frame = 6 * array.beats
        assert seen.taken[0][2 * frame] - seen.taken[0][frame] == array.cycles
        assert array.cycles == 6 * max(array.beats, array.loop)


@pytest.mark.parametrize("lanes", [1, 2, 8])
@pytest.mark.parametrize("persistent", [False, True])
def test_reset_in_mid_frame_begins_anew(lanes, persistent):
    array = array_of(lif(7, v0=np.array([3])), 8, 4, lanes, persistent)
    x = np.random.default_rng(0).integers(-20, 25, (3, 4, 8))
    seen = bench.run(array, [x], reset_at=array.cycles + array.cycles // 2)
    out, states = bench.expected(array, [x])
    assert np.array_equal(seen.out, out) and np.array_equal(seen.states["v"], states["v"])


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="3 lanes do not divide 8 elements"):
        array_of(lif(), 8, 4, 3)
    with pytest.raises(ValueError, match="5 channels do not divide 8 elements"):
        array_of(lif(theta=np.arange(1, 6)), 8)
    with pytest.raises(ValueError, match="an element and a step"):
        array_of(lif(), 8, 0)
    with pytest.raises(ValueError, match="empty range 3..2"):
        array_of(lif(), span=(3, 2))
    with pytest.raises(ValueError, match="'exact' would drop 2 fraction bits"):
        array_of(lif(input_frac=4, rounding="exact"))
