"""Learning on the chip: the dense event-driven layer with weights that change.
:mod:`codesign.learning` says exactly what each of these computes."""

from codesign.hdl.learning.layer import LearningDense

__all__ = ["LearningDense"]
