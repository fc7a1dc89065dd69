"""Formal proofs that short-term plasticity is its specification: a step of a row of synapses, for
every F, spike and gain, at small and real widths; small layers as a whole, for ever. Faults are
refuted."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Const

from codesign.hdl.learning import ShortTermDense, short_term
from codesign.hdl.learning.update import RowUpdate
from codesign.learning import ShortTerm
from codesign.neurons import LEAKS, Leak, Word
from codesign.neurons.leak import PRODUCTS
from tests.hdl.proof import prove, prove_always
from tests.hdl.short_term_proof import LayerMiter, RowMiter
from tests.neurons.lifs import lif

CLAMPS = ("sat_step", "sat_narrow")


def leak_of(kind, bits):
    """A leak that a word of ``bits`` bits feels."""
    if kind in PRODUCTS:
        return Leak(kind, [13], 4) if bits <= 8 else Leak(kind, [230], 8)
    return Leak(kind, [3])


def row(bits, kind, overflow="sat_step"):
    """Two lanes of synapses with any gains of ``bits - 1`` bits."""
    reach = 1 << (bits - 2)
    return ShortTerm(
        lif(6), np.array([[3, -4], [1, 2], [5, -5]]), Word(bits, 2, True, overflow),
        leak_of(kind, bits), np.array([-reach, reach - 1]),
    )  # fmt: skip


def circuit(layer, steps=2, lanes=None):
    return ShortTermDense(layer, steps=steps, lanes=lanes or layer.outputs)


def test_a_step_of_a_row_is_its_specification():
    layers = [row(8, kind, CLAMPS[n % 2]) for n, kind in enumerate(LEAKS)]
    found = prove([RowMiter(circuit(layer)) for layer in layers])
    assert dict(zip(LEAKS, found, strict=True)) == dict.fromkeys(LEAKS, True)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("kind", LEAKS)
def test_a_step_of_a_wide_row_is_its_specification(kind, bits):
    miters = [RowMiter(circuit(row(bits, kind, overflow))) for overflow in CLAMPS]
    assert prove(miters, 250) == [True, True]


def leak(**fields):
    return lambda layer: replace(layer, leak=replace(layer.leak, **fields))


def word(**fields):
    return lambda layer: replace(layer, word=replace(layer.word, **fields))


#: For each leak what another circuit computes in its place.
ROW_FAULTS = {
    "mul_trunc0": [leak(kind="mul_floor"), leak(kind="mul_round"), leak(amount=np.array([12]))],
    "shift_min1": [leak(kind="shift_floor"), leak(amount=np.array([4]))],
    "linear": [leak(amount=np.array([2])), leak(kind="none"), word(overflow="sat_narrow")],
}


def early(self, *given, was=RowUpdate.elaborate):
    """The row that is written is the one behind."""
    m = was(self, *given)
    m.d.comb += self.write_row.eq(self.row)
    return m


def swapped(self, m, f, gain, goes_on, x, was=ShortTermDense._change):
    """Forgets when its input spikes, learns when the frame goes on."""
    return was(self, m, f, gain, x, goes_on)


def wraps(flow, word, x):
    return flow.low_bits(x, word.bits, word.signed)


#: Faults that the fast suite has, of each kind.
FEW = pytest.mark.parametrize("few", [1, pytest.param(9, marks=pytest.mark.slow)])


@FEW
def test_faults_of_a_step_are_found(few, monkeypatch):
    wrong = []
    for kind, faults in ROW_FAULTS.items():
        right = row(8, kind)
        wrong += [RowMiter(circuit(fault(right)), right) for fault in faults[:few]]
    assert prove(wrong) == [False] * len(wrong)
    places = [(RowUpdate, "elaborate", early), (short_term, "fit", wraps),
              (ShortTermDense, "_change", swapped)]  # fmt: skip
    for place, name, fault in places[:few]:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fault)
            assert prove([RowMiter(circuit(row(8, "linear")))]) == [False], fault.__name__


def small(inputs=1, outputs=1, bits=2, leak=None):
    """Plastic synapses before the smallest neurons, which fire at their largest membrane: what a
    row's step computes is proven above."""
    weights = np.array([[1, 0], [0, 1]])[:inputs, :outputs]
    gain = -(1 << (bits - 1))
    return ShortTerm(
        lif(2, leak="none", theta=np.array([0]), reset="zero"), weights,
        Word(bits, 2, True, "sat_step"), leak or Leak("linear", [1]),
        np.array([gain, -gain][:outputs]),
    )  # fmt: skip


def test_a_synapse_is_its_specification_for_ever():
    assert prove_always([LayerMiter(circuit(small()))], 300, deep=True) == [True]


#: Layers, steps of a frame, lanes.
LAYERS = {
    "two inputs": (small(2), 2, 1),
    "two lanes": (small(1, 2), 2, 2),
    "two rows an input": (small(1, 2), 2, 1),
    "three steps": (small(), 3, 1),
    "three bits": (small(bits=3), 2, 1),
    # a leak that rounds down never forgets a negative F
    "until the frame ends": (small(bits=3, leak=Leak("mul_floor", [5], 3)), 2, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_specification_for_ever(name):
    assert prove_always([LayerMiter(circuit(*LAYERS[name]))], 550, deep=True) == [True]


def forgetful(layer, was=short_term.lifetime):
    """An input leaves the list a step before nothing is left of F."""
    return was(layer) - 1


def endless(self, m, f, gain, goes_on, x, was=ShortTermDense._change):
    """F goes on into the next frame."""
    return was(self, m, f, gain, Const(1, 1), x)


@FEW
def test_faults_of_a_layer_are_found(few, monkeypatch):
    right = small()
    wrong = [replace(right, gain=right.gain + 1), replace(right, weights=right.weights - 1),
             replace(right, neuron=replace(right.neuron, theta=right.neuron.theta - 1)),
             leak(kind="none")(right)][:few]  # fmt: skip
    # F is 0 after a frame's last step: what a leak leaves is used in the third
    miters = [LayerMiter(circuit(layer, 3), right) for layer in wrong]
    assert prove_always(miters, deep=True) == [False] * len(wrong)
    places = [(ShortTermDense, "_change", endless), (short_term, "lifetime", forgetful)]
    for place, name, fault in places[:few]:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fault)
            found = prove_always([LayerMiter(circuit(right, 3))], deep=True)
            assert found == [False], fault.__name__
