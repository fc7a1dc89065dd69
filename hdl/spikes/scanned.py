"""A layer of event-driven synapses between streams of dense spikes and of currents."""

import numpy as np

from codesign.hdl.chain import Chain
from codesign.hdl.register_slice import RegisterSlice
from codesign.hdl.spikes.layer import EventLayer
from codesign.hdl.spikes.scan import SpikeScan
from codesign.hdl.timing import Composite


class Scanned(Chain):
    """``i``: frames of the layer's inputs as dense spikes up to ``levels``, ``lanes`` (a divisor) a
    beat; ``o``: its currents.

    A register slice stands before the scan: whether a beat holds another spike is known late, and
    must not decide in the same cycle what the layers before it do."""

    def __init__(self, layer: EventLayer, lanes: int, levels: int = 1) -> None:
        scan = SpikeScan(layer.inputs, layer.steps, lanes, levels)
        before = RegisterSlice(scan.i.payload.shape())
        self._layer, self._scan, self._slice = layer, scan, before
        super().__init__({"slice": before, "scan": scan, "synapses": layer})

    def timing(self, spikes: np.ndarray) -> Composite:
        """The event model for these ``spikes``, int [frames, steps, inputs]."""
        spikes = spikes.reshape(len(spikes), self._layer.steps, -1)
        stages = [self._slice.timing(), self._scan.timing(spikes), self._layer.timing(spikes)]
        return Composite(stages)
