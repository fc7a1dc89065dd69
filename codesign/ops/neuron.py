"""Neuron: a layer of spiking neurons over all time steps of a frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from codesign import neurons
from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import Op, Value, record, register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp, divisors
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

for _part in vars(neurons).values():  # models and what they consist of, as fields
    if isinstance(_part, type) and is_dataclass(_part):
        record(f"neurons.{_part.__name__}")(_part)


def word_format(word: neurons.Word, lo: int, hi: int) -> ScaledInt:
    """Codes ``lo..hi`` of ``word``."""
    return ScaledInt(lo, hi, (2.0**-word.frac,))


@register("neuron")
@dataclass(frozen=True, eq=False)
class Neuron(CircuitOp):
    """``model`` for every element of a value (steps, ...): what leaves in each step.

    ``steps`` 0: a value of one step, without that axis, as in the body of a Scan before it is
    lifted. ``persistent``: the states go on from frame to frame; else each frame starts anew.
    """

    model: neurons.Neuron
    steps: int
    persistent: bool = False

    @property
    def carries(self) -> bool:
        return self.persistent

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        shape = ins[0].shape
        if len(ins) != len(self.model.inputs) or any(x.shape != shape for x in ins):
            raise UnsupportedModel(
                f"neurons need {len(self.model.inputs)} inputs of one shape, got "
                f"{', '.join(str(x.shape) for x in ins)}"
            )
        if self.steps and shape[:1] != (self.steps,):
            raise UnsupportedModel(f"a value of {shape} for {self.steps} time steps")
        if shape[-1] % self.model.channels:
            raise UnsupportedModel(
                f"{self.model.channels} neuron parameters for {shape[-1]} channels",
                hint="give one for all neurons, or one per channel",
            )
        for x, frac in zip(ins, self.model.input_fracs, strict=True):
            _check_input(x, frac)
        return shape, word_format(self.model.out, *self.model.span)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        return self.trace(*arrays)[0]

    def trace(self, *arrays: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Outputs int64 [B, steps, ...], and every state after every step, of that shape."""
        shape = arrays[0].shape
        batch, steps = (1, shape[0] * shape[1]) if self.persistent else shape[:2]
        out, states = self.model.run(*(x.reshape(batch, steps, -1) for x in arrays))
        return out.reshape(shape), {name: s.reshape(shape) for name, s in states.items()}

    def runner(self, steps: int) -> Callable[..., np.ndarray]:
        """Step by step, for loops: what it is called with next is the next step."""
        held: dict[str, np.ndarray] = {}

        def step(ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
            flat = tuple(x.reshape(len(x), -1) for x in arrays)
            out, after = self.model.step(flat, held or self.model.begin(flat[0].shape))
            held.update(after)
            return out.reshape(arrays[0].shape)

        return step

    def lane_options(self, ins: list[Value]) -> list[int]:
        """A beat holds neurons of one step only."""
        shape = ins[0].shape[1:]
        if len(shape) == 1:
            return divisors(shape[0])
        whole = [shape[-1] * n for n in divisors(prod(shape[:-1]))[1:]]
        return divisors(shape[-1]) + whole

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        out, format = self.infer(*ins)
        return int(self.rtl(ins, Value("o", out, format), plan).cycles)

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.neurons import NeuronArray

        return NeuronArray(
            self.model,
            elements=out.elements // self.steps,
            steps=self.steps,
            lanes=plan.pe,
            persistent=self.persistent,
            ranges=[(x.format.lo, x.format.hi) for x in ins],
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        from codesign.hdl.neurons.area import area_of

        found = area_of(self.rtl(ins, out, plan))
        return Cost(lut=found.lut, ff=found.ff, bram=found.bram, dsp=found.dsp)

    def realisation(self, plan: Plan) -> str:
        words = ", ".join(f"{s.name} {s.word.bits} bit" for s in self.model.states)
        return f"{self.steps} steps, {words}"


def _check_input(x: Value, frac: int) -> None:
    format = x.format
    fits = isinstance(format, ScaledInt) and format.scale == (2.0**-frac,)
    if not fits or format.zero_point:  # type: ignore[attr-defined]
        raise UnsupportedModel(
            f"a neuron's input of {format.label()} is not in steps of 2^{-frac}",
            hint="use weights (and inputs) with power-of-two scales whose product is the "
            "neuron's input_frac",
        )


def state_name(node: str, state: str) -> str:
    """What a state of the layer ``node`` is called among values."""
    return f"{node}.{state}"


@dataclass(frozen=True, eq=False)
class NeuronState(Op):
    """What ``state`` of a layer of neurons is after every step; only looked at, never built or
    stored."""

    kind: ClassVar[str] = "neuron_state"

    neuron: Neuron
    state: str

    @property
    def carries(self) -> bool:
        return self.neuron.persistent

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        shape, _ = self.neuron.infer(*ins)
        word = next(s.word for s in self.neuron.model.states if s.name == self.state)
        return shape, word_format(word, word.lo, word.hi)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        return self.neuron.trace(*arrays)[1][self.state]
