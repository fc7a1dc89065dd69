"""Neuron models in every configuration, and models of one layer of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import numpy_helper

from codesign.exchange import Metadata, NeuronNode, StepBuilder, neuron_node
from codesign.neurons import LEAKS, OVERFLOWS, Adaptation, Leak, Lif, Synapse, Word
from codesign.neurons.leak import PRODUCTS
from codesign.neurons.lif import CHOICES, SYN_ORDERS

CHANNELS = 3
META = Metadata(steps=5, dt=0.001, encoding="direct", readout="count", reset_at_window=True)


def lif(**changes: Any) -> Lif:
    """A plain LIF neuron, with ``changes``."""
    fields: dict[str, Any] = {
        "word": Word(10, 4, True, "sat_step"), "leak": Leak("mul_floor", [230], 8),
        "theta": [16], "compare": "ge", "reset": "subtract", "reset_timing": "same",
        "reset_vs_leak": "after", "reset_vs_input": "before", "input_frac": 6,
        "rounding": "floor", "spike_levels": 1, "refractory": 0, "refractory_mode": "silent",
        "output": "spikes",
    }  # fmt: skip
    return Lif(**(fields | changes))


@st.composite
def words(draw: Any, frac: int | None = None, overflows: tuple[str, ...] = OVERFLOWS) -> Word:
    bits = draw(st.integers(2, 8) | st.just(24))
    own = draw(st.integers(-2, 6)) if frac is None else frac
    return Word(bits, own, draw(st.booleans()), draw(st.sampled_from(overflows)))


def vectors(lo: int, hi: int) -> Any:
    one, many = (st.lists(st.integers(lo, hi), min_size=n, max_size=n) for n in (1, CHANNELS))
    return one | many


@st.composite
def leaks(draw: Any) -> Leak:
    kind = draw(st.sampled_from(LEAKS))
    if kind in PRODUCTS:
        bits = draw(st.integers(1, 8) | st.just(24))
        return Leak(kind, draw(vectors(0, 1 << bits)), bits)
    if kind == "none":
        return Leak(kind, [0])
    return Leak(kind, draw(vectors(1, 30 if kind != "linear" else 9)))


@st.composite
def neurons(draw: Any) -> Lif:
    """Any ``Lif`` of at most ``CHANNELS`` channels."""
    plain = tuple(o for o in OVERFLOWS if o != "sat_change")
    choices = {name: draw(st.sampled_from(found)) for name, found in CHOICES.items()}
    word = draw(words(overflows=OVERFLOWS if choices["reset_timing"] == "same" else plain))
    if choices["reset_timing"] == "both":
        choices["reset"] = "subtract"
    if choices["reset_vs_leak"] == "instead":
        choices |= {"reset_timing": "next", "reset_vs_input": "before"}
        word = Word(word.bits, word.frac, word.signed, "wrap")
    alone = choices["reset_timing"] == "both"
    synapse = adaptation = None
    if draw(st.booleans()):
        order = draw(st.sampled_from(SYN_ORDERS))
        synapse = Synapse(draw(words(overflows=plain)), draw(leaks()), order, draw(st.booleans()))
    if not alone and draw(st.booleans()):
        own = draw(words(word.frac, plain))
        adaptation = Adaptation(own, draw(leaks()), draw(vectors(0, 9)))
    levels = draw(st.sampled_from([1, 1, 2, 5]))
    return Lif(
        word=word,
        leak=draw(leaks()),
        theta=draw(vectors(1 if levels > 1 else -2, 40)),
        bias=draw(vectors(-5, 5)),
        reset_value=draw(vectors(word.lo, word.hi)),
        v0=draw(vectors(word.lo, word.hi)),
        input_frac=draw(st.integers(-2, 6)),
        spike_levels=levels,
        refractory=0 if alone else draw(st.sampled_from([0, 1, 3])),
        synapse=synapse,
        adaptation=adaptation,
        **choices,
    )


def node_of(model: Lif, trailing: int = 0) -> NeuronNode:
    return neuron_node(model, name="L", inputs=["x"], out="L", trailing=trailing)


def constants(made: NeuronNode) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in made.initializers}


def layer(model: Lif, batch: int = 2, meta: Metadata = META) -> onnx.ModelProto:
    """A one-step model of nothing but a layer of ``CHANNELS`` neurons."""
    shape = (batch, CHANNELS)
    built = StepBuilder("layer", shape)
    return built.model(built.neuron(model, "L", "x", shape), shape, meta)


def fields(model: Lif) -> dict[str, Any]:
    """Everything that a ``Lif`` computes with, to be compared."""
    found = {name: getattr(model, name) for name in Lif.__dataclass_fields__}
    found |= {name: array.tolist() for name, array in model.parameters().items()}
    leaks = {"leak": model.leak}
    if syn := model.synapse:
        found["synapse"] = (syn.word, syn.order, syn.reset)
        leaks["synapse_leak"] = syn.leak
    if ada := model.adaptation:
        found["adaptation"] = ada.word
        leaks["adaptation_leak"] = ada.leak
    for name, leak in leaks.items():
        bits = leak.frac if leak.kind in PRODUCTS else 0
        found[name] = (leak.kind, bits, [] if leak.kind == "none" else leak.amount.tolist())
    if model.reset != "value":
        del found["reset_value"]
    return found
