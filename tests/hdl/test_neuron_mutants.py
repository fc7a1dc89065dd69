"""Faults put into cells: each is refuted by the proof that passes without it."""

from dataclasses import replace

import numpy as np
import pytest

from codesign.hdl.neurons import cell as cells
from codesign.hdl.neurons import lif as lif_cells
from codesign.hdl.neurons import parts
from codesign.hdl.neurons.array import cell_of
from codesign.hdl.neurons.flow import Flow
from codesign.neurons import Leak
from tests.hdl.proof import prove
from tests.hdl.test_neuron_proof import CONFIGURATIONS, whole


def changed(**fields):
    """The same neurons but for some fields."""
    return lambda model: replace(model, **fields)


def leak(**fields):
    return lambda model: replace(model, leak=replace(model.leak, **fields))


def synapse(**fields):
    return lambda model: replace(model, synapse=replace(model.synapse, **fields))


def somatic(**fields):
    return lambda model: replace(model, somatic=replace(model.somatic, **fields))


def word(**fields):
    return lambda model: replace(model, word=replace(model.word, **fields))


def one_more(name):
    """One bit of a constant: its lowest."""
    return lambda model: replace(model, **{name: getattr(model, name) ^ 1})


def bit_of_table(name):
    """One bit of one entry in the middle of a table."""

    def fault(model):
        table = getattr(model, name)
        codes = table.codes.copy()
        codes[len(codes) // 2] ^= 1
        return replace(model, **{name: replace(table, codes=codes)})

    return fault


#: For each configuration what another cell computes in its place.
FAULTS = {
    "snntorch_default": [one_more("theta"), changed(compare="ge"), changed(reset_timing="same"),
                         changed(reset="zero"), changed(reset_vs_leak="before"),
                         leak(kind="shift_min1"), leak(amount=np.array([5])),
                         word(overflow="wrap"), word(overflow="sat_narrow"),
                         word(overflow="sat_add")],
    "snntorch_default, zero": [changed(reset_vs_input="after"), changed(reset="none")],
    "snntorch_default, decay": [leak(kind="mul_trunc0"), leak(kind="mul_round"),
                                leak(amount=np.array([231]))],
    "snntorch_no_delay": [changed(reset_timing="next"), changed(reset_timing="same")],
    "Synaptic": [synapse(order="previous"), synapse(leak=Leak("shift_floor", [4])),
                 synapse(reset=True)],
    "loihi, narrow": [leak(kind="mul_floor"), synapse(leak=Leak("mul_trunc0", [8], 4)),
                      synapse(leak=Leak("mul_floor", [9], 4)), changed(refractory=1),
                      changed(refractory_mode="silent"), synapse(reset=False)],
    "xylo": [one_more("bias"), leak(kind="shift_floor"),
             synapse(order="new"), changed(compare="gt")],
    "hls4ml": [changed(rounding="trunc0"), changed(reset="zero")],
    "spiker": [changed(reset_vs_leak="after"), changed(compare="ge")],
    "tinyodin": [leak(amount=np.array([4])), changed(compare="gt"), changed(reset="subtract")],
    "adaptive": [lambda m: replace(m, adaptation=replace(m.adaptation, jump=[41])),
                 lambda m: replace(m, adaptation=replace(m.adaptation, leak=Leak("none", [0])))],
    "refractory": [changed(refractory=4), changed(refractory_mode="silent")],
    "integrator": [word(overflow="wrap"), leak(kind="shift_min1")],
    "SNU": [changed(g="relu"), changed(compare="ge"), one_more("theta")],
    "SNU-a": [somatic(gain=np.array([1])), somatic(beta=np.array([1])), changed(compare="ge")],
    "EGRU": [one_more("theta"), bit_of_table("sigma"), bit_of_table("tau")],
    "Alpha": [changed(reset="zero"), changed(gain_frac=4), one_more("theta")],
}  # fmt: skip


@pytest.mark.parametrize("each", [1, pytest.param(99, marks=pytest.mark.slow)])
def test_every_fault_of_a_cell_is_found(each):
    faults = {f"{name} {n}": (name, fault) for name, found in FAULTS.items()
              for n, fault in enumerate(found[:each])}  # fmt: skip
    wrong = [fault(CONFIGURATIONS[name][1]) for name, fault in faults.values()]
    miters = [whole(name, cell=cell_of(model))
              for (name, _), model in zip(faults.values(), wrong, strict=True)]  # fmt: skip
    found = dict(zip(faults, prove(miters), strict=True))
    assert found == dict.fromkeys(faults, False)


def wrapped(flow, word, x):
    """A word that wraps."""
    return flow.low_bits(x, word.bits, word.signed)


def hasty(self, x, stage, late=Flow.at):
    """A charge that arrives a cycle before its membrane."""
    if x.stage == 0 and stage == 1:
        return cells.replace(x, stage=1)
    return late(self, x, stage)


def loose(flow, x, bits, rounding, right=parts.shift_right):
    """Rounding toward zero that rounds down."""
    return right(flow, x, bits, "floor" if rounding == "trunc0" else rounding)


def upward(self, a, b, or_equal, name="above", above=Flow.greater):
    """Comparisons that are passed by equality."""
    return above(self, a, b, True, name)


def test_faults_in_what_cells_are_made_of(monkeypatch):
    faults = [
        (lif_cells, "fit", wrapped, "snntorch_default"),
        (Flow, "at", hasty, "snntorch_default"),
        (parts, "shift_right", loose, "loihi, narrow"),
        (Flow, "greater", upward, "snntorch_default"),
    ]
    for place, name, fault, configuration in faults:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fault)
            assert prove([whole(configuration)]) == [False], (name, configuration)


def test_a_product_with_another_factor_is_found_behind_its_cut():
    """A cut product may be any number, but both sides must multiply the same."""
    fault = leak(amount=np.array([14]))
    wrong = cell_of(fault(CONFIGURATIONS["loihi, narrow"][1]))
    assert prove([whole("loihi, narrow", cell=wrong)]) == [False]
