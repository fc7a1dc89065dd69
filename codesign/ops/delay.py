"""Delay: a value one step late, which closes the loop of a recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format
from codesign.ir import Value, constant, register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp, divisors
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


@register("delay")
@dataclass(frozen=True, eq=False)
class Delay(CircuitOp):
    """``out[t] = x[t - 1]`` along the first axis, ``out[0] = initial``, for a value (T, F).

    ``initial``: int64 [F], codes of ``format``, which is also the format of ``x``: it must be
    known before ``x`` is, because ``x`` may depend on this very node's output. ``waits``: it stands
    in no loop, so its circuit offers the first step of a frame only once that frame comes.
    ``persistent``: frames are one sequence, ``out[0]`` is ``initial`` in the first one only and the
    last step of the frame before in all others.
    """

    initial: np.ndarray
    format: Format
    steps: int
    waits: bool = False
    persistent: bool = False

    delays: ClassVar[bool] = True

    @property
    def carries(self) -> bool:
        return self.persistent

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial", constant(self.initial, np.int64))
        codes = self.initial
        if codes.ndim != 1 or not codes.size:
            raise ValueError(f"the initial state is a vector of codes, got shape {codes.shape}")
        if codes.min() < self.format.lo or codes.max() > self.format.hi:
            raise ValueError(f"the initial state lies outside {self.format.lo}..{self.format.hi}")

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        shape = (self.steps, len(self.initial))
        for x in ins:
            if x.shape != shape or x.format != self.format:
                raise UnsupportedModel(
                    f"a recurrent state of {shape} {self.format.label()} is written as "
                    f"{x.shape} {x.format.label()}",
                    hint="quantize the state the same way where it is written and where it starts",
                )
        return shape, self.format

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        """int64 [B, T, F] of a known ``x``; loops are run step by step by the reference."""
        (x,) = arrays
        rows = x.reshape(1, -1, len(self.initial)) if self.persistent else x
        first = np.broadcast_to(self.initial, (len(rows), 1, len(self.initial)))
        return np.concatenate([first, rows[:, :-1]], axis=1).reshape(x.shape)

    def lane_options(self, ins: list[Value]) -> list[int]:
        return divisors(len(self.initial))

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.delay import Delay as Stream
        from codesign.hdl.delay_line import DelayLine

        initial, lo, hi = self.initial.tolist(), self.format.lo, self.format.hi
        if self._keeps_a_vector:
            return DelayLine(initial, steps=self.steps, lo=lo, hi=hi, lanes=plan.pe)
        return Stream(
            initial,
            steps=self.steps,
            lo=lo,
            hi=hi,
            lanes=plan.pe,
            waits=self.waits,
            persistent=self.persistent,
        )

    @property
    def _keeps_a_vector(self) -> bool:
        """Whether the last step of a frame is kept until the next frame comes; inside of a loop,
        what reads it keeps it."""
        return self.waits and self.persistent

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        from codesign.hdl.memories import block_rams, style_for

        width, beats = plan.pe * self.format.bits, len(self.initial) // plan.pe
        counters = 2 * (self.steps.bit_length() + beats.bit_length())
        varies = len(set(self.initial.tolist())) > 1
        lut, ff = width * (2 if varies else 1) + 2 * counters, counters + width + 1
        if not self._keeps_a_vector or beats == 1:
            return Cost(lut=lut, ff=ff)
        if style_for(beats, width) == "block":
            return Cost(lut=lut, ff=ff, bram=block_rams(beats, width))
        return Cost(lut=lut + 2 * width * -(-beats // 16), ff=ff)

    def realisation(self, plan: Plan) -> str:
        return f"{self.steps} steps{', goes on' if self.persistent else ''}"
