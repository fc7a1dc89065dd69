"""Neurons in hardware: one cell a model, over registers or a memory of states."""

from codesign.hdl.neurons.area import Area, area_of
from codesign.hdl.neurons.array import NeuronArray, cell_of
from codesign.hdl.neurons.timing import NeuronTiming

__all__ = ["Area", "NeuronArray", "NeuronTiming", "area_of", "cell_of"]
