"""Synapses that change while the network runs: exact integer rules of on-chip learning (TESS, and
e-prop as a setting of it), their learning signal, and short-term plasticity. numpy only;
:mod:`codesign.hdl.learning` is their hardware."""

from codesign.learning.layer import LearningLayer, Record
from codesign.learning.network import LearningNet
from codesign.learning.psi import Psi, fast_sigmoid
from codesign.learning.rival import Rival
from codesign.learning.short_term import ShortTerm
from codesign.learning.tess import Tess, eprop

__all__ = [
    "LearningLayer",
    "LearningNet",
    "Psi",
    "Record",
    "Rival",
    "ShortTerm",
    "Tess",
    "eprop",
    "fast_sigmoid",
]
