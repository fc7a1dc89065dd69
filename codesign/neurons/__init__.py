"""Neuron models: what one time step does to integers. Nothing here knows of a framework, an
exchange format or hardware; each of those is compared with these equations."""

from codesign.neurons.base import Neuron, State
from codesign.neurons.leak import LEAKS, Leak
from codesign.neurons.lif import Adaptation, Lif, Synapse
from codesign.neurons.rounding import ROUNDINGS, shift_right
from codesign.neurons.word import OVERFLOWS, Word

__all__ = [
    "LEAKS",
    "OVERFLOWS",
    "ROUNDINGS",
    "Adaptation",
    "Leak",
    "Lif",
    "Neuron",
    "State",
    "Synapse",
    "Word",
    "shift_right",
]
