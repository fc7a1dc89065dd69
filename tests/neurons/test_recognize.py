"""Neurons in words: which preset one equals, what its traits are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codesign.neurons import Adaptation, Leak, Lif, Word, presets
from codesign.neurons.describe import describe
from codesign.neurons.recognize import preset_of
from codesign.train.spiking.choose import at_scale
from tests.neurons.lifs import lif
from tests.neurons.units import random_alpha, random_egru, random_snu

ONE = np.ones(1, np.int64)
WORD = Word(12, 4, True, "sat_step")
MUL = Leak("mul_floor", np.array([13, 14]), 4)


def snn(cell: str, *, delay: bool = True, reset: str = "subtract") -> Lif:
    syn = (WORD, MUL) if cell.endswith("Synaptic") else None
    return presets.snntorch(cell, WORD, MUL, 16 * ONE, reset=reset, reset_delay=delay,
                            input_frac=5, rounding="floor", synapse=syn)  # fmt: skip


MADE = {
    "snntorch_default": snn("Leaky"),
    "snntorch_no_delay": snn("Leaky", delay=False, reset="zero"),
    "snntorch Synaptic, default": snn("Synaptic", reset="zero"),
    "snntorch RLeaky, default": snn("RLeaky", reset="zero"),
    "loihi": presets.loihi(
        np.array([500, 7]), 40 * ONE, 9 * ONE, bias=3 * ONE, refractory=2, resets_current=True
    ),
    "xylo": presets.xylo(3 * ONE, 2 * ONE, 90 * ONE, bias=ONE, max_spikes=31),
    "xylo_membrane": presets.xylo_membrane(3 * ONE, 90 * ONE, bias=ONE, max_spikes=1),
    "xylo_current": presets.xylo_current(4 * ONE),
    "hls4ml": presets.hls4ml(
        10, 3, 8 * ONE, beta=13 * ONE, beta_frac=4, reset="zero", input_frac=4
    ),
    "spiker": presets.spiker(9, 3, 40 * ONE, reset="value", reset_value=5 * ONE),
    "tinyodin": presets.tinyodin(2 * ONE, np.array([20, 30])),
}
assert set(presets.PRESETS) <= set(MADE)


@pytest.mark.parametrize("name", MADE)
def test_presets_are_known_at_any_scale(name: str) -> None:
    model = MADE[name]
    assert preset_of(model) == name
    assert preset_of(at_scale(model, model.input_frac + 7)) == name


@pytest.mark.parametrize("name", MADE)
def test_one_other_choice_is_no_preset(name: str) -> None:
    """What a step computes then differs somewhere."""
    model = MADE[name]
    word = replace(model.word, overflow="wrap" if model.word.overflow != "wrap" else "sat_step")
    others = [
        replace(model, adaptation=Adaptation(Word(8, model.word.frac, False, "sat_step"), MUL, ONE))
        if model.word.overflow != "sat_change"
        else replace(model, refractory=1),
        replace(model, v0=ONE),
    ]
    if not name.startswith("snntorch"):  # whose words are free
        others.append(replace(model, word=word))
    if name != "xylo_current":
        others.append(replace(model, compare="ge" if model.compare == "gt" else "gt"))
        if not name.startswith("xylo"):  # 1 in readouts, up to 31 in hidden layers
            others.append(replace(model, spike_levels=7))
    else:
        others.append(replace(model, output="spikes"))
    for other in others:
        assert preset_of(other) != name, other


def test_an_input_finer_than_the_chips_is_not_the_chip() -> None:
    model = MADE["tinyodin"]
    assert preset_of(replace(model, input_frac=-2)) == "tinyodin"  # every other weight
    assert preset_of(replace(model, input_frac=1, rounding="floor")) == ""


def test_words_far_apart_are_no_preset() -> None:
    syn = replace(MADE["loihi"].synapse, word=Word(24, -64, True, "wrap"))
    word = replace(MADE["loihi"].word, frac=64)
    assert preset_of(replace(MADE["loihi"], word=word, synapse=syn, rounding="floor")) == ""


def test_the_kind_of_each_model() -> None:
    rng = np.random.default_rng(1)
    flags = {"soft": False, "somatic": True, "axonic": True}
    assert describe(lif()).kind == "LIF"
    assert describe(lif(leak="none")).kind == "IF"
    assert describe(MADE["loihi"]).kind == "CUBA LIF"
    assert describe(MADE["xylo_current"]).kind == "leaky integrator"
    jumps = Adaptation(Word(5, 2, False, "sat_step"), Leak("none", ONE), 3 * ONE)
    assert describe(lif(adaptation=jumps)).kind == "adaptive LIF"
    assert describe(random_alpha(rng)).kind == "alpha"
    assert describe(random_snu(rng, **flags)).kind == "SNU-a-o"
    assert describe(random_snu(rng, soft=True, somatic=False, axonic=False)).kind == "sSNU"
    assert describe(random_egru(rng)).kind == "EGRU"


def test_traits_say_real_values() -> None:
    jumps = Adaptation(Word(5, 2, False, "sat_step"), Leak("linear", ONE), 3 * ONE)
    model = lif(adaptation=jumps, refractory=2, refractory_mode="hold", theta=np.array([4, 6]))
    found = describe(model).traits
    assert found["leak"] == "v - (v >> 2) (shift_floor)"
    assert found["threshold"] == "v > 1..1.5 + a (gt)"
    assert found["adaptation"] == "a = a toward 0 by 0.25 (linear) + 0.75 for a spike"
    assert found["reset"] == "subtracts the threshold, in the step of the spike (same)"
    assert found["refractory"] == "2 steps, v held (hold)"
    loihi = describe(MADE["loihi"]).traits
    assert loihi["synapse"].startswith("i = 0.877686..0.998047 i (mul_trunc0, 12 bits) + input")
    assert loihi["charge"] == "the new i (new), cleared by a spike"
    assert loihi["bias"] == "3" and loihi["threshold"] == "v > 576 (gt)"
    spiker = describe(MADE["spiker"]).traits
    assert spiker["reset"] == "to 5, in the next step (next), instead of the leak"
    assert "at least 1" in describe(MADE["xylo_membrane"]).traits["leak"]
