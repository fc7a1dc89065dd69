"""EventConv: a convolution of synapses whose work is proportional to its spikes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from codesign.builddir import Cost
from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.formats.base import bits_for
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.area import block_rams
from codesign.ops.circuit import CircuitOp, divisors
from codesign.ops.convolve import Convolve
from codesign.ops.event_dense import MOST_FRAMES, WIDEST_SCAN

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


def convolves_spikes(op: Convolve, x: Value) -> bool:
    """Whether ``op`` reads steps of spikes, or of their counts, and has an event-driven form:
    one group, or one of each channel."""
    codes = isinstance(x.format, ScaledInt) and not x.format.zero_point and not op.pad_code
    spikes = codes and x.format.lo == 0 and x.format.hi <= 255
    return bool(op.steps and spikes and (op.groups == 1 or op.depthwise))


@register("event_conv")
@dataclass(frozen=True, eq=False)
class EventConv(CircuitOp):
    """``layer`` on spikes (steps, ..., C): currents (steps, ..., N), exactly its sums.

    The spikes of a step are scanned ``simd`` a cycle and sent on as addresses; each costs
    ``N / pe`` cycles (depthwise: one) for every output pixel that sees it, a silent input none.
    ``expected``: spikes a step it is planned for.
    """

    layer: Convolve
    expected: int

    data_dependent: ClassVar[bool] = True

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if not convolves_spikes(self.layer, x):
            raise UnsupportedModel(
                f"an event-driven convolution reads steps of spikes, got {x.shape} "
                f"{x.format.label()}",
                hint="build this layer folded: its inputs are no spikes",
            )
        return self.layer.infer(x)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        return self.layer.execute(ins, *arrays)

    def macs(self) -> int:
        return self.layer.macs()

    def frame_macs(self, ins: list[Value]) -> int:
        return self.layer.frame_macs(ins)

    def lanes_in(self, plan: Plan) -> int:
        return plan.simd

    def lanes_out(self, plan: Plan) -> int:
        return plan.pe

    def stream_plans(self, ins: list[Value]) -> list[Plan]:
        """The fewest synapse lanes first; scanning takes at most an eighth of the work."""
        (x,) = ins
        outputs, inputs = len(self.layer.weights), self._inputs(x)
        each = outputs // self.layer.channels if self.layer.depthwise else 1
        plans = []
        for lanes in (n for n in divisors(outputs) if n % each == 0):
            work = max(1, self.expected) * self._slots(lanes)
            wide = [d for d in divisors(x.shape[-1]) if d <= WIDEST_SCAN]
            simd = next((d for d in wide if 8 * (inputs // d) <= work), wide[-1])
            reason = f"{lanes} synapses a cycle, {self.expected} spikes a step expected"
            plans.append(Plan("event", pe=lanes, simd=simd, reason=reason))
        return plans

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        """At the expected number of spikes, each seen by as many pixels as a kernel has taps."""
        (x,) = ins
        out, _ = self.infer(x)
        sent = max(self._inputs(x) // plan.simd, self.expected) + 1
        work = self.expected * self._slots(plan.pe) + 1
        return int(x.shape[0] * max(sent, work, prod(out[1:]) // plan.pe + 1))

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        return self._scanned(ins[0], plan)

    def _inputs(self, x: Value) -> int:
        return x.elements // self.layer.steps

    def _slots(self, lanes: int) -> int:
        """Cycles of an event far from the border, at stride one."""
        n, kh, kw, _ = self.layer.weights.shape
        return kh * kw * (1 if self.layer.depthwise else n // lanes)

    def _scanned(self, x: Value, plan: Plan) -> Any:
        from codesign.hdl.spikes.conv import EventConv as Synapses
        from codesign.hdl.spikes.scanned import Scanned

        layer, levels = self.layer, x.format.hi
        _, range_ = self.infer(x)
        weights = np.moveaxis(layer.weights, 0, -1)  # [kh, kw, C / groups, N]
        if layer.depthwise:
            weights = weights.reshape(*weights.shape[:2], layer.channels, -1)
        top, left, bottom, right = layer.pads
        synapses = Synapses(
            weights,
            size=layer.geometry(x).size,
            steps=layer.steps,
            lanes=plan.pe,
            slice=plan.pe,
            stride=layer.strides,
            padding=(top, bottom, left, right),
            dilation=layer.dilations,
            depthwise=layer.depthwise,
            levels=levels,
            bias=layer.bias,
            weight_memory=plan.memory,
            out_range=(range_.lo, range_.hi),
        )
        return Scanned(synapses, plan.simd, levels)

    def timing(self, ins: list[Value], out: Value, plan: Plan) -> Any:
        return self.timing_of(ins, plan, self._usual(ins[0]))

    def timing_of(self, ins: list[Value], plan: Plan, codes: np.ndarray) -> Any:
        return self._scanned(ins[0], plan).timing(codes)

    def _usual(self, x: Value) -> np.ndarray:
        """Frames with the expected number of spikes, evenly spread."""
        inputs = self._inputs(x)
        spikes = np.zeros((MOST_FRAMES, self.layer.steps, inputs), np.int64)
        count = min(self.expected, inputs)
        spikes[:, :, (np.arange(count) * inputs) // max(1, count)] = 1
        return spikes

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        weights, step = self.layer.weights, out.elements // self.layer.steps
        bits = bits_for(int(weights.min()), int(weights.max()))
        words = -(-step // plan.pe)
        blocks = block_rams(weights.size // plan.pe, plan.pe * bits)
        sums = 2 * block_rams(words, plan.pe * out.format.bits)
        adders = plan.pe * out.format.bits
        return Cost(lut=2 * adders + 4 * plan.simd + 200, ff=2 * adders + 150, bram=blocks + sums)

    def realisation(self, plan: Plan) -> str:
        return f"events, {plan.pe} synapses a cycle"
