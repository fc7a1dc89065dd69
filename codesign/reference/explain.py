"""Explain a difference between another execution's floats and exact sums, or call it a mismatch.

Contract 4: sums of products are exact on codes. PyTorch and onnxruntime add float32 products in
an order of their own, and their transcendental functions differ in the last place, so a result
may land on the other side of a decision threshold. Such a difference is explained only if the
other code appears within the float32 error bound: of a sum (Higham, Accuracy and Stability of
Numerical Algorithms, section 4.2), of batch norm's two roundings, and two units in the last place
of a transcendental function. It is counted and reported, never hidden.

The bounds are propagated as intervals [low, exact, high] through the model's own float32 steps,
from the codes that the other execution had.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import singledispatch

import numpy as np

from codesign.formats import Real, ScaledInt
from codesign.ir import Elementwise, Graph, Node, Op, Value
from codesign.ops.add import Add
from codesign.ops.batchnorm import BatchNorm
from codesign.ops.combine import Combine
from codesign.ops.concat import Concat
from codesign.ops.conv import Conv
from codesign.ops.dense import Dense
from codesign.ops.dynamic_matmul import DynamicMatMul
from codesign.ops.max_pool import MaxPool
from codesign.ops.neuron import Neuron
from codesign.ops.normalize import Normalize
from codesign.ops.quantizer import Quantizer
from codesign.ops.rearrange import Rearrange
from codesign.ops.reinterpret import Reinterpret
from codesign.ops.reshape import Reshape
from codesign.ops.softmax import Softmax
from codesign.ops.sum_pool import SumPool
from codesign.ops.unary import ULPS
from codesign.reference.boundaries import values_of
from codesign.reference.explain_attention import (
    magnitude,
    normalize_interval,
    product_interval,
    softmax_interval,
)

UNIT = 2.0**-24  # unit roundoff of float32
Interval = list[np.ndarray]  # low, exact, high: float32 [n, *shape] each
FRAMES_AT_ONCE = 256


class Explainer:
    """Decides, for one tensor of the model-level graph, which other codes are explained.

    The tensor is a quantizer's output, or a value computed in float whose codes mean what
    :meth:`~codesign.reference.boundaries.Boundary.codes` says of ``shown`` (the value in the graph
    that was lowered; by default, in this one). ``sources``: the values whose codes it is
    computed from.
    """

    def __init__(self, graph: Graph, name: str, shown: Value | None = None) -> None:
        self._graph = graph
        self._shown = shown or graph.values[name]
        node = graph.producer(name)
        while node is not None and isinstance(node.op, Reinterpret):
            node = graph.producer(node.inputs[0])  # the same codes
        self._quant = node.op if node is not None and isinstance(node.op, Quantizer) else None
        self._start = node.inputs[0] if node is not None and self._quant is not None else name
        self.sources: tuple[str, ...] = ()
        self._needed: set[str] = set()
        found: set[str] = set()
        if self._collect(self._start, found):
            self.sources = tuple(sorted(found))

    def _collect(self, name: str, found: set[str]) -> bool:
        """The quantized values behind ``name``; False where something cannot be bounded."""
        if name not in self._graph.values:  # a state of neurons: exact, or a mismatch
            return False
        node = self._graph.producer(name)
        self._needed.add(name)
        given = node is None and not isinstance(self._graph.values[name].format, Real)
        # What a loop carries was quantized in the step before.
        fixed = (Quantizer, Neuron)
        if given or (node is not None and (node.op.delays or isinstance(node.op, fixed))):
            found.add(name)
            return True
        if node is None or step.dispatch(type(node.op)) is step.dispatch(object):
            return False
        bounds = [self._collect(i, found) for i in node.inputs]
        return all(bounds)

    def explains(self, codes: Mapping[str, np.ndarray], other: np.ndarray) -> np.ndarray:
        """Whether each code of ``other`` [n, elements] lies within the error bounds, bool.

        ``codes``: of every source, int64 [n, elements]: the same frames.
        """
        if not self.sources:
            return np.zeros(other.shape, dtype=bool)
        parts = []
        for start in range(0, len(other), FRAMES_AT_ONCE):
            cut = slice(start, start + FRAMES_AT_ONCE)
            found = self._results({name: codes[name][cut] for name in self.sources})
            ends = [array.reshape(array.shape[0], -1) for array in found]
            part = other[cut]
            value = part if self._quant is not None else values_of(self._shown, part)
            low, high = np.minimum.reduce(ends), np.maximum.reduce(ends)
            parts.append((low <= value) & (value <= high))
        return np.concatenate(parts)

    def _results(self, codes: Mapping[str, np.ndarray]) -> Interval:
        """What the tensor may hold: codes, or float32 values without a quantizer."""
        given = {s: codes[s].reshape(-1, *self._graph.values[s].shape) for s in self.sources}
        work = Work(self._graph, given)
        for node in self._graph.nodes:
            if node.output in self._needed and not work.has(node.output):
                step(node.op, work, node)
        found = work.interval(self._start)
        if self._quant is None:
            return found
        return [self._quant.evaluate(array) for array in found]


@dataclass
class Work:
    """What is known of the values so far.

    ``exact``: codes that every execution has; ``sums``: codes of exact sums, from which another
    execution's floats may differ; ``intervals``: within which these lie.
    """

    graph: Graph
    exact: dict[str, np.ndarray]
    sums: dict[str, np.ndarray] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether ``name`` is known already."""
        return name in self.exact or name in self.intervals

    def interval(self, name: str) -> Interval:
        """Within which the value ``name`` lies."""
        found = self.intervals.get(name)
        return found or [self.graph.values[name].format.decode(self.exact[name])] * 3

    def codes(self, name: str) -> np.ndarray | None:
        """The codes of ``name`` where its value is an exact sum."""
        found = self.exact.get(name)
        return self.sums.get(name) if found is None else found

    def deviation(self, name: str) -> np.ndarray | float:
        """How far another execution's value of ``name`` may lie from the exact one, float64."""
        if name in self.exact:
            return 0.0
        low, exact, high = (end.astype(np.float64) for end in self.intervals[name])
        return np.maximum(high - exact, exact - low)


