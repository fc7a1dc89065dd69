"""Formal proofs that one step of a cell is its specification for every state and input, at the
widths of the presets; and that such a proof fails where the cell is wrong.

Products are hard for a SAT solver: decays that multiply are proven at 12 bits here and wider in
the long suite; what the array's tests and tests/neurons see of wider ones is a sample.
"""

from dataclasses import replace
from functools import cache
from itertools import combinations as subsets_of
from itertools import product

import numpy as np
import pytest

from codesign.hdl.neurons import cell as cells
from codesign.hdl.neurons import lif as lif_cells
from codesign.hdl.neurons.array import LOOP_NS, cell_of
from codesign.hdl.neurons.flow import Flow
from codesign.neurons import Adaptation, Leak, Lif, Synapse, Word, presets
from codesign.neurons.alpha import ALPHA_CHOICES
from tests.exchange.body_spec import BodySpec
from tests.hdl.proof import Miter, prove
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


#: Whether each takes long, the neuron, and the range of its input.
CONFIGURATIONS = {
    "snntorch_default": (0, snn(), 9000),
    "snntorch_default, zero": (1, snn(reset="zero"), 9000),
    "snntorch_default, decay": (0, snn(bits=10, leak=Leak("mul_floor", [14], 4)), 900),
    "snntorch_default, 24 bits": (1, snn(bits=24), 9000),
    "snntorch_no_delay": (1, snn(delay=False), 9000),
    "snntorch_no_delay, zero": (0, snn(delay=False, reset="zero"), 9000),
    "Synaptic": (1, snn("Synaptic", synapse=Leak("shift_floor", [3])), 9000),
    "RSynaptic, zero": (1, snn("RSynaptic", synapse=SHIFT, reset="zero"), 9000),
    "xylo": (1, presets.xylo(4 * ONE, 3 * ONE, 100 * ONE, bias=3 * ONE, max_spikes=1), 2000),
    "hls4ml": (0, presets.hls4ml(12, 6, 60 * ONE, beta=13 * ONE, beta_frac=4, reset="subtract",
                                 input_frac=8), 2000),  # fmt: skip
    "hls4ml, if": (0, presets.hls4ml(16, 8, 60 * ONE, beta=None, beta_frac=4, reset="zero",
                                     input_frac=10), 9000),  # fmt: skip
    "spiker": (0, presets.spiker(16, 4, 250 * ONE, reset="subtract", reset_value=0 * ONE), 9000),
    "spiker, value": (1, presets.spiker(12, 4, 250 * ONE, reset="value", reset_value=-ONE), 900),
    "tinyodin, two channels": (0, presets.tinyodin(np.array([5, 17]), np.array([256, 300])), 900),
    "loihi, narrow": (1, narrow_loihi(8), 60),
    "snntorch_default, decay 16": (1, snn(leak=Leak("mul_floor", [230], 8)), 9000),
    "xylo, 7 spikes": (1, presets.xylo(4 * ONE, 3 * ONE, 100 * ONE, bias=3 * ONE, max_spikes=7),
                       2000),  # fmt: skip
    "loihi, 12 bits": (1, narrow_loihi(12), 300),
    "adaptive": (1, lif(16, adaptation=Adaptation(Word(12, 2, False, "sat_step"), SHIFT, [40]),
                        leak=SHIFT), 9000),  # fmt: skip
    "refractory": (1, lif(16, refractory=5, leak=SHIFT, reset_timing="next"), 9000),
    "integrator": (1, lif(20, reset="none", output="membrane", leak=SHIFT), 90000),
    "SNU": (0, random_snu(np.random.default_rng(5), soft=False, somatic=False, axonic=False,
                          bits=16), 9000),  # fmt: skip
}  # fmt: skip


def slow(name):
    return pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [slow(n) if c[0] else n for n, c in CONFIGURATIONS.items()])
def test_a_step_is_its_specification(name):
    long, model, reach = CONFIGURATIONS[name]
    assert prove([Miter(model, [(-reach, reach)])], 500 if long else 60) == [True]


def units():
    """Name: a unit with tables or several inputs, and the range of its inputs."""
    rng = np.random.default_rng(3)
    kinds = {"sSNU": (True, False, False, 8), "SNU-a": (False, True, False, 6),
             "SNU-o": (False, False, True, 6)}  # fmt: skip
    reach = {"sSNU": 60, "SNU-a": 20, "SNU-o": 20}
    found = {
        name: (random_snu(rng, soft=a, somatic=b, axonic=c, bits=bits), reach[name])
        for name, (a, b, c, bits) in kinds.items()
    }
    found["EGRU"] = random_egru(rng, bits=6), 12
    return {**found, "Alpha": (random_alpha(rng, 2, bits=5, reset="subtract"), 40)}


@pytest.mark.parametrize("name", [slow("sSNU"), slow("SNU-a"), "SNU-o", slow("EGRU"), "Alpha"])
def test_units_with_tables_and_several_inputs(name):
    model, reach = units()[name]
    assert prove([Miter(model, [(-reach, reach)] * len(model.inputs))], 300) == [True]


@pytest.mark.parametrize("name", ["snntorch_default", slow("spiker"), slow("hls4ml, if")])
def test_a_step_is_the_body_of_its_onnx_operator(name):
    _, model, reach = CONFIGURATIONS[name]
    miter = Miter(model, [(-reach, reach)], spec=lambda _: BodySpec(model))
    assert prove([miter]) == [True]
    wrong = cell_of(replace(model, theta=model.theta + 1))
    bodies = Miter(model, [(-reach, reach)], cell=wrong, spec=lambda _: BodySpec(model))
    assert prove([bodies]) == [False]


def small(leak, overflow, signed, choices) -> Miter:
    model = lif(5, leak=leak, overflow=overflow, signed=signed, **choices)
    return Miter(model, [(-18, 18)], budget=LOOP_NS)


COMBINATIONS = list(combinations())


def test_combinations_of_choices():
    """A sample of them at five bits; the long suite has more."""
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


def unsaturated(flow, word, x):
    """A word that wraps."""
    return flow.low_bits(x, word.bits, word.signed)


def test_a_wrong_cell_is_refuted(monkeypatch):
    model, span = snn(), [(-9000, 9000)]
    assert prove([Miter(model, span)]) == [True]
    wrong = [
        lif_cells.LifCell(snn(reset="zero")),
        cell_of(
            presets.snntorch_no_delay(
                model.word, SHIFT, model.theta, reset="subtract", input_frac=8, rounding="exact"
            )
        ),  # fmt: skip
        cell_of(snn(leak=Leak("shift_floor", [5]))),
        cell_of(snn(leak=Leak("shift_min1", [4]))),
    ]
    assert prove([Miter(model, span, cell=cell) for cell in wrong]) == [False] * 4
    equal = lif(16, compare="ge", leak=SHIFT)
    assert prove([Miter(lif(16, leak=SHIFT), span, cell=cell_of(equal))]) == [False]
    monkeypatch.setattr(lif_cells, "fit", unsaturated)
    assert prove([Miter(model, span)]) == [False]


def test_a_missing_register_is_refuted(monkeypatch):
    """A charge that arrives a cycle before its membrane."""
    late = Flow.at

    def hasty(self, x, stage):
        if x.stage == 0 and stage == 1:
            return cells.replace(x, stage=1)
        return late(self, x, stage)

    model = snn()
    assert prove([Miter(model, [(-9000, 9000)])]) == [True]
    monkeypatch.setattr(Flow, "at", hasty)
    assert prove([Miter(model, [(-9000, 9000)])]) == [False]
