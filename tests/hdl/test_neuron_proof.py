"""Formal proofs that one step of a cell is its specification for every state and input, at the
widths of the presets, and for every parameter a chip has. docs/SPIKING.md has the table.

Products of wide words are hard for every prover. Where leaks multiply they are cut: what comes
before and behind a product is proven, the product being any number; that a product by a constant,
which is made of shifts and sums, is the product, is tried on every word of 24 bits.
"""

from dataclasses import replace
from functools import cache, partial
from itertools import combinations as subsets_of
from itertools import product

import numpy as np
import pytest

from codesign.hdl.neurons.array import LOOP_NS, cell_of
from codesign.neurons import Adaptation, Leak, Lif, Synapse, Word, presets
from codesign.neurons.alpha import ALPHA_CHOICES
from tests.exchange.body_spec import BodySpec
from tests.hdl.proof import Miter, Product, exhausted, prove
from tests.neurons.lifs import combinations, lif
from tests.neurons.units import random_alpha, random_egru, random_snu

ONE = np.array([1])
SHIFT = Leak("shift_floor", [4])


def snn(cell="Leaky", bits=16, leak=SHIFT, reset="subtract", delay=True, synapse=None) -> Lif:
    """A cell of snnTorch."""
    word = Word(bits, bits // 2, True, "sat_step")
    return presets.snntorch(
        cell, word, leak, 250 * ONE, reset=reset, reset_delay=delay, input_frac=bits // 2,
        rounding="exact", synapse=synapse and (word, synapse),
    )  # fmt: skip


def narrow_loihi(bits: int) -> Lif:
    """Loihi's rules in ``bits`` bits, with decays of 4."""
    current = Synapse(Word(bits, 0, True, "wrap"), Leak("mul_trunc0", [9], 4), "new", True)
    return Lif(
        Word(bits, 0, True, "sat_narrow"), Leak("mul_trunc0", [13], 4), [100], "gt", "zero", "same",
        "after", "before", -2, "exact", 1, 2, "hold", "spikes", current,
    )  # fmt: skip


def both(*ends: int) -> np.ndarray:
    """A parameter that may be any integer between the ends."""
    return np.array(ends)


#: Everything a register of the chip can hold.
LOIHI = {"du": both(0, 4095), "dv": both(0, 4096), "vth": both(0, (1 << 17) - 1)}
DASH, V_TH, ANY16 = both(1, 15), both(1, 32767), both(-32768, 32767)
JUMP = Adaptation(Word(12, 2, False, "sat_step"), SHIFT, [40])


def seeded(make, seed, *args, **named):
    """A unit by chance."""
    return make(np.random.default_rng(seed), *args, **named)


def loihi(bias: np.ndarray, refractory: int, resets_current: bool) -> Lif:
    """Loihi with any decays and thresholds."""
    return presets.loihi(**LOIHI, bias=bias, refractory=refractory, resets_current=resets_current)


#: Whether each takes more than two seconds, the neuron, and the range of its inputs.
CONFIGURATIONS = {
    "snntorch_default": (0, snn(), 9000),
    "snntorch_default, zero": (0, snn(reset="zero"), 9000),
    "snntorch_default, decay": (0, snn(leak=Leak("mul_floor", [230], 8)), 9000),
    "snntorch_default, 24 bits": (0, snn(bits=24, leak=Leak("mul_floor", [230], 8)), 9000),
    "snntorch_no_delay": (0, snn(delay=False), 9000),
    "snntorch_no_delay, zero": (0, snn(delay=False, reset="zero"), 9000),
    "Synaptic": (0, snn("Synaptic", synapse=Leak("shift_floor", [3])), 9000),
    "RSynaptic, zero": (0, snn("RSynaptic", synapse=SHIFT, reset="zero"), 9000),
    "loihi, narrow": (0, narrow_loihi(8), 60),
    "loihi": (0, presets.loihi(300 * ONE, 128 * ONE, 900 * ONE, bias=77 * ONE, refractory=0,
                               resets_current=False), 1 << 16),  # fmt: skip
    "loihi, any": (1, loihi(both(-(1 << 23), (1 << 23) - 1), 63, True), 1 << 17),
    "loihi, any, not refractory": (1, loihi(both(-9, 9), 0, False), 1 << 17),
    "xylo": (0, presets.xylo(4 * ONE, 3 * ONE, 100 * ONE, bias=3 * ONE, max_spikes=1), 20000),
    "xylo, any, one spike": (1, presets.xylo(DASH, DASH, V_TH, bias=ANY16, max_spikes=1), 32000),
    "xylo, any, 7 spikes": (1, presets.xylo(DASH, DASH, both(1, 4000), bias=ANY16, max_spikes=7),
                            32000),  # fmt: skip
    "xylo, 31 spikes": (1, presets.xylo(4 * ONE, 3 * ONE, 100 * ONE, bias=3 * ONE, max_spikes=31),
                        32000),  # fmt: skip
    "xylo_membrane": (0, presets.xylo_membrane(DASH, V_TH, bias=ANY16, max_spikes=1), 65535),
    "xylo_current": (0, presets.xylo_current(DASH), 32000),
    "hls4ml": (0, presets.hls4ml(16, 6, 60 * ONE, beta=13 * ONE, beta_frac=4, reset="subtract",
                                 input_frac=8), 9000),  # fmt: skip
    "hls4ml, any": (1, presets.hls4ml(16, 6, both(0, 32767), beta=both(0, 256), beta_frac=8,
                                      reset="zero", input_frac=8), 9000),  # fmt: skip
    "hls4ml, if": (0, presets.hls4ml(16, 8, 60 * ONE, beta=None, beta_frac=4, reset="zero",
                                     input_frac=10), 9000),  # fmt: skip
    "spiker": (0, presets.spiker(16, 4, 250 * ONE, reset="subtract", reset_value=0 * ONE), 9000),
    "spiker, any": (0, presets.spiker(16, 4, both(0, 32767), reset="value",
                                      reset_value=ANY16), 9000),  # fmt: skip
    "tinyodin": (0, presets.tinyodin(np.array([5]), np.array([256])), 900),
    "tinyodin, any": (0, presets.tinyodin(both(0, 127), both(1, 4095)), 900),
    "adaptive": (0, lif(16, adaptation=JUMP, leak=SHIFT), 9000),
    "refractory": (0, lif(16, refractory=5, leak=SHIFT, reset_timing="next"), 9000),
    "integrator": (0, lif(20, reset="none", output="membrane", leak=SHIFT), 90000),
    "SNU": (0, seeded(random_snu, 5, soft=False, somatic=False, axonic=False, bits=16), 9000),
    "sSNU": (0, seeded(random_snu, 3, soft=True, somatic=False, axonic=False, bits=8), 60),
    "sSNU, 12 bits": (1, seeded(random_snu, 3, soft=True, somatic=False, axonic=False, bits=12),
                      2000),  # fmt: skip
    "SNU-a": (0, seeded(random_snu, 3, soft=False, somatic=True, axonic=False, bits=16), 2000),
    "SNU-o": (0, seeded(random_snu, 3, soft=False, somatic=False, axonic=True, bits=16), 2000),
    "EGRU": (0, seeded(random_egru, 3, bits=6), 12),
    "EGRU, 16 bits": (1, seeded(random_egru, 3, bits=16), 2000),
    "Alpha": (0, seeded(random_alpha, 3, 2, bits=8, reset="subtract"), 40),
    "Alpha, 16 bits": (1, seeded(random_alpha, 3, 2, bits=16, reset="subtract"), 9000),
}  # fmt: skip


def slow(name):
    return pytest.param(name, marks=pytest.mark.slow)


def whole(name: str, **other) -> Miter:
    """The proof of a configuration; ``other``: what is wrong with it."""
    _, model, reach = CONFIGURATIONS[name]
    return Miter(model, [(-reach, reach)] * len(model.inputs), **{"cut": True, **other})


def test_a_step_is_its_specification():
    names = [name for name, (long, *_) in CONFIGURATIONS.items() if not long]
    found = prove([whole(name) for name in names])
    assert dict(zip(names, found, strict=True)) == dict.fromkeys(names, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (long, *_) in CONFIGURATIONS.items() if long])
