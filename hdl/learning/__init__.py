"""Learning on the chip: the dense event-driven layer with weights that change.
:mod:`codesign.learning` says exactly what each of these computes."""

from codesign.hdl.learning.axi import LearningAxi
from codesign.hdl.learning.layer import LearningDense
from codesign.hdl.learning.network import LearningNetwork
from codesign.hdl.learning.rival import RivalSignal
from codesign.hdl.learning.short_term import ShortTermDense

__all__ = ["LearningAxi", "LearningDense", "LearningNetwork", "RivalSignal", "ShortTermDense"]