@singledispatch
def step(op: Op, work: Work, node: Node) -> None:
    """Add what ``node`` makes to ``work``. The operations registered here are those whose float32
    results can be bounded: there is no other list of them."""
    raise TypeError(f"no bounds are known for {op.kind}")


@step.register(Rearrange | Reshape | Concat | MaxPool)
def _move(op: Op, work: Work, node: Node) -> None:
    ins, codes = work.graph.ins(node), [work.codes(i) for i in node.inputs]
    if all(i in work.exact for i in node.inputs):
        work.exact[node.output] = op.execute(ins, *(work.exact[i] for i in node.inputs))
        return
    given = [work.interval(i) for i in node.inputs]
    floats = [Value(v.name, v.shape, Real()) for v in ins]
    work.intervals[node.output] = [op.execute(floats, *(g[k] for g in given)) for k in range(3)]
    known = [c for c in codes if c is not None]
    if len(known) == len(codes):
        work.sums[node.output] = op.execute(ins, *known)


@step.register(Dense | Conv | SumPool)
def _sum(op: Dense | Conv | SumPool, work: Work, node: Node) -> None:
    """An exact sum, and how far float32 additions in any order may lead from it: by their own
    rounding, and by what the summands deviate already."""
    (name,), (source,), out = node.inputs, work.graph.ins(node), work.graph.out(node)
    assert isinstance(source.format, ScaledInt) and isinstance(out.format, ScaledInt)
    x = work.codes(name)
    assert x is not None  # infer takes codes only
    code = op.execute([source], x)
    scale = np.asarray(out.format.scale)
    exact, far = code * scale, work.deviation(name) / np.asarray(source.format.scale)
    sizes = np.abs(x - source.format.zero_point) + far
    most = _absolute(op, source, sizes) * scale
    count = op.geometry(source).taps if isinstance(op, SumPool) else op.weights[0].size
    error = (count + 8) * UNIT * (most + np.abs(exact) + _bias(work.graph, node))
    if name not in work.exact:
        error = error + _absolute(op, source, np.broadcast_to(far, x.shape)) * scale
    work.sums[node.output] = code
    work.intervals[node.output] = [(exact + d).astype(np.float32) for d in (-error, 0.0, error)]


