"""Neurons in hardware: one cell a model, over registers or a memory of states."""

from codesign.hdl.neurons.array import NeuronArray, cell_of
from codesign.hdl.neurons.timing import NeuronTiming

__all__ = ["NeuronArray", "NeuronTiming", "cell_of"]