def test_a_large_step_is_its_specification(name):
    assert prove([whole(name)], 500) == [True]


@pytest.mark.parametrize(
    "bits, factor",
    [(16, 230), *(pytest.param(24, n, marks=pytest.mark.slow) for n in (4095 - 300, 4096 - 128))],
)
def test_a_product_by_a_constant_on_every_word(bits, factor):
    assert exhausted(Product(bits, factor))


def test_a_wrong_product_is_found():
    assert not exhausted(Product(16, 230, of=231))


BODIES = ["snntorch_default", "snntorch_no_delay, zero", "spiker", "hls4ml, if", "tinyodin"]
MORE_BODIES = ["snntorch_no_delay", "Synaptic", "xylo", "loihi, narrow", "adaptive", "refractory",
               "integrator"]  # fmt: skip


@pytest.mark.parametrize("names", [BODIES, pytest.param(MORE_BODIES, marks=pytest.mark.slow)])
def test_a_step_is_the_body_of_its_onnx_operator(names):
    bodies = []
    for name in names:
        model = CONFIGURATIONS[name][1]
        fires = model.output == "spikes"
        fault = {"theta": model.theta + 1} if fires else {"bias": model.bias + 1}
        wrong = cell_of(replace(model, **fault))
        # A body multiplies absolute values, the cell two's complement: no product is the same.
        cut = model.leak.kind != "mul_trunc0"
        body = {"spec": partial(_body, model), "cut": cut}
        bodies += [whole(name, cell=cell, **body) for cell in (None, wrong)]
    found = prove(bodies, 100)
    assert dict(zip(names, found[::2], strict=True)) == dict.fromkeys(names, True)
    assert found[1::2] == [False] * len(names)


