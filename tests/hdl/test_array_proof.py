"""Formal proofs, for ever and under any waiting and any reset: a neuron's next step begins with
the states that its last one left, wherever they are kept and however long a step takes."""

import numpy as np
import pytest
from amaranth.hdl import Cat

from codesign.hdl.neurons import NeuronArray, memory
from codesign.hdl.neurons import array as arrays
from codesign.neurons import Leak, Synapse, Word
from tests.hdl.array_proof import ArrayMiter
from tests.hdl.proof import prove_always
from tests.neurons.lifs import lif


def neuron(bits=2, **other):
    """Two bits of membrane, firing at the largest: what a step computes is proven elsewhere."""
    usual = {"leak": "none", "theta": np.array([0]), "reset": "zero"}
    return lif(bits, **{**usual, **other})


SYNAPSE = Synapse(Word(2, 2, True, "wrap"), Leak("none", [0]), "new", False)
CHANNELS = neuron(theta=np.array([0, -1]), v0=np.array([1, -2]))
#: Four channels: in two lanes, each has two.
FOUR = {"theta": np.array([0, 1, -1, -2]), "v0": np.array([1, -2, 0, -1])}


def array_of(model, elements, persistent=False, kind=NeuronArray, lanes=1):
    half = 1 << (model.word.bits - 1)
    return kind(
        model, elements=elements, steps=2, lanes=lanes, persistent=persistent,
        ranges=[(-half, half - 1)],
    )  # fmt: skip


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


def test_two_lanes():
    assert prove_always([ArrayMiter(array_of(neuron(**FOUR), 4, lanes=2))]) == [True]


#: Two lanes or more, three bits, a leak: (neuron, elements, whether frames go on, lanes).
WIDER = {
    "registers": (neuron(), 2, False, 2),
    "frames that go on": (neuron(), 4, True, 2),
    "three beats": (neuron(), 6, False, 2),
    "three bits": (neuron(3), 4, False, 2),
    "a leak": (neuron(3, leak="shift_floor", **FOUR), 4, False, 2),
    "two states": (neuron(synapse=SYNAPSE), 4, False, 2),
    "three lanes": (neuron(), 6, False, 3),
    "four lanes": (neuron(**FOUR), 8, False, 4),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WIDER)
def test_several_lanes(name):
    model, elements, goes_on, lanes = WIDER[name]
    built = array_of(model, elements, persistent=goes_on, lanes=lanes)
    assert prove_always([ArrayMiter(built)], 500) == [True]


@pytest.mark.slow
def test_several_lanes_in_block_memory(in_block_memory):
    built = array_of(neuron(**FOUR), 4, lanes=2)
    assert built.styles["v"].kind == "block" and built.loop > built.beats
    assert prove_always([ArrayMiter(built)], 500) == [True]


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


def crossed(m, name, style, *, data, **ports):
    """The lanes' words change places on their way into the memory."""
    half = len(data) // 2
    return memory.state_memory(m, name, style, data=Cat(data[half:], data[:half]), **ports)


def test_faults_of_lanes_are_found(monkeypatch):
    model, table = neuron(**FOUR), arrays._Builder.table
    for place, name, fault in (
        (arrays, "state_memory", crossed),
        (arrays._Builder, "table", lambda *of: list(reversed(table(*of)))),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fault)
            assert prove_always([ArrayMiter(array_of(model, 4, lanes=2))]) == [False]


def test_faults_of_the_memory_are_found(monkeypatch, in_block_memory):
    model = neuron()
    assert prove_always([ArrayMiter(array_of(model, 2, kind=Hurried))]) == [False]
    for fault in (misplaced, always):
        with monkeypatch.context() as patch:
            patch.setattr(arrays, "state_memory", fault)
            assert prove_always([ArrayMiter(array_of(model, 2))]) == [False], fault.__name__
