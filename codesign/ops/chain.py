"""Chain: the element-wise float32 part of a graph between one integer value and a quantizer.

A chain may use a value twice (``x * sigmoid(x)``): it is a graph with a single origin. Because
every step works element by element and in float32, the whole is a function from an integer to
an integer for each set of constants, and can be tabulated.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from codesign.formats import Real, ScaledInt
from codesign.ir import Elementwise, Graph, Op, Value
from codesign.ops.combine import Combine
from codesign.ops.quantizer import Quantizer


@dataclass(frozen=True)
class Step:
    """One operation. ``inputs``: 0 is the origin's value, ``n`` the result of step ``n - 1``."""

    op: Elementwise | Combine
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Chain:
    """An integer value, what happens to it, and the quantizer at the end (None: float32)."""

    origin: Value
    steps: tuple[Step, ...]
    quant: Quantizer | None = None

    def evaluate(self, codes: np.ndarray) -> np.ndarray:
        """int64 codes [n, ...] of the origin -> int64 codes (float32 without a quantizer)."""
        return self.evaluate_real(self.origin.format.decode(codes))

    def evaluate_real(self, x: np.ndarray) -> np.ndarray:
        """The same from the origin's float32 values; broadcast over the trailing axes."""
        values = [x]
        for step in self.steps:
            values.append(step.op.evaluate(*(values[i] for i in step.inputs)))
        out = values[-1] if self.quant is None else self.quant.evaluate(values[-1])
        return np.broadcast_to(out, np.broadcast_shapes(np.shape(out), np.shape(x)))

    def direction(self) -> np.ndarray:
        """+1 never decreasing, -1 never increasing, 0 unknown; broadcasts like constants do."""
        ways: list[np.ndarray] = [np.ones(1, dtype=np.int64)]
        for step in self.steps:
            given = [ways[i] for i in step.inputs]
            if isinstance(step.op, Combine):
                ways.append(_combined(step.op.function, given))
            else:
                ways.append(given[0] * step.op.direction())
        return ways[-1] if self.quant is None else ways[-1] * self.quant.direction()

    def tail(self) -> tuple[int, ...]:
        """Trailing axes of the origin along which some constant or scale varies."""
        shapes = [c.shape for op in self._ops() for c in constants_of(op)]
        format = self.origin.format
        if isinstance(format, ScaledInt) and len(format.scale) > 1:
            shapes.append((len(format.scale),))
        common = np.broadcast_shapes(*shapes) if shapes else ()
        while common and common[0] == 1:
            common = common[1:]
        return self.origin.shape[len(self.origin.shape) - len(common) :]

    def classes(self) -> tuple[np.ndarray, np.ndarray]:
        """Elements of the tail (flat) with distinct constants, and each element's class."""
        tail = self.tail()
        columns = [c for op in self._ops() for c in constants_of(op) if c.size > 1]
        format = self.origin.format
        if isinstance(format, ScaledInt) and len(format.scale) > 1:
            columns.append(np.asarray(format.scale))
        return distinct(columns, tail)

    def pick(self, index: np.ndarray) -> Chain:
        """The chain of only those elements of the tail: a value of shape (len(index),)."""
        tail, format = self.tail(), self.origin.format
        if isinstance(format, ScaledInt) and len(format.scale) > 1:
            scale = over(np.asarray(format.scale), tail)[index]
            format = replace(format, scale=tuple(float(s) for s in scale))
        steps = tuple(Step(pick(s.op, tail, index), s.inputs) for s in self.steps)
        quant = None if self.quant is None else pick(self.quant, tail, index)
        return Chain(Value(self.origin.name, (len(index),), format), steps, quant)

    def _ops(self) -> list[Op]:
        return [*(s.op for s in self.steps), *([self.quant] if self.quant else [])]


def distinct(columns: list[np.ndarray], tail: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Elements of ``tail`` (flat) that differ in some constant, bit for bit, and each element's
    class; ``columns``: the constants that vary."""
    if not columns:
        return np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    wide = [over(c.astype(np.float64), tail) for c in columns]
    rows = np.ascontiguousarray(np.stack(wide, axis=1)).view(np.int64)
    _, index, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return index.astype(np.int64), inverse.reshape(-1).astype(np.int64)


def constants_of(op: Op) -> list[np.ndarray]:
    """The arrays of an element-wise operation, each broadcasting against trailing axes."""
    if hasattr(op, "constants"):
        return list(op.constants())
    return list(_arrays(op).values())


def pick(op: Any, tail: tuple[int, ...], index: np.ndarray) -> Any:
    """``op`` for the elements ``index`` of ``tail`` (flat): its arrays become [len(index)]."""
    if hasattr(op, "pick"):
        return op.pick(tail, index)
    picked = {name: pick_array(array, tail, index) for name, array in _arrays(op).items()}
    return replace(op, **picked) if picked else op


def pick_array(array: np.ndarray, tail: tuple[int, ...], index: np.ndarray) -> np.ndarray:
    """One constant for those elements; a single number stays one."""
    if array.size == 1:
        return array.reshape(1)
    return over(array, tail)[index]


def over(array: np.ndarray, tail: tuple[int, ...]) -> np.ndarray:
    """``array`` for every element of ``tail``, flat."""
    extra = array.ndim - len(tail)
    return np.broadcast_to(array.reshape(array.shape[max(0, extra) :]), tail).reshape(-1)


def _arrays(op: Op) -> dict[str, np.ndarray]:
    found = {f.name: getattr(op, f.name) for f in fields(op)}  # type: ignore[arg-type]
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def _combined(function: str, ways: list[np.ndarray]) -> np.ndarray:
    if function not in ("add", "sub", "min", "max"):
        return np.zeros(1, dtype=np.int64)
    left, right = ways
    right = -right if function == "sub" else right
    return np.asarray(np.where(left == right, left, 0))


def chain_to(graph: Graph, name: str, quant: Quantizer | None = None) -> Chain | None:
    """The chain that computes ``name`` from a single integer value, or None."""
    numbers: dict[str, int] = {}
    steps: list[Step] = []
    origins: set[str] = set()

    def visit(value: str) -> int | None:
        if not isinstance(graph.values[value].format, Real):
            origins.add(value)
            return 0
        if value in numbers:
            return numbers[value]
        node = graph.producer(value)
        if node is None or not isinstance(node.op, Elementwise | Combine):
            return None
        places = [visit(i) for i in node.inputs]
        if any(p is None for p in places):
            return None
        steps.append(Step(node.op, tuple(p for p in places if p is not None)))
        numbers[value] = len(steps)
        return len(steps)

    end = visit(name)
    if end is None or len(origins) != 1:
        return None
    (origin,) = origins
    return Chain(graph.values[origin], tuple(steps), quant)