def _absolute(op: Dense | Conv | SumPool, source: Value, sizes: np.ndarray) -> np.ndarray:
    """``op`` with the magnitudes of its weights on ``sizes`` >= 0, in codes; float64."""
    positive = op if isinstance(op, SumPool) else replace(op, weights=np.abs(op.weights))
    assert isinstance(source.format, ScaledInt)
    reach = int(np.ceil(sizes.max(initial=0))) + 1
    plain = replace(source.format, low=-reach, high=reach, zero_point=0)
    return magnitude(lambda x: positive.execute([Value("", source.shape, plain)], x), sizes)


def _bias(graph: Graph, node: Node) -> np.ndarray | float:
    """The bias of the layer, which another execution may add first."""
    adds = [np.abs(n.op.value) for n in graph.consumers(node.output) if isinstance(n.op, Add)]
    return adds[0].astype(np.float64) if adds else 0.0


@step.register
def _product(op: DynamicMatMul, work: Work, node: Node) -> None:
    ins, out = work.graph.ins(node), work.graph.out(node)
    codes = [work.codes(i) for i in node.inputs]
    known = [c for c in codes if c is not None]  # all: infer takes codes only
    far = [work.deviation(i) for i in node.inputs]
    work.intervals[node.output] = product_interval(op, ins, out, known, far)
    work.sums[node.output] = op.execute(ins, *known)


@step.register
def _softmax(op: Softmax, work: Work, node: Node) -> None:
    work.intervals[node.output] = softmax_interval(op, work.interval(node.inputs[0]))


@step.register
def _normalize(op: Normalize, work: Work, node: Node) -> None:
    work.intervals[node.output] = normalize_interval(op, work.interval(node.inputs[0]))


@step.register
def _combine(op: Combine, work: Work, node: Node) -> None:
    given = [work.interval(i) for i in node.inputs]
    corners = [op.evaluate(*corner) for corner in itertools.product(*given)]
    exact = op.evaluate(*(ends[1] for ends in given))
    ends = np.minimum.reduce(corners), exact, np.maximum.reduce(corners)
    work.intervals[node.output] = list(ends)


@step.register
def _elementwise(op: Elementwise, work: Work, node: Node) -> None:
    work.intervals[node.output] = _float_step(op, work.interval(node.inputs[0]))


def _float_step(op: Elementwise, given: Interval) -> Interval:
    low, exact, high = given
    points = [op.evaluate(x) for x in (low, exact, high)]
    # A function that turns does so at zero, if at all, in an interval this narrow.
    crosses = (low < 0) & (high > 0)
    if crosses.any() and not op.direction().all():
        points.append(op.evaluate(np.where(crosses, np.float32(0), exact)))
    ends = np.minimum.reduce(points), np.maximum.reduce(points)
    if isinstance(op, BatchNorm):
        alpha = op.alpha().astype(np.float64)
        size = np.abs(exact * alpha) + np.abs(op.mean * alpha) + np.abs(op.beta)
        error = 6 * UNIT * size
        low, exact, high = ends[0] - error, points[1], ends[1] + error
        return [np.asarray(e, dtype=np.float32) for e in (low, exact, high)]
    if getattr(op, "exact", True):
        return [ends[0], points[1], ends[1]]
    return [_ulps(ends[0], -np.inf), points[1], _ulps(ends[1], np.inf)]


def _ulps(x: np.ndarray, towards: float) -> np.ndarray:
    for _ in range(ULPS):
        x = np.nextafter(x, np.float32(towards))
    return x
