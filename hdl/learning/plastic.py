"""The dense event-driven layer over weights that its surroundings keep."""

import numpy as np
from amaranth.hdl import Module, Signal, Value

from codesign.hdl.spikes.dense import EventDense
from codesign.hdl.spikes.walk import Slot


class PlasticDense(EventDense):
    """:class:`EventDense` that reads its weights through wires of its parent: ``row`` and
    ``row_en`` ask, ``row_data`` answers an enabled cycle later, ``lanes`` codes of the shape that
    holds ``span``; ``load`` is of no use here. While ``go`` is low it takes no beat."""

    def __init__(
        self, weights: np.ndarray, *, span: tuple[int, int], steps: int, lanes: int
    ) -> None:
        super().__init__(weights, steps=steps, lanes=lanes, slice=lanes, loadable=span)
        self.words = self._rows
        self.row = Signal(range(max(2, len(self._rows))), name="event_row")
        self.row_en, self.go = Signal(name="event_row_en"), Signal(name="go")
        self.row_data = Signal(self._weight.width * lanes, name="event_row_data")

    @property
    def groups(self) -> int:
        """Rows of an input."""
        return self._groups

    def _weights(self, m: Module, ce: Value) -> tuple[Value, Value]:
        m.d.comb += self.row_en.eq(ce)
        return self.row, self.row_data

    def _front(self, m: Module, free: Value) -> Slot:
        slot = super()._front(m, free & self.go)
        slot.valid = slot.valid & self.go
        return slot