def _body(model: Lif, _pick) -> BodySpec:
    return BodySpec(model)


def small(leak, overflow, signed, choices) -> Miter:
    model = lif(8, leak=leak, overflow=overflow, signed=signed, **choices)
    return Miter(model, [(-140, 140)], budget=LOOP_NS)


COMBINATIONS = list(combinations())


def test_combinations_of_choices():
    """A sample of them at eight bits; the long suite has more."""
    chosen = np.random.default_rng(0).choice(len(COMBINATIONS), 8, replace=False)
    assert all(prove([small(*COMBINATIONS[n]) for n in chosen]))


#: Choices that are proven in all their combinations with each other, whichever they are.
TOGETHER = 4


def subsets(leak, overflow, signed, choices):
    """All ``TOGETHER`` choices of a neuron."""
    facts = [("leak", leak), ("overflow", overflow), ("signed", signed), *choices.items()]
    return set(subsets_of(facts, TOGETHER))


@cache
def covering():
    """Combinations in an order by chance, but for those that bring no new choices together."""
    seen, kept = set(), []
    for n in np.random.default_rng(0).permutation(len(COMBINATIONS)):
        new = subsets(*COMBINATIONS[n]) - seen
        if new:
            kept.append(COMBINATIONS[n])
            seen |= new
    return kept


def test_the_long_suite_has_all_choices_together():
    everything = set().union(*(subsets(*c) for c in COMBINATIONS))
    assert set().union(*(subsets(*c) for c in covering())) == everything
    assert len(covering()) < len(COMBINATIONS) / 4


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_choices_together(part):
    assert all(prove([small(*c) for c in covering()[part::8]]))


#: Every combination of the choices of an alpha neuron.
ALPHAS = [
    dict(zip(ALPHA_CHOICES, values, strict=True))
    for values in product(*ALPHA_CHOICES.values())
    if "exact" not in values
]


def small_alpha(n: int) -> Miter:
    """Neuron ``n``, with words, leaks and gains by chance."""
    model = random_alpha(np.random.default_rng(n), 2, bits=4, **ALPHAS[n])
    return Miter(model, [(-9, 9)], budget=LOOP_NS)


def test_choices_of_alpha_neurons():
    """A sample; the long suite has all."""
    chosen = np.random.default_rng(1).choice(len(ALPHAS), 4, replace=False)
    # and one whose input is less than what rounding toward zero drops
    assert all(prove([small_alpha(n) for n in (29, *chosen)]))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_every_choice_of_alpha_neurons(part):
    assert all(prove([small_alpha(n) for n in range(part, len(ALPHAS), 2)]))
