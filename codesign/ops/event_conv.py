"""EventConv: a convolution of synapses whose work is proportional to its spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from codesign.formats import ScaledInt
from codesign.formats.base import bits_for
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.area import block_rams
from codesign.ops.circuit import divisors
from codesign.ops.convolve import Convolve
from codesign.ops.event_layer import EventLayer
from codesign.ops.event_op import elements_of_step
from codesign.schema import Cost


def convolves_spikes(op: Convolve, x: Value) -> bool:
    """Whether ``op`` reads steps of spikes, or of their counts, and has an event-driven form:
    one group, or one of each channel."""
    codes = isinstance(x.format, ScaledInt) and not x.format.zero_point and not op.pad_code
    spikes = codes and x.format.lo == 0 and x.format.hi <= 255
    return bool(op.steps and spikes and (op.groups == 1 or op.depthwise))


@register("event_conv")
@dataclass(frozen=True, eq=False)
class EventConv(EventLayer):
    """The convolution ``layer`` on spikes (steps, ..., C): currents (steps, ..., N), exactly its
    sums. A spike costs ``N / pe`` cycles (depthwise: one) for every output pixel that sees it."""

    layer: Convolve

    def reads(self, x: Value) -> bool:
        return convolves_spikes(self.layer, x)

    def slots(self, lanes: int) -> int:
        """Cycles of an event far from the border, at stride one."""
        n, kh, kw, _ = self.layer.weights.shape
        return int(kh * kw * (1 if self.layer.depthwise else n // lanes))

    def lane_choices(self) -> list[int]:
        outputs = len(self.layer.weights)
        each = outputs // self.layer.channels if self.layer.depthwise else 1
        return [n for n in divisors(outputs) if n % each == 0]

    def component(self, x: Value, plan: Plan) -> Any:
        from codesign.hdl.spikes.conv import EventConv as Synapses

        layer = self.layer
        _, range_ = self.infer(x)
        weights = np.moveaxis(layer.weights, 0, -1)  # [kh, kw, C / groups, N]
        if layer.depthwise:
            weights = weights.reshape(*weights.shape[:2], layer.channels, -1)
        top, left, bottom, right = layer.pads
        return Synapses(
            weights,
            size=layer.geometry(x).size,
            steps=layer.steps,
            lanes=plan.pe,
            slice=plan.pe,
            stride=layer.strides,
            padding=(top, bottom, left, right),
            dilation=layer.dilations,
            depthwise=layer.depthwise,
            levels=plan.levels,
            most=x.format.hi,
            bias=layer.bias,
            weight_memory=plan.memory,
            out_range=(range_.lo, range_.hi),
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        weights = self.layer.weights
        bits = bits_for(int(weights.min()), int(weights.max()))
        words = -(-elements_of_step(out) // plan.pe)
        blocks = block_rams(weights.size // plan.pe, plan.pe * bits)
        sums = 2 * block_rams(words, plan.pe * out.format.bits)
        adders = plan.pe * out.format.bits
        return Cost(lut=2 * adders + 200, ff=2 * adders + 150, bram=blocks + sums)
