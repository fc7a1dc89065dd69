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
    in no loop, so its circuit offers ``initial`` only once a frame comes.
    """

    initial: np.ndarray
    format: Format
    steps: int
    waits: bool = False

    delays: ClassVar[bool] = True

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
        first = np.broadcast_to(self.initial, (len(x), 1, len(self.initial)))
        return np.concatenate([first, x[:, :-1]], axis=1)

    def lane_options(self, ins: list[Value]) -> list[int]:
        return divisors(len(self.initial))

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.delay import Delay as Stream

        lo, hi = self.format.lo, self.format.hi
        initial, waits = self.initial.tolist(), self.waits
        return Stream(initial, steps=self.steps, lo=lo, hi=hi, lanes=plan.pe, waits=waits)

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        width = plan.pe * self.format.bits
        counters = 2 * (self.steps.bit_length() + (len(self.initial) // plan.pe).bit_length())
        varies = len(set(self.initial.tolist())) > 1
        return Cost(lut=width * (2 if varies else 1) + 2 * counters, ff=counters + width + 1)

    def realisation(self, plan: Plan) -> str:
        return f"{self.steps} steps"
