"""A convolution that only spikes cost cycles: each updates the outputs around it."""

from typing import Any, Literal

import numpy as np
from amaranth.hdl import Module, Value

from codesign.hdl.spikes.accumulate import Store
from codesign.hdl.spikes.dense import integers, possible, sum_range
from codesign.hdl.spikes.geometry import Axis
from codesign.hdl.spikes.layer import EventLayer, count_of
from codesign.hdl.spikes.walk import Slot, Walk
from codesign.hdl.stream import range_shape
from codesign.spikes import layers


class EventConv(EventLayer):
    """``currents[t, y, x, m] = sum weights[ky, kx, c, m] * spikes[t, sy*y + dy*ky - top, ..., c]``
    plus ``bias[m]``, exactly (:func:`codesign.spikes.layers.conv`).

    weights: int [KH, KW, C, M]; with ``depthwise`` [KH, KW, C, m], M = C * m, channel by channel.
    ``size``: (H, W) of the input; ``padding``: top, bottom, left, right. ``i``: events over
    H * W * C elements, channels last; ``o``: beats of ``slice`` currents, H' * W' * M a step.

    ``lanes`` (divides M; ``slice`` divides it) weights are added a cycle: an event takes M / lanes
    cycles for each output pixel that sees it (depthwise: one cycle; ``m`` divides ``lanes``), at
    least one, and nothing lies between events. Currents are handed on while the next step's
    events come. ``loadable``, ``most``: as in :class:`EventDense`.
    """

    front = Walk.front

    def __init__(
        self,
        weights: np.ndarray,
        *,
        size: tuple[int, int],
        steps: int,
        lanes: int,
        slice: int,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: tuple[int, int] = (1, 1),
        depthwise: bool = False,
        levels: int = 1,
        most: int | None = None,
        signed: bool = False,
        bias: np.ndarray | None = None,
        weight_memory: str = "auto",
        merge: Literal["sum", "or"] = "sum",
        loadable: tuple[int, int] | None = None,
        out_range: tuple[int, int] | None = None,
    ) -> None:
        weights = integers(weights, 4)
        kh, kw, channels, each = weights.shape
        outputs = channels * each if depthwise else each
        if lanes < 1 or slice < 1 or outputs % lanes or lanes % slice:
            raise ValueError(
                f"lanes must divide the {outputs} output channels and slice the lanes, got "
                f"{lanes} lanes, slice {slice}"
            )
        if depthwise and lanes % each:
            raise ValueError(f"{lanes} lanes are no whole number of channels of {each} outputs")
        if bias is not None and np.shape(bias) != (outputs,):
            raise ValueError(f"{outputs} outputs need as many biases, got {np.shape(bias)}")
        self.axes = axes_of(size, (kh, kw), stride, dilation, padding)
        self.weights = weights
        self._how: dict[str, Any] = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "depthwise": depthwise,
            "bias": bias,
        }
        self._lanes, side = lanes, lanes // each if depthwise else 1  # channels of a word
        self._walk = Walk(self.axes, channels, outputs // lanes, depthwise=depthwise, side=side)
        words = self._walk.words
        per_output = np.moveaxis(weights.reshape(kh * kw, channels, each), 0, 2)
        if not depthwise:
            per_output = per_output.transpose(1, 0, 2)
        sums = sum_range(
            possible(per_output.reshape(outputs, -1), loadable), most or levels, signed
        )
        if merge == "or":
            sums = (0, 1)
        super().__init__(
            inputs=size[0] * size[1] * channels,
            levels=levels,
            signed=signed,
            steps=steps,
            rows=self.rows_of(weights),
            store=Store(words, lanes, slice, words * lanes // slice, range_shape(*sums), merge),
            sums=sums,
            bias=bias,
            weight_memory=weight_memory,
            group=each,
            loadable=loadable,
            out_range=out_range,
        )

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(H', W', M)."""
        return self.axes[0].outputs, self.axes[1].outputs, self._walk.folds * self.store.lanes

    def rows_of(self, weights: np.ndarray) -> list[list[int]]:
        """Tap by tap, in each channel by channel (depthwise: ``lanes`` of all of them)."""
        found: list[list[int]] = weights.reshape(-1, self._lanes).tolist()
        return found

    def slots(self, address: int) -> int:
        return self._walk.slots(address)

    def reference(self, spikes: np.ndarray) -> np.ndarray:
        size = (self.axes[0].size, self.axes[1].size, self._walk.channels)
        found = layers.conv(spikes.reshape(*spikes.shape[:2], *size), self.weights, **self._how)
        if self.store.merge == "or":
            found = (found > 0).astype(np.int64)
        return found.reshape(*spikes.shape[:2], -1)

    def _front(self, m: Module, free: Value) -> Slot:
        return self._walk.slot(m, self.i, count_of(self), free)


def axes_of(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> tuple[Axis, Axis]:
    """The two axes of a window; ``padding``: top, bottom, left, right."""
    tall, wide = (
        Axis(size[n], kernel[n], stride[n], dilation[n], *padding[2 * n : 2 * n + 2])
        for n in range(2)
    )
    return tall, wide
