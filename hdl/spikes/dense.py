"""A dense layer of synapses that only spikes cost cycles."""

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value

from codesign.hdl.memories import Counter
from codesign.hdl.spikes.accumulate import Store
from codesign.hdl.spikes.layer import EventLayer, count_of
from codesign.hdl.spikes.walk import Slot
from codesign.hdl.stream import range_shape
from codesign.spikes import layers


class EventDense(EventLayer):
    """``currents[t] = spikes[t] @ weights + bias``, exactly.

    weights: int [inputs, N]; bias: int [N] or None. ``i``: events of ``steps`` steps over the
    inputs, counts in ``1..levels`` (of either sign if ``signed``). ``o``: beats of ``slice``
    (divides N, and ``lanes`` where these are fewer than N) currents in ``lo..hi``, the exact
    range. An event adds ``lanes`` weights a cycle, so it takes N / lanes (rounded up) cycles, and
    nothing lies between events.
    ``most``: what the events of an input amount to in a step, where that is more than ``levels``.
    ``weight_memory``: ``auto``, ``block`` or ``lut``.

    ``loadable``: the weights are those at first; others of that range (lo, hi) are written, and
    read back, through the port ``load`` while no frame is in flight
    (:class:`codesign.hdl.loading.loaded_memory.LoadedMemory`; ``row_words(rows_of(weights))`` is
    what stands where).
    """

    def __init__(
        self,
        weights: np.ndarray,
        *,
        steps: int,
        lanes: int,
        slice: int,
        levels: int = 1,
        most: int | None = None,
        signed: bool = False,
        bias: np.ndarray | None = None,
        weight_memory: str = "auto",
        loadable: tuple[int, int] | None = None,
        out_range: tuple[int, int] | None = None,
    ) -> None:
        weights = integers(weights, 2)
        inputs, outputs = weights.shape
        if not 1 <= lanes <= outputs:
            raise ValueError(f"lanes must lie in 1..{outputs} (the outputs), got {lanes}")
        self._groups = -(-outputs // lanes)
        if slice < 1 or outputs % slice or (self._groups > 1 and lanes % slice):
            raise ValueError(
                f"slice must divide the {outputs} outputs and the {lanes} lanes, got {slice}"
            )
        if bias is not None and np.shape(bias) != (outputs,):
            raise ValueError(f"{outputs} outputs need as many biases, got {np.shape(bias)}")
        self.weights, self.bias = weights, bias
        self._lanes = lanes
        sums = sum_range(possible(weights.T, loadable), most or levels, signed)
        super().__init__(
            inputs=inputs,
            levels=levels,
            signed=signed,
            steps=steps,
            rows=self.rows_of(weights),
            store=Store(self._groups, lanes, slice, outputs // slice, range_shape(*sums)),
            sums=sums,
            bias=bias,
            weight_memory=weight_memory,
            loadable=loadable,
            out_range=out_range,
        )

    def rows_of(self, weights: np.ndarray) -> list[list[int]]:
        """All inputs of the first group of ``lanes`` outputs, then of the second, ..."""
        (inputs, outputs), lanes = weights.shape, self._lanes
        padded = np.pad(weights, ((0, 0), (0, self._groups * lanes - outputs)))
        rows = padded.reshape(inputs, self._groups, lanes).transpose(1, 0, 2)
        found: list[list[int]] = rows.reshape(-1, lanes).tolist()
        return found

    def slots(self, address: int) -> int:
        return self._groups

    def reference(self, spikes: np.ndarray) -> np.ndarray:
        return layers.dense(spikes, self.weights, self.bias)

    def _front(self, m: Module, free: Value) -> Slot:
        data, step = self.i.payload.data, Signal(name="group_step")
        m.d.comb += step.eq(self.i.valid & ~data.step_end & free)
        group = Counter(m, "group", self._groups, step)
        rows = len(self._rows)
        offset, row = Signal(range(max(2, rows)), name="offset"), Signal(range(max(2, rows)))
        with m.If(step):
            m.d.sync += offset.eq(Mux(group.last, 0, offset + self.inputs))
        m.d.comb += [
            self.i.ready.eq(free & (data.step_end | group.last)),
            row.eq(offset + data.address),
        ]
        count = count_of(self)
        return Slot(self.i.valid, data.step_end, row, group.value, count)


def integers(weights: np.ndarray, axes: int) -> np.ndarray:
    """int64 weights of so many axes, or a ``ValueError``."""
    weights = np.asarray(weights)
    if weights.ndim != axes or not weights.size or not np.issubdtype(weights.dtype, np.integer):
        raise ValueError(
            f"weights are integers of {axes} axes, got {weights.dtype} {weights.shape}"
        )
    return weights.astype(np.int64)


def possible(per_output: np.ndarray, loadable: tuple[int, int] | None) -> np.ndarray:
    """Weights int [cases, synapses] that make the extreme sums: those there are, or, where they
    may be replaced, the ends of all codes that their word can hold."""
    if loadable is None:
        return per_output
    if per_output.min() < loadable[0] or per_output.max() > loadable[1]:
        raise ValueError(f"the weights lie outside the loadable {loadable[0]}..{loadable[1]}")
    shape = range_shape(*loadable)
    low = -(1 << (shape.width - 1)) if shape.signed else 0
    ends = np.array([[low], [low + (1 << shape.width) - 1]])
    return np.broadcast_to(ends, (2, per_output.shape[1]))


def sum_range(per_output: np.ndarray, levels: int, signed: bool) -> tuple[int, int]:
    """Least and greatest sum an accumulator can hold on the way; int [outputs, synapses]."""
    if signed:
        most = int(np.abs(per_output).sum(axis=1).max()) * levels
        return -most, most
    plus, minus = np.maximum(per_output, 0).sum(axis=1), np.minimum(per_output, 0).sum(axis=1)
    return int(minus.min()) * levels, int(plus.max()) * levels
