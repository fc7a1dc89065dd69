"""Formal proofs, for ever and under any waiting and any reset: a neuron's next step begins with
the states that its last one left, wherever they are kept and however long a step takes."""

import numpy as np
import pytest

from codesign.hdl.neurons import NeuronArray, memory
from codesign.hdl.neurons import array as arrays
from codesign.neurons import Leak, Synapse, Word
from tests.hdl.array_proof import ArrayMiter
from tests.hdl.proof import prove_always
from tests.neurons.lifs import lif


def neuron(**other):
    """Two bits of membrane: what a step computes is proven elsewhere."""
    usual = {"leak": "none", "theta": np.array([1]), "reset": "zero"}
    return lif(2, **{**usual, **other})


SYNAPSE = Synapse(Word(2, 2, True, "wrap"), Leak("none", [0]), "new", False)
CHANNELS = neuron(theta=np.array([0, 1]), v0=np.array([1, -2]))


def array_of(model, elements, persistent=False, kind=NeuronArray):
    return kind(model, elements=elements, steps=2, lanes=1, persistent=persistent, ranges=[(-2, 1)])


@pytest.fixture
def in_block_memory(monkeypatch):
    """States in block RAM, which is read a cycle ahead, however few."""
    monkeypatch.setattr(memory, "style_for", lambda *_: "block")


def test_states_in_registers_and_lut_memory():
    cases = [(neuron(), 1, False), (neuron(), 3, False), (neuron(), 2, True), (CHANNELS, 2, False)]
    built = [array_of(*case) for case in cases]
    assert [a.styles["v"].kind for a in built] == ["register", "lut", "lut", "lut"]
    assert prove_always([ArrayMiter(a) for a in built]) == [True] * len(built)


def test_states_in_block_memory(in_block_memory):
    built = [array_of(CHANNELS, 2), array_of(neuron(), 2, persistent=True)]
    assert [a.styles["v"].kind for a in built] == ["block"] * 2
    # a step takes longer than it is until a neuron's turn comes again: the array has to wait
    assert all(a.loop > a.beats for a in built)
    assert prove_always([ArrayMiter(a) for a in built]) == [True] * len(built)


@pytest.mark.slow
@pytest.mark.parametrize("elements", [2, 3])
def test_two_states_at_a_time(elements):
    assert prove_always([ArrayMiter(array_of(neuron(synapse=SYNAPSE), elements))], 500) == [True]


@pytest.mark.slow
def test_two_states_in_block_memory(in_block_memory):
    assert prove_always([ArrayMiter(array_of(neuron(synapse=SYNAPSE), 2))], 500) == [True]


class Hurried(NeuronArray):
    """Takes a neuron's next step a cycle before its states are written."""

    @property
    def loop(self):
        return super().loop - 1


def misplaced(m, name, style, *, write, **ports):
    """Writes to the neuron of another address."""
    return memory.state_memory(m, name, style, write=~write, **ports)


def always(m, name, style, *, enable, ce, **ports):
    """Writes whatever passes, also what nobody sent."""
    return memory.state_memory(m, name, style, enable=ce, ce=ce, **ports)


def test_faults_of_the_memory_are_found(monkeypatch, in_block_memory):
    model = neuron()
    assert prove_always([ArrayMiter(array_of(model, 2, kind=Hurried))]) == [False]
    for fault in (misplaced, always):
        with monkeypatch.context() as patch:
            patch.setattr(arrays, "state_memory", fault)
            assert prove_always([ArrayMiter(array_of(model, 2))]) == [False], fault.__name__
