"""A dense layer of synapses that only spikes cost cycles."""

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value

from codesign.hdl.memories import Counter
from codesign.hdl.spikes.accumulate import Store
from codesign.hdl.spikes.layer import EventLayer, Slot, count_of
from codesign.hdl.stream import range_shape
from codesign.spikes import layers


class EventDense(EventLayer):
    """``currents[t] = spikes[t] @ weights + bias``, exactly.

    weights: int [inputs, N]; bias: int [N] or None. ``i``: events of ``steps`` steps over the
    inputs, counts in ``1..levels`` (of either sign if ``signed``). ``o``: beats of ``slice``
    (divides N, and ``lanes`` where these are fewer than N) currents in ``lo..hi``, the exact
    range. An event adds ``lanes`` weights a cycle, so it takes N / lanes (rounded up) cycles, and
    nothing lies between events.
    ``weight_memory``: ``auto``, ``block`` or ``lut``.
    """

    def __init__(
        self,
        weights: np.ndarray,
        *,
        steps: int,
        lanes: int,
        slice: int,
        levels: int = 1,
        signed: bool = False,
        bias: np.ndarray | None = None,
        weight_memory: str = "auto",
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
        padded = np.pad(weights, ((0, 0), (0, self._groups * lanes - outputs)))
        sums = sum_range(weights.T, levels, signed)
        super().__init__(
            inputs=inputs,
            levels=levels,
            signed=signed,
            steps=steps,
            # all inputs of the first group of outputs, then of the second, ...
            rows=padded.reshape(inputs, self._groups, lanes)
            .transpose(1, 0, 2)
            .reshape(-1, lanes)
            .tolist(),
            store=Store(self._groups, lanes, slice, outputs // slice, range_shape(*sums)),
            sums=sums,
            bias=bias,
            weight_memory=weight_memory,
        )

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


def sum_range(per_output: np.ndarray, levels: int, signed: bool) -> tuple[int, int]:
    """Least and greatest sum an accumulator can hold on the way; int [outputs, synapses]."""
    if signed:
        most = int(np.abs(per_output).sum(axis=1).max()) * levels
        return -most, most
    plus, minus = np.maximum(per_output, 0).sum(axis=1), np.minimum(per_output, 0).sum(axis=1)
    return int(minus.min()) * levels, int(plus.max()) * levels
