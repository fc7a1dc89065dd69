"""What a cell is: the equations of one step of one neuron, on a :class:`Flow`."""

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np
from amaranth.hdl import Module, Shape, Signal, Value

from codesign.hdl.neurons.flow import Flow
from codesign.hdl.neurons.number import Num, constant
from codesign.hdl.pipeline import BLOCK_MEMORY_NS
from codesign.hdl.stream import range_shape
from codesign.neurons import Neuron


class Site(Flow, ABC):
    """Where a cell is built: its inputs, parameters and states, and what it makes of them."""

    def __init__(
        self, model: Neuron, ranges: dict[str, tuple[int, int]], m: Module, ce: Value, budget: float
    ) -> None:
        super().__init__(m, ce, budget)
        self.model, self.ranges = model, ranges
        self.vectors: dict[str, np.ndarray] = {}
        self.reads: dict[str, int] = {}
        self.next: dict[str, Num] = {}
        self.out = constant(0)
        self._words = {state.name: state.word for state in model.states}

    def input(self, name: str) -> Num:
        """What arrives, in stage 0."""
        lo, hi = self.ranges[name]
        return Num(self.input_value(name), lo, hi, 0)

    def parameter(self, name: str, vector: np.ndarray) -> Num:
        """A parameter, int64 [1] or [channels], of this lane's neurons."""
        self.vectors[name] = vector
        values = self.of_lane(name)
        lo, hi = int(values.min()), int(values.max())
        if lo == hi:
            return constant(lo)
        return Num(Signal(1), lo, hi, parameter=name)

    def state(self, name: str, stage: int) -> Num:
        """The state before this step, read in ``stage`` (1 or later)."""
        assert stage >= 1 and name not in self.reads
        self.reads[name] = stage
        word = self._words[name]
        value, ns = self.state_value(name, stage)
        return Num(value, word.lo, word.hi, stage, ns, ns)

    def write(self, name: str, value: Num) -> None:
        """The state after this step."""
        word = self._words[name]
        assert word.lo <= value.lo and value.hi <= word.hi, (name, value.lo, value.hi)
        self.next[name] = self._settled(value, self.reads[name])

    def give(self, value: Num) -> None:
        """The output of this step, the last thing a cell says: it is computed in the stage in
        which the last state is, so that no state is written after the output was taken."""
        lo, hi = self.model.span
        assert lo <= value.lo and value.hi <= hi, (value.lo, value.hi)
        self.out = self._settled(value, max(x.stage for x in self.next.values()))

    def _settled(self, value: Num, stage: int) -> Num:
        """``value`` in a stage of its own, not before ``stage``."""
        stage = max(value.stage, stage, 1)
        return replace(self.at(value, stage), stage=stage)

    @property
    def loop(self) -> dict[str, int]:
        """Stages from where each state is read to where it is written, both counted."""
        return {name: self.next[name].stage - stage + 1 for name, stage in self.reads.items()}

    @property
    def stages(self) -> int:
        """Stages in all; the output is in a register behind the one it is computed in."""
        return self.out.stage + 1

    # What the surroundings provide.

    @abstractmethod
    def of_lane(self, name: str) -> np.ndarray:
        """The parameter of every neuron of this lane."""

    @abstractmethod
    def input_value(self, name: str) -> Value:
        """The wire of an input, in stage 0."""

    @abstractmethod
    def state_value(self, name: str, stage: int) -> tuple[Value, float]:
        """The wire of a state in ``stage``, and when it settles."""


class Cell(ABC):
    """The equations of a model in hardware."""

    @abstractmethod
    def build(self, site: Site) -> None:
        """Reads inputs, parameters and states of ``site``; writes states, gives the output."""


def scratch() -> Module:
    """A module that is thrown away."""
    m = Module()
    m._MustUse__silence = True  # type: ignore[attr-defined]
    return m


class Sketch(Site):
    """A cell built for its stages alone. ``read_ns``: when each state settles."""

    def __init__(
        self,
        model: Neuron,
        ranges: dict[str, tuple[int, int]],
        budget: float,
        read_ns: dict[str, float],
    ) -> None:
        super().__init__(model, ranges, scratch(), Signal(), budget)
        self._read_ns = read_ns
        self.fetched: dict[tuple[str, int], int] = {}  # (parameter, stage): bits

    def of_lane(self, name: str) -> np.ndarray:
        return self.vectors[name]

    def input_value(self, name: str) -> Value:
        return Signal(range_shape(*self.ranges[name]))

    def state_value(self, name: str, stage: int) -> tuple[Value, float]:
        word = self._words[name]
        return Signal(range_shape(word.lo, word.hi)), self._read_ns[name]

    def memory(self, name: str, words: list[int], style: str, at: Num, shape: Shape) -> Value:
        return Signal(shape)

    def fetch(self, parameter: Num, stage: int) -> Num:
        self.fetched[parameter.parameter, stage] = parameter.bits
        return parameter_at(parameter, Signal(range_shape(parameter.lo, parameter.hi)), stage)


def parameter_at(parameter: Num, value: Value, stage: int) -> Num:
    """``parameter`` read into ``value`` in ``stage``."""
    return Num(value, parameter.lo, parameter.hi, stage, BLOCK_MEMORY_NS, BLOCK_MEMORY_NS)
