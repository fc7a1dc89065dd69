"""Neuron models: what one time step does to integers. Nothing here knows of a framework, an
exchange format or hardware; each of those is compared with these equations."""

from codesign.neurons.alpha import Alpha
from codesign.neurons.base import Neuron, State
from codesign.neurons.egru import Egru
from codesign.neurons.leak import LEAKS, Leak
from codesign.neurons.lif import Adaptation, Lif, Synapse
from codesign.neurons.rounding import ROUNDINGS, shift_right
from codesign.neurons.snu import AxonicInput, Snu, SomaticInput
from codesign.neurons.table import Table, tabulate
from codesign.neurons.word import OVERFLOWS, Word

__all__ = [
    "LEAKS",
    "OVERFLOWS",
    "ROUNDINGS",
    "Adaptation",
    "Alpha",
    "AxonicInput",
    "Egru",
    "Leak",
    "Lif",
    "Neuron",
    "Snu",
    "SomaticInput",
    "State",
    "Synapse",
    "Table",
    "Word",
    "shift_right",
    "tabulate",
]
