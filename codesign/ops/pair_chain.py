"""PairChain: the element-wise float32 part of a graph between two integer values and a quantizer.

The chain of :mod:`.chain` with two origins: for each set of constants a function from two integers
to an integer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.formats import Format, Real, ScaledInt
from codesign.ir import Elementwise, Graph, Op, Value
from codesign.ops.chain import Step, constants_of, distinct, over, pick
from codesign.ops.combine import Combine
from codesign.ops.quantizer import Quantizer


@dataclass(frozen=True)
class PairChain:
    """Two integer values of one shape, what happens to them, and the quantizer at the end.

    ``steps``: inputs 0 and 1 are the origins, ``n + 2`` is the result of step ``n``. ``names``:
    the node of each step.
    """

    left: Value
    right: Value
    steps: tuple[Step, ...]
    quant: Quantizer
    names: tuple[str, ...] = ()

    def values(self, a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
        """float32 of the origins and of every step, for broadcastable codes [..., channels]."""
        values = [self.left.format.decode(a), self.right.format.decode(b)]
        for step in self.steps:
            values.append(step.op.evaluate(*(values[i] for i in step.inputs)))
        return values

    def evaluate(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """int64 codes of the quantizer; ``UsageError`` where the chain gives NaN."""
        return np.asarray(self.quant.evaluate(self.values(a, b)[-1]))

    def classes(self) -> tuple[np.ndarray, np.ndarray]:
        """Elements (flat) with distinct constants, and the class of each element of the tail."""
        tail = self.tail()
        columns = [c for op in self._ops() for c in constants_of(op) if c.size > 1]
        columns += [np.asarray(s) for s in self._scales()]
        return distinct(columns, tail)

    def tail(self) -> tuple[int, ...]:
        """Trailing axes along which some constant or scale varies."""
        shapes = [c.shape for op in self._ops() for c in constants_of(op)]
        shapes += [(len(s),) for s in self._scales()]
        common = np.broadcast_shapes(*shapes) if shapes else ()
        while common and common[0] == 1:
            common = common[1:]
        return self.left.shape[len(self.left.shape) - len(common) :]

    def pick(self, element: int) -> PairChain:
        """The chain of that element of the tail alone: values of shape (1,)."""
        tail, index = self.tail(), np.array([element])

        def narrow(value: Value) -> Value:
            return Value(value.name, (1,), _picked(value.format, tail, index))

        steps = tuple(Step(pick(s.op, tail, index), s.inputs) for s in self.steps)
        quant = pick(self.quant, tail, index)
        return PairChain(narrow(self.left), narrow(self.right), steps, quant, self.names)

    def _ops(self) -> list[Op]:
        return [*(s.op for s in self.steps), self.quant]

    def _scales(self) -> list[tuple[float, ...]]:
        formats = [v.format for v in (self.left, self.right)]
        return [f.scale for f in formats if isinstance(f, ScaledInt) and len(f.scale) > 1]


def _picked(format: Format, tail: tuple[int, ...], index: np.ndarray) -> Format:
    if isinstance(format, ScaledInt) and len(format.scale) > 1:
        scale = over(np.asarray(format.scale), tail)[index]
        scales = tuple(float(s) for s in scale)
        return ScaledInt(format.lo, format.hi, scales, format.zero_point)
    return format


def origins_of(graph: Graph, name: str) -> list[str] | None:
    """The integer values float ``name`` is computed from element by element, in the order met;
    None where something else lies between."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    todo = [name]
    while todo:
        value = todo.pop()
        if value in seen:
            continue
        seen.add(value)
        if not isinstance(graph.values[value].format, Real):
            found[value] = None
            continue
        node = graph.producer(value)
        if node is None or not isinstance(node.op, Elementwise | Combine):
            return None
        todo += reversed(node.inputs)
    return list(found)


def pair_chain_to(graph: Graph, name: str, quant: Quantizer) -> PairChain | None:
    """The chain that computes ``name`` from exactly two integer values, or None."""
    origins = origins_of(graph, name)
    if origins is None or len(origins) != 2:
        return None
    numbers = {value: n for n, value in enumerate(origins)}
    steps: list[Step] = []
    names: list[str] = []

    def visit(value: str) -> int:
        if value not in numbers:
            node = graph.producer(value)
            assert node is not None and isinstance(node.op, Elementwise | Combine)
            steps.append(Step(node.op, tuple(visit(i) for i in node.inputs)))
            names.append(node.name)
            numbers[value] = len(steps) + 1
        return numbers[value]

    visit(name)
    left, right = (graph.values[value] for value in origins)
    return PairChain(left, right, tuple(steps), quant, tuple(names))
